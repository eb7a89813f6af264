//! What logrotate and its like make of a name.

use std::{ffi::OsStr, path::Path};

const COMPRESSED: [&str; 7] = [".gz", ".xz", ".bz2", ".zst", ".lz4", ".zip", ".Z"];

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
        return is_suffix(suffix, 1) || [".old", ".prev", ".bak", "~"].contains(&suffix);
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
        }
        assert!(is("syslog", "syslog.1") && !is("syslog", "syslog"));
        assert!(!is_rotated(Path::new("/a/x.log"), Path::new("/b/x.log.1")));
    }
}
