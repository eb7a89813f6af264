//! The networks of a state file: in the file itself, or in lists that it names.

use std::{collections::BTreeSet, path::Path};

use couic_common::{Cidr, Reason, Tag, TagError, UNTAGGED};
use couic_settings::{Found, Item, Section};
use toml::{
    de::DeValue,
    value::{Datetime, Offset},
};

use super::wanted::{Claim, Rules};
use crate::input;

/// Networks of a state file, lists included: several times as many as tables of the default size have places.
const MOST: usize = 8 << 20;

/// Where lists are, and how many networks may still come.
pub(super) struct Source<'p> {
    dir: &'p Path,
    left: usize,
}

impl<'p> Source<'p> {
    /// Lists are in `dir`, if their paths are relative.
    pub(super) fn new(dir: &'p Path) -> Self {
        Self { dir, left: MOST }
    }

    /// Counts what a table has read. One too many is a mistake.
    fn count(&mut self, section: &Section<'_>, networks: usize) {
        let was_left = self.left > 0;
        self.left = self.left.saturating_sub(networks);
        if was_left && self.left == 0 {
            section.mistake_here(format!("with these, there are more than {MOST} networks"));
        }
    }
}

/// A group of rules: `tag`, `expires`, `reason`, and `entries` or a `file` or both.
pub(super) fn group(section: &mut Section<'_>, source: &mut Source<'_>, rules: &mut Rules) {
    let tag = tag(section);
    let claim = claim(section, None);
    let mut all = Vec::new();
    each(section, source, |item| match item {
        Entry::Network(cidr, line) => all.push((cidr, claim.clone(), line)),
        Entry::Table(mut one) => {
            let claim = self::claim(&mut one, Some(&claim));
            if let Some((text, line)) = one.required("cidr") {
                let read = Cidr::parse_each(text, |cidr| all.push((cidr, claim.clone(), line)));
                if let Err(error) = read {
                    one.mistake::<()>(Some(line), "cidr", format!("{text:?}: {error}"));
                }
            }
            one.finish();
        }
    });
    let Ok(tag) = tag else { return };
    for (cidr, claim, line) in all {
        let was = rules.claims.insert((cidr, tag.clone()), claim.clone());
        if was.is_some_and(|was| was != claim) {
            let message = format!(
                "{cidr} is declared twice with this tag, with different expiration or reason"
            );
            section.mistake::<()>(Some(line), "entries", message);
        }
    }
    rules.tags.insert(tag);
}

/// The networks of a set.
pub(super) fn of_set(section: &mut Section<'_>, source: &mut Source<'_>) -> BTreeSet<Cidr> {
    let mut all = BTreeSet::new();
    each(section, source, |item| match item {
        Entry::Network(cidr, _) => drop(all.insert(cidr)),
        Entry::Table(one) => one.mistake_here("an entry of a set is a string".to_owned()),
    });
    all
}

/// What stands in `entries`, or in a list.
enum Entry<'a> {
    /// A network, and its line: that of `file` for those of a list.
    Network(Cidr, usize),
    Table(Section<'a>),
}

/// Hands out all of `entries` and of the list that `file` names.
fn each<'a>(section: &mut Section<'a>, source: &mut Source<'_>, mut add: impl FnMut(Entry<'a>)) {
    let mut count = 0;
    let (mut bad, has_entries) = (Vec::new(), section.get("entries").is_some());
    section.each_item("entries", |item| match item {
        Item::Text(text, line) => {
            let read = Cidr::parse_each(text, |cidr| {
                count += 1;
                add(Entry::Network(cidr, line));
            });
            bad.extend(read.err().map(|error| (line, format!("{text:?}: {error}"))));
        }
        Item::Table(table) => {
            count += 1;
            add(Entry::Table(table));
        }
    });
    for (line, message) in bad {
        section.mistake::<()>(Some(line), "entries", message);
    }
    match section.string("file").ok().flatten() {
        Some((path, line)) => match input::read_named(&source.dir.join(path)) {
            Ok(networks) => {
                count += networks.len();
                let networks = networks.into_iter().map(|network| network.cidr);
                networks.for_each(|cidr| add(Entry::Network(cidr, line)));
            }
            Err(failure) => section
                .mistake(Some(line), "file", failure.text())
                .unwrap_or(()),
        },
        None if !has_entries && section.get("file").is_none() => {
            section.mistake_here("has neither entries nor a file".to_owned());
        }
        None => {}
    }
    source.count(section, count);
}

/// The tag. It is not left out by mistake: all rules with it are the file's.
fn tag(section: &mut Section<'_>) -> Result<Option<Tag>, ()> {
    let Some((text, line)) = section.string("tag").map_err(drop)? else {
        let message = format!("is missing; {UNTAGGED:?} is that of rules without one");
        section.mistake::<()>(None, "tag", message);
        return Err(());
    };
    match Tag::parse(text) {
        Err(TagError::Reserved) if text == UNTAGGED => Ok(None),
        Ok(Some(tag)) => Ok(Some(tag)),
        other => {
            let message = other.err().map_or("is empty".to_owned(), |e| e.to_string());
            section.mistake::<()>(Some(line), "tag", message);
            Err(())
        }
    }
}

/// Expiration and reason, each that of the group if the entry has none of its own.
fn claim(section: &mut Section<'_>, group: Option<&Claim>) -> Claim {
    let expiration = section.get("expires").and_then(|found| {
        let read = expires(&found);
        read.map_err(|message| section.mistake::<()>(Some(found.line), "expires", message))
            .ok()
    });
    let reason = section.string("reason").ok().flatten();
    Claim {
        expiration: expiration
            .or(group.map(|claim| claim.expiration))
            .unwrap_or(0),
        reason: match reason {
            Some((text, _)) => Reason::of(text),
            None => group.and_then(|claim| claim.reason.clone()),
        },
    }
}

/// A time with its offset, Unix seconds, or `"never"`.
fn expires(found: &Found<'_>) -> Result<u64, String> {
    /// The end of the year 9999: a longer number is one of milliseconds.
    const LAST: u64 = 253_402_300_799;
    let wrong = || {
        "must be a time with its offset, as in 2027-01-31T00:00:00Z, Unix seconds or \"never\""
            .to_owned()
    };
    let seconds = match found.value {
        DeValue::String(text) if text == "never" => return Ok(0),
        DeValue::Datetime(time) => unix(time),
        DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
        _ => None,
    };
    seconds
        .filter(|end| (1..=LAST).contains(end))
        .ok_or_else(wrong)
}

/// Unix seconds of a time that has an offset.
fn unix(time: &Datetime) -> Option<u64> {
    let (date, clock) = (time.date?, time.time?);
    let minutes = match time.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let (hour, minute, second) = (clock.hour, clock.minute, clock.second.unwrap_or(0));
    let text = format!("{date}T{hour:02}:{minute:02}:{second:02}Z");
    let since = humantime::parse_rfc3339(&text).ok()?;
    let seconds = since.duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    seconds.checked_add_signed(-minutes * 60)
}
