//! Tags as host programs name things: a jail may be called `www.example.org`.
//!
//! The API has letters, digits, `_` and `-`, and so has Couic 1.0, to which peers may send a tag. Other characters
//! become `_`, the same way wherever a tag or a pattern is written, and what is longer than 64 characters is cut.

use couic_common::Tag;

const LONGEST: usize = 64;

/// A tag to add.
pub(crate) fn parse(text: &str) -> Result<Tag, String> {
    // Not mapped: whoever writes it means a set.
    let text = if text.ends_with(".couic") {
        text.to_owned()
    } else {
        text.chars().map(fitting).take(LONGEST).collect()
    };
    match Tag::parse(&text) {
        Ok(Some(tag)) => Ok(tag),
        Ok(None) => Err("a tag cannot be empty; leave out -t for an entry without a tag".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// A pattern over tags, mapped as the tags are. Tags of sets keep their ending.
pub(crate) fn pattern(text: &str) -> String {
    let part = |part: &str| -> String {
        let part = part.trim();
        let (name, ending) = match part.strip_suffix(".couic") {
            Some(name) => (name, ".couic"),
            None => (part, ""),
        };
        let mapped = name.chars().map(|c| if c == '*' { c } else { fitting(c) });
        // A pattern is longer than what it stands for.
        let most = if name.contains('*') {
            usize::MAX
        } else {
            LONGEST
        };
        mapped.take(most).chain(ending.chars()).collect()
    };
    let parts: Vec<String> = text.split(',').map(part).collect();
    parts.join(",")
}

fn fitting(c: char) -> char {
    if c.is_ascii_alphanumeric() || c == '-' {
        c
    } else {
        '_'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_host_programs_become_tags() {
        for (text, tag) in [
            ("sshd", "sshd"),
            ("www.example.org", "www_example_org"),
            ("a b/ü", "a_b__"),
            ("a_-9", "a_-9"),
        ] {
            assert_eq!(parse(text).unwrap().as_str(), tag);
            assert_eq!(pattern(text), tag);
        }
        let long = "x.".repeat(50);
        assert_eq!(parse(&long).unwrap().as_str(), "x_".repeat(32));
        assert_eq!(pattern(&long), "x_".repeat(32), "as it is unbanned");
        for bad in ["", "list.couic", "untagged"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn patterns_keep_what_they_mean() {
        assert_eq!(
            pattern("www.*, list.couic,*.couic,untagged"),
            "www_*,list.couic,*.couic,untagged"
        );
    }
}
