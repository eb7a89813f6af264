//! The pages of the configuration files: their keys from docs/configuration.md, and the commented example.

use std::fmt::Write as _;

use super::roff::{escaped, inline, references};

const KEYS: &str = include_str!("../../../docs/configuration.md");

/// A configuration file.
pub(super) struct File {
    pub(super) name: &'static str,
    path: &'static str,
    what: &'static str,
    /// Chapters of the document.
    chapters: &'static [&'static str],
    example: &'static str,
    see: &'static str,
}

/// All of them.
pub(super) const FILES: [File; 4] = [
    File {
        name: "couic.toml",
        path: "/etc/couic/couic.toml",
        what: "configuration of the Couic daemon",
        chapters: &["couic", "Notifiers"],
        example: include_str!("../../../config/couic.toml"),
        see: "couic(8), couicctl(1)",
    },
    File {
        name: "couic-report.toml",
        path: "/etc/couic-report/config.toml",
        what: "configuration of couic-report",
        chapters: &["couic-report", "Notifiers"],
        example: include_str!("../../../config/couic-report.toml"),
        see: "couic-report(8)",
    },
    File {
        name: "couic-bouncer.toml",
        path: "/etc/couic-bouncer/couic-bouncer.toml",
        what: "configuration of couic-bouncer",
        chapters: &["couic-bouncer"],
        example: include_str!("../../../config/couic-bouncer.toml"),
        see: "couic-bouncer(8)",
    },
    File {
        name: "couicctl.toml",
        path: "/etc/couic/couicctl.toml",
        what: "configuration of couicctl",
        chapters: &["couicctl"],
        example: include_str!("../../../config/couicctl.toml"),
        see: "couicctl(1)",
    },
];

impl File {
    pub(super) fn page(&self) -> String {
        let Self {
            name, path, what, ..
        } = self;
        let (date, version) = (couic_build_info::DATE, couic_build_info::VERSION);
        let mut page = format!(
            ".TH {name} 5 \"{date}\" \"Couic {version}\" \"Couic\"\n.SH NAME\n{} \\- {what}\n.SH SYNOPSIS\n\\fB{}\\fR\n\
             .SH DESCRIPTION\n",
            escaped(name),
            escaped(path)
        );
        page += &inline(introduction());
        page.push('\n');
        for chapter in self.chapters {
            keys(chapter, &mut page);
        }
        page += ".SH EXAMPLE\n.nf\n";
        for line in self.example.lines() {
            // Writing to a String does not fail.
            let _ = writeln!(page, "{}", escaped(line));
        }
        let see = references(self.see);
        let _ = writeln!(page, ".fi\n.SH \"SEE ALSO\"\n{see}");
        page
    }
}

/// The first paragraph of the document.
fn introduction() -> &'static str {
    let text = KEYS.split("\n\n").nth(1);
    text.unwrap_or_default()
}

/// The tables and texts of a chapter.
fn keys(chapter: &str, page: &mut String) {
    let lines = KEYS.lines();
    let mut lines = lines.skip_while(|line| line.strip_prefix("## ") != Some(chapter));
    lines.next();
    let _ = writeln!(page, ".SH \"{}\"", title(chapter));
    let (mut is_code, mut before) = (false, "");
    for line in lines.take_while(|line| !line.starts_with("## ")) {
        if line.starts_with("```") {
            is_code = !is_code;
            *page += if is_code { ".nf\n" } else { ".fi\n" };
        } else if is_code {
            let _ = writeln!(page, "{}", escaped(line));
        } else if let Some(table) = line.strip_prefix("### ") {
            let _ = writeln!(page, ".SS \"{}\"", inline(table));
        } else if let Some(row) = line.strip_prefix('|') {
            // Two lines are the head of a table.
            if !before.starts_with('|') || row.starts_with("---") {
                before = line;
                continue;
            }
            entry(row, page);
        } else if !line.is_empty() {
            if before.is_empty() {
                *page += ".PP\n";
            }
            let _ = writeln!(page, "{}", inline(line));
        }
        before = line;
    }
}

fn title(chapter: &str) -> String {
    match chapter {
        "Notifiers" => "NOTIFIERS".to_owned(),
        _ => "KEYS".to_owned(),
    }
}

/// A row: key, default or mode, meaning.
fn entry(row: &str, page: &mut String) {
    let cells: Vec<&str> = row
        .trim_end_matches('|')
        .split(" | ")
        .map(str::trim)
        .collect();
    let (key, rest) = (
        cells.first().unwrap_or(&""),
        cells.get(1..).unwrap_or_default(),
    );
    let _ = writeln!(page, ".TP\n{}", inline(key));
    let meaning = match rest {
        ["", meaning @ ..] => meaning.join(" | "),
        [
            default @ ("required" | "local" | "remote" | "optional" | "remote, optional"),
            meaning @ ..,
        ] => {
            format!("({default}) {}", meaning.join(" | "))
        }
        [default, meaning @ ..] => format!("(default: {default}) {}", meaning.join(" | ")),
        [] => String::new(),
    };
    let _ = writeln!(page, "{}", inline(&meaning));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_examples_is_described() {
        for file in &FILES {
            let page = file.page();
            let keys = page.split(".SH EXAMPLE").next().unwrap();
            for line in file.example.lines() {
                let line = line.trim_start_matches(['#', ' ']);
                let Some((key, _)) = line.split_once(" = ") else {
                    continue;
                };
                if key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
                    assert!(keys.contains(key), "{}: {key}", file.name);
                }
            }
        }
    }
}
