//! The text of the configuration.

use std::{fmt::Write as _, path::Path};

use ipnetwork::IpNetwork;

use super::{
    Imported, LeftOut,
    jail::{Found, Ladder},
    rules::Expressions,
    time::short,
};

/// The longest ban that couicmon's token of the daemon allows.
const LONGEST: i64 = 7 * 86_400;

/// Gathers jails, sources that several of them read, and what holds for all.
#[derive(Default)]
pub(super) struct Writer {
    done: Imported,
    jails: String,
    sources: Vec<Source>,
    ignore: Vec<String>,
    ladder: Option<Ladder>,
}

struct Source {
    name: String,
    key: &'static str,
    values: Vec<String>,
}

impl Writer {
    pub(super) fn left_out(&mut self, jail: LeftOut) {
        self.done.left_out.push(jail);
    }

    pub(super) fn jail(
        &mut self,
        jail: &str,
        filter: &str,
        found: &Found,
        expressions: &Expressions,
    ) {
        let name = self.name(jail);
        let source = self.source(&name, found);
        self.note(jail, found, expressions);
        for word in &found.ignore {
            self.ignored(jail, word);
        }
        if let Some(ladder) = &found.ladder {
            self.ladder.get_or_insert_with(|| ladder.clone());
        }
        let span = found
            .find_time
            .max(1)
            .saturating_mul(i64::from(found.max_retry));
        let text = &mut self.jails;
        // Writing to a String does not fail.
        let _ = write!(
            text,
            "\n[jail.{name}]                # {jail}, filter {filter}: maxretry {}, findtime {}\nsource = {}\nregex = {}",
            found.max_retry,
            short(found.find_time.unsigned_abs()),
            quoted(&source),
            list(&expressions.regex),
        );
        if !expressions.ignore.is_empty() {
            let _ = write!(text, "ignore_regex = {}", list(&expressions.ignore));
        }
        let ban = ban(found.ban_time).unsigned_abs();
        let _ = writeln!(
            text,
            "rate = \"{} per {}\"\nban = \"{}\"",
            found.max_retry,
            short(span.unsigned_abs()),
            short(ban)
        );
        self.done.jails.push(name);
    }

    /// A name that the configuration allows and that is free.
    fn name(&self, jail: &str) -> String {
        const LONGEST: usize = 28;
        let fits = |c: char| {
            if c.is_ascii_alphanumeric() || c == '_' {
                c
            } else {
                '-'
            }
        };
        let name: String = jail
            .chars()
            .take(LONGEST)
            .map(|c| fits(c).to_ascii_lowercase())
            .collect();
        let taken = |name: &String| self.done.jails.contains(name);
        if !taken(&name) {
            return name;
        }
        let mut numbered = (2..100).map(|n| format!("{name}-{n}"));
        numbered.find(|name| !taken(name)).unwrap_or(name)
    }

    /// The source of these files or units, which other jails may read, too.
    fn source(&mut self, jail: &str, found: &Found) -> String {
        let (key, values) = match found.journal {
            // Alternatives behind `+` name the same programs again.
            true => (
                "journal",
                found
                    .rules
                    .journal
                    .split(|m| m == "+")
                    .next()
                    .unwrap_or_default(),
            ),
            false => ("file", found.files.as_slice()),
        };
        let known = self
            .sources
            .iter()
            .find(|s| s.key == key && s.values == values);
        if let Some(known) = known {
            return known.name.clone();
        }
        self.sources.push(Source {
            name: jail.to_owned(),
            key,
            values: values.to_vec(),
        });
        jail.to_owned()
    }

    fn note(&mut self, jail: &str, found: &Found, expressions: &Expressions) {
        let mut note = |text: String| self.done.notes.push(format!("{jail}: {text}"));
        if expressions.of_other_lines > 0 {
            note(format!(
                "{} of its expressions are left out: the address is in another line",
                expressions.of_other_lines
            ));
        }
        if found.ban_time < 0 || found.ban_time > LONGEST {
            note(
                "its bans last 7 days, the most that couicmon may ask for; [ladder] renews them"
                    .into(),
            );
        }
    }

    fn ignored(&mut self, jail: &str, word: &str) {
        if self.ignore.iter().any(|known| known == word) {
            return;
        }
        if word.parse::<IpNetwork>().is_ok() {
            self.ignore.push(word.to_owned());
        } else {
            let note = format!(
                "{jail}: ignoreip {word} is left out: names are not resolved, write its address"
            );
            self.done.notes.push(note);
        }
    }

    pub(super) fn finish(mut self, path: &Path) -> Imported {
        let text = &mut self.done.toml;
        let path = path.display().to_string().replace(char::is_control, "?");
        let _ = write!(
            text,
            "# From {path}, by couicmon import fail2ban. Check it with couicmon --check-config, and try it on\n\
             # yesterday's log with couicmon replay.\n\
             #\n\
             # A rate is a bucket that leaks one hit each findtime: maxretry hits within it fill it, as in fail2ban. Who\n\
             # keeps failing more often than once per findtime fills it, too, later. Names of hosts are not resolved.\n"
        );
        if !self.ignore.is_empty() {
            let _ = write!(text, "\nignore = {}", list(&self.ignore));
        }
        if let Some(Ladder { factor, max }) = self.ladder {
            let max = short(max.map_or(LONGEST, ban).unsigned_abs());
            let _ = writeln!(text, "\n[ladder]\nfactor = {factor}\nmax = \"{max}\"");
        }
        for Source { name, key, values } in &self.sources {
            let _ = write!(
                text,
                "\n[source.{name}]\n{key} = {}format = \"plain\"\n",
                list(values)
            );
        }
        *text += &self.jails;
        self.done
    }
}

/// Seconds of a ban; for ever is as long as possible.
fn ban(seconds: i64) -> i64 {
    if seconds < 0 {
        LONGEST
    } else {
        seconds.clamp(1, LONGEST)
    }
}

/// An array, one value a line if there are several.
fn list(values: &[String]) -> String {
    match values {
        [one] => format!("[{}]\n", quoted(one)),
        _ => {
            let lines = values
                .iter()
                .map(|value| format!("    {},\n", quoted(value)));
            format!("[\n{}]\n", lines.collect::<String>())
        }
    }
}

/// A string of TOML, without escapes if possible: expressions are full of backslashes.
fn quoted(text: &str) -> String {
    let is_plain = !text.chars().any(|c| c.is_control() && c != '\t');
    match is_plain {
        true if !text.contains('\'') => format!("'{text}'"),
        true if !text.contains("'''") && !text.ends_with('\'') => format!("'''{text}'''"),
        _ => toml::Value::String(text.to_owned()).to_string(),
    }
}
