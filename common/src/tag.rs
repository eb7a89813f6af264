//! Tags, the labels of rules, and patterns over tags.

use std::{borrow::Cow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::SetName;

/// The name under which entries without a tag are counted.
pub const UNTAGGED: &str = "untagged";

/// The label of a rule: 1 to 64 bytes of `[A-Za-z0-9_-]`, or a set's `NAME.couic`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

/// The reason why a text is not a tag that a client may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagError {
    /// Over 64 bytes.
    #[error("a tag has at most 64 characters")]
    TooLong,
    /// A character that is not allowed.
    #[error("a tag consists of letters, digits, _ and -")]
    Character,
    /// Ends in `.couic`.
    #[error("tags ending in .couic belong to sets")]
    OfSet,
    /// `untagged`, in any case.
    #[error("untagged is the name for entries without a tag")]
    Reserved,
}

impl Tag {
    /// Parses the tag of a request. Empty means no tag.
    ///
    /// # Errors
    /// [`TagError`] names the violated rule.
    pub fn parse(text: &str) -> Result<Option<Self>, TagError> {
        if text.is_empty() {
            return Ok(None);
        }
        if text.ends_with(".couic") {
            return Err(TagError::OfSet);
        }
        if text.len() > 64 {
            return Err(TagError::TooLong);
        }
        if !text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
        {
            return Err(TagError::Character);
        }
        if text.eq_ignore_ascii_case(UNTAGGED) {
            return Err(TagError::Reserved);
        }
        Ok(Some(Self(text.into())))
    }

    /// The tag of a set's entries: `NAME.couic`.
    #[must_use]
    pub fn of_set(name: &SetName) -> Self {
        Self(format!("{name}.couic").into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Tag {
    /// Reads a tag from a response of the daemon, where tags of sets are valid too.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        if let Some(name) = text.strip_suffix(".couic") {
            return name
                .parse()
                .map(|name| Self::of_set(&name))
                .map_err(de::Error::custom);
        }
        Self::parse(&text)
            .map_err(de::Error::custom)?
            .ok_or_else(|| de::Error::custom("an empty tag"))
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Tag {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        <String as utoipa::PartialSchema>::schema()
    }
}
#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Tag {}

/// Alternatives over tags, separated by commas; `*` matches any number of characters. `untagged` (or an empty
/// alternative) matches entries without a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagPattern {
    any: Vec<String>,
    /// Alternatives of which one must match as well.
    within: Option<Vec<String>>,
}

impl TagPattern {
    /// Whether a rule with this tag matches.
    #[must_use]
    pub fn matches(&self, tag: Option<&str>) -> bool {
        let tag = tag.unwrap_or(UNTAGGED);
        let fits = |globs: &Vec<String>| globs.iter().any(|glob| star_matches(glob, tag));
        fits(&self.any) && self.within.as_ref().is_none_or(fits)
    }

    /// The same, but only for tags that `other` matches too.
    #[must_use]
    pub fn within(mut self, other: &Self) -> Self {
        self.within = Some(other.any.clone());
        self
    }

    /// The first alternative without a wildcard that is outside of `other`.
    #[must_use]
    pub fn outside_of(&self, other: &Self) -> Option<&str> {
        let is_outside = |glob: &&String| !glob.contains('*') && !other.matches(Some(glob));
        self.any.iter().find(is_outside).map(String::as_str)
    }
}

/// In linear time: each part between stars is taken where it is found first.
fn star_matches(glob: &str, text: &str) -> bool {
    let Some((start, rest)) = glob.split_once('*') else {
        return glob == text;
    };
    let (middle, end) = rest.rsplit_once('*').unwrap_or(("", rest));
    let inner = text.strip_prefix(start);
    let Some(mut inner) = inner.and_then(|inner| inner.strip_suffix(end)) else {
        return false;
    };
    middle.split('*').all(|part| {
        let found = inner.find(part);
        inner = found.map_or("", |at| &inner[at + part.len()..]);
        found.is_some()
    })
}

impl FromStr for TagPattern {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let part = |p: &str| {
            if p.trim().is_empty() {
                UNTAGGED.to_owned()
            } else {
                p.trim().to_owned()
            }
        };
        // `?` is no wildcard here, and no tag contains one.
        let parts = text.split(',').filter(|p| !p.contains('?'));
        let any = parts.map(part).collect();
        Ok(Self { any, within: None })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::glob_matches;

    proptest! {
        #[test]
        fn patterns_match_as_globs_do(glob in "[ab*]{0,9}", text in "[ab]{0,9}") {
            prop_assert_eq!(star_matches(&glob, &text), glob_matches(&glob, &text));
        }
    }

    #[test]
    fn tags_are_validated() {
        assert_eq!(Tag::parse(""), Ok(None));
        assert_eq!(Tag::parse("a-Z_9").unwrap().unwrap().as_str(), "a-Z_9");
        assert_eq!(
            Tag::parse(&"x".repeat(64)).unwrap().unwrap().as_str().len(),
            64
        );
        assert_eq!(Tag::parse(&"x".repeat(65)), Err(TagError::TooLong));
        assert_eq!(Tag::parse("a.couic"), Err(TagError::OfSet));
        assert_eq!(Tag::parse("UnTagged"), Err(TagError::Reserved));
        for bad in ["a b", "a.b", "é", "a\n", "*"] {
            assert_eq!(Tag::parse(bad), Err(TagError::Character), "{bad}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, tag, expected) in [
            ("ssh", Some("ssh"), true),
            ("ssh", Some("sshd"), false),
            ("ssh*", Some("sshd"), true),
            ("*d", Some("sshd"), true),
            ("s*h*d", Some("sshd"), true),
            ("s*x*d", Some("sshd"), false),
            ("*", None, true),
            ("untagged", None, true),
            ("", None, true),
            ("a,b*", Some("bcd"), true),
            ("a, c", Some("c"), true),
            ("ss?,?,a", Some("ssh"), false),
            (
                "a*a*a*a*b",
                Some("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
                false,
            ),
        ] {
            let Ok(parsed) = pattern.parse::<TagPattern>();
            assert_eq!(parsed.matches(tag), expected, "{pattern} against {tag:?}");
        }
    }

    #[test]
    fn a_pattern_within_another_matches_what_both_do() {
        let pattern = |text: &str| {
            text.parse::<TagPattern>()
                .unwrap_or_else(|never| match never {})
        };
        let own = pattern("mon-*,test");
        let all = pattern("*").within(&own);
        for (tag, expected) in [
            (Some("mon-sshd"), true),
            (Some("test"), true),
            (Some("sshd"), false),
            (None, false),
        ] {
            assert_eq!(all.matches(tag), expected, "{tag:?}");
        }
        assert_eq!(pattern("mon-a,test,x*").outside_of(&own), None);
        assert_eq!(pattern("mon-a,sshd").outside_of(&own), Some("sshd"));
        assert_eq!(pattern("untagged").outside_of(&own), Some("untagged"));
    }
}
