//! File names: `journal-0000000007-1a2b3c4d.log`, with the salt of the file's checksums at the end.

use std::{
    fmt::Display,
    time::{SystemTime, UNIX_EPOCH},
};

/// The kind of a file. In the reading order of files with the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The complete state when the log of that number was started.
    Snapshot,
    /// Changes.
    Log,
}

/// A parsed file name. Names sort in reading order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    prefix: &'static str,
    /// Its number in the log.
    pub number: u64,
    /// Its kind.
    pub kind: Kind,
    /// The salt of its checksums.
    pub salt: u32,
}

impl Name {
    /// A name for a new file, with a random salt.
    #[must_use]
    pub fn new(prefix: &'static str, number: u64, kind: Kind) -> Self {
        let salt = uuid::Uuid::new_v4().as_fields().0;
        Self {
            prefix,
            number,
            kind,
            salt,
        }
    }

    /// The inverse of [`Display`]; None for every other text.
    #[must_use]
    pub fn parse(prefix: &'static str, text: &str) -> Option<Self> {
        let (stem, kind) = match text.rsplit_once('.')? {
            (stem, "log") => (stem, Kind::Log),
            (stem, "snap") => (stem, Kind::Snapshot),
            _ => return None,
        };
        let rest = stem.strip_prefix(prefix)?.strip_prefix('-')?;
        let (number, salt) = rest.split_once('-')?;
        let name = Self {
            prefix,
            number: number.parse().ok()?,
            kind,
            salt: u32::from_str_radix(salt, 16).ok()?,
        };
        (name.to_string() == text).then_some(name)
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ending = match self.kind {
            Kind::Log => "log",
            Kind::Snapshot => "snap",
        };
        let Self {
            prefix,
            number,
            salt,
            ..
        } = self;
        write!(f, "{prefix}-{number:010}-{salt:08x}.{ending}")
    }
}

/// The new name of a damaged file.
pub(crate) fn damaged_name(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    format!("{name}.damaged-{}", now.unwrap_or_default().as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_no_others_are_parsed() {
        let name = Name {
            prefix: "journal",
            number: 7,
            kind: Kind::Snapshot,
            salt: 0x1a_2b3c,
        };
        assert_eq!(name.to_string(), "journal-0000000007-001a2b3c.snap");
        assert_eq!(Name::parse("journal", &name.to_string()), Some(name));
        let damaged = damaged_name(&name.to_string());
        for other in [
            "journal-7-001a2b3c.snap",
            "journal-0000000007-001A2B3C.log",
            "journal-0000000007-001a2b3c.txt",
            "journal-0000000007.log",
            "ledger-0000000007-001a2b3c.log",
            &damaged,
            "",
        ] {
            assert_eq!(Name::parse("journal", other), None, "{other}");
        }
    }
}
