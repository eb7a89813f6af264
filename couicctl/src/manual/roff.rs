//! Text in the language of man pages.

use std::io::{self, Write};

/// The text below the options of a command, in parts.
#[derive(Default)]
pub(super) struct Sections {
    /// Lists under a title, in order.
    pub(super) sections: Vec<(String, Vec<String>)>,
    /// Paragraphs between them.
    pub(super) prose: Vec<String>,
}

impl Sections {
    pub(super) fn of(command: &clap::Command) -> Self {
        let help = command.get_after_long_help();
        help.map_or_else(Self::default, |help| Self::parse(&help.to_string()))
    }

    /// A line that ends with a colon is the title of the indented lines that follow it.
    pub(super) fn parse(text: &str) -> Self {
        let mut all = Self::default();
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let is_title = line.ends_with(':') && lines.peek().is_some_and(|l| l.starts_with(' '));
            if is_title {
                let mut listed = Vec::new();
                while let Some(line) = lines.next_if(|line| line.starts_with(' ')) {
                    listed.push(line.strip_prefix("  ").unwrap_or(line).to_owned());
                }
                all.sections.push((title(line), listed));
            } else if !line.is_empty() {
                all.prose.push(line.to_owned());
            }
        }
        all
    }

    pub(super) fn get(&self, title: &str) -> Option<&[String]> {
        let mut sections = self.sections.iter();
        let found = sections.find(|(known, _)| known == title)?;
        Some(&found.1)
    }

    /// Those that only this command has.
    pub(super) fn others(&self) -> impl Iterator<Item = (&str, &[String])> {
        let known = ["EXAMPLES", "EXIT STATUS", "FILES", "ENVIRONMENT"];
        let others = self.sections.iter();
        let others = others.filter(move |(title, _)| !known.contains(&title.as_str()));
        others.map(|(title, lines)| (title.as_str(), lines.as_slice()))
    }
}

fn title(line: &str) -> String {
    match line.trim_end_matches(':') {
        "Example" | "Examples" => "EXAMPLES".to_owned(),
        "Exit codes" => "EXIT STATUS".to_owned(),
        other => other.to_uppercase(),
    }
}

/// A section whose lines stay as they are.
pub(super) fn listing(title: &str, lines: &[String], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, ".SH \"{title}\"\n.nf")?;
    for line in lines {
        writeln!(out, "{}", escaped(line))?;
    }
    writeln!(out, ".fi")
}

/// `couic(8), couicctl(1)` with the names in bold.
pub(super) fn references(text: &str) -> String {
    let bold = |reference: &str| match reference.split_once('(') {
        Some((name, section)) => format!("\\fB{}\\fR({section}", escaped(name)),
        None => escaped(reference),
    };
    text.split(", ").map(bold).collect::<Vec<_>>().join(", ")
}

/// Plain text: no character has a meaning for roff.
pub(super) fn escaped(text: &str) -> String {
    let mut safe = String::new();
    // A line that begins so would be a request.
    if text.starts_with(['.', '\'']) {
        safe += "\\&";
    }
    for c in text.chars() {
        match c {
            '\\' => safe += "\\e",
            '-' => safe += "\\-",
            '\'' => safe += "\\(aq",
            '`' => safe += "\\(ga",
            '^' => safe += "\\(ha",
            '~' => safe += "\\(ti",
            other => safe.push(other),
        }
    }
    safe
}

/// A line of Markdown: code in bold, links as their text.
pub(super) fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut is_code = false;
    for (index, part) in text.split('`').enumerate() {
        if index > 0 {
            is_code = !is_code;
            out += if is_code { "\\fB" } else { "\\fR" };
        }
        let part = if is_code {
            part.to_owned()
        } else {
            without_links(part)
        };
        out += &escaped(&part);
    }
    out
}

fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once('[') {
        out += before;
        let Some((name, behind)) = link.split_once("](") else {
            out.push('[');
            rest = link;
            continue;
        };
        out += name;
        rest = behind.split_once(')').map_or("", |(_, behind)| behind);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_lists_and_prose_are_told_apart() {
        let all =
            Sections::parse("One two.\nExamples:\n  a -b\n    c\n\nExit codes:\n  0  ok\nThree.");
        assert_eq!(all.get("EXAMPLES").unwrap(), ["a -b", "  c"]);
        assert_eq!(all.get("EXIT STATUS").unwrap(), ["0  ok"]);
        assert_eq!(all.prose, ["One two.", "Three."]);
    }

    #[test]
    fn nothing_is_taken_for_a_request() {
        assert_eq!(escaped(".so /etc/x"), "\\&.so /etc/x");
        assert_eq!(escaped("'a' -b \\n"), "\\&\\(aqa\\(aq \\-b \\en");
        assert_eq!(
            inline("the `k-1` of [this](a.md#b), [x]"),
            "the \\fBk\\-1\\fR of this, [x]"
        );
        assert_eq!(references("a(1), b-c(5)"), "\\fBa\\fR(1), \\fBb\\-c\\fR(5)");
    }
}
