//! What logrotate and its like make of a name.

use std::{ffi::OsStr, path::Path};

const COMPRESSED: [&str; 7] = [".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip", ".Z"];

const OLD: [&str; 4] = [".old", ".prev", ".bak", "~"];

/// Whether the name is that of a compressed file.
pub(super) fn is_compressed(name: &str) -> bool {
    COMPRESSED.iter().any(|end| name.ends_with(end))
}

/// Whether `path` is named as a rotated, uncompressed file of `log`, in the same directory: `x.log.1`, `x.log-20261201`,
/// `x.log.old`, or `x-20261201.log`.
pub(super) fn is_rotated(log: &Path, path: &Path) -> bool {
    let names = (
        log.file_name().and_then(OsStr::to_str),
        path.file_name().and_then(OsStr::to_str),
    );
    let (Some(base), Some(name)) = names else {
        return false;
    };
    if log.parent() != path.parent() || is_compressed(name) {
        return false;
    }
    if let Some(suffix) = name.strip_prefix(base) {
        return is_suffix(suffix, 1) || OLD.contains(&suffix);
    }
    let Some((stem, extension)) = base.rsplit_once('.') else {
        return false;
    };
    let between = name
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(extension))
        .and_then(|rest| rest.strip_suffix('.'));
    // A date: `access-2.log` may be the log of another site.
    between.is_some_and(|between| is_suffix(between, 6))
}

/// Whether both are, or were, one log: each is the log or one of its rotated files, by the same rules.
pub(super) fn is_kin(one: &Path, other: &Path) -> bool {
    let families = (family(one), family(other));
    one.parent() == other.parent() && families.0.is_some() && families.0 == families.1
}

/// Whether `copy` may be what `copytruncate` made of `log`, by their names: a copy has a rotated one. A new file with the
/// name of the log itself is a successor: it may begin alike, as logs with a headline do.
pub(super) fn may_be_copy(log: &Path, copy: &Path) -> bool {
    let is_log = copy.file_name().and_then(OsStr::to_str) == family(copy).as_deref();
    log != copy && !is_log && is_kin(log, copy)
}

/// The name of the log that a rotated file was.
fn family(path: &Path) -> Option<String> {
    let mut name = path.file_name()?.to_str()?;
    for end in OLD {
        name = name.strip_suffix(end).unwrap_or(name);
    }
    let cut = name.trim_end_matches(|c: char| c.is_ascii_digit() || ".-_:T".contains(c));
    if cut.len() < name.len() && is_suffix(name.get(cut.len()..)?, 1) {
        return Some(cut.to_owned());
    }
    if let Some((stem, extension)) = name.rsplit_once('.') {
        let cut = stem.trim_end_matches(|c: char| c.is_ascii_digit() || ".-_:T".contains(c));
        if is_suffix(stem.get(cut.len()..)?, 6) {
            return Some(format!("{cut}.{extension}"));
        }
    }
    Some(name.to_owned())
}

/// A separator, and then a number or a date.
fn is_suffix(text: &str, digits: usize) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| ".-_".contains(first))
        && text.chars().filter(char::is_ascii_digit).count() >= digits
        && chars.all(|c| c.is_ascii_digit() || ".-_:T".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_a_rotated_name_older_or_newer_than_that_of_its_log() {
        for (log, copy, may) in [
            ("a.log", "a.log.1", true),
            ("a.log.10", "a.log.9", true),
            ("a.log.9", "a.log.10", true),
            ("a.log", "a-20261201.log", true),
            ("a.log.1", "a.log", false),
            ("a-20261201.log", "a.log", false),
            ("a.log.1", "a.log.1", false),
            ("a.log", "b.log.1", false),
        ] {
            let at = |name: &str| Path::new("/var/log").join(name);
            assert_eq!(may_be_copy(&at(log), &at(copy)), may, "{log} {copy}");
        }
    }

    #[test]
    fn rotated_names_are_told_from_other_logs() {
        let is = |log: &str, name: &str| {
            let dir = Path::new("/var/log");
            is_rotated(&dir.join(log), &dir.join(name))
        };
        for name in [
            "a.log.1",
            "a.log.12",
            "a.log-20261201",
            "a.log-20261201-1764547200",
            "a.log.2026-12-01T10:00",
            "a.log.old",
            "a-20261201.log",
            "a.20261201.log",
        ] {
            assert!(is("a.log", name), "{name}");
            for kin in ["a.log", "a.log.7", "a-20270101.log"] {
                assert!(
                    is_kin(
                        &Path::new("/var/log").join(kin),
                        &Path::new("/var/log").join(name)
                    ),
                    "{kin} {name}"
                );
            }
        }
        for name in [
            "a.log",
            "a.log.1.gz",
            "a.log.json",
            "a-api.log",
            "a-2.log",
            "b.log.1",
            "a.log2",
            "a.logs",
        ] {
            assert!(!is("a.log", name), "{name}");
            let kin = is_kin(
                Path::new("/var/log/a.log"),
                &Path::new("/var/log").join(name),
            );
            assert_eq!(kin, name == "a.log", "{name}");
        }
        assert!(is("syslog", "syslog.1") && !is("syslog", "syslog"));
        assert!(!is_rotated(Path::new("/a/x.log"), Path::new("/b/x.log.1")));
    }
}
