//! The jails of a configuration of fail2ban, with their options filled in.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    filter::Filter,
    ini::{Ini, Options, Unreadable},
    time::seconds,
};

/// A jail that is switched on.
#[derive(Debug)]
pub(super) struct Jail {
    pub(super) name: String,
    pub(super) filter: String,
    pub(super) found: Result<Found, String>,
}

/// What a jail says, if all of it can be read.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) rules: Filter,
    /// Read from the journal, not from files.
    pub(super) journal: bool,
    pub(super) files: Vec<String>,
    pub(super) max_retry: u32,
    pub(super) find_time: i64,
    pub(super) ban_time: i64,
    pub(super) ignore: Vec<String>,
    pub(super) ladder: Option<Ladder>,
}

/// `bantime.increment`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Ladder {
    pub(super) factor: f64,
    pub(super) max: Option<i64>,
}

/// All jails that are switched on, in the order of the files: those beside `path` and the one at `path` itself.
pub(super) fn read(path: &Path, filters: &Path) -> Result<Vec<Jail>, Unreadable> {
    let mut ini = Ini::read(&files(path))?;
    let dir = filters.parent().unwrap_or(Path::new("/etc/fail2ban"));
    ini.set_default("fail2ban_confpath", dir.display().to_string());
    ini.set_default("fail2ban_version", "1".into());
    ini.set_default("backend", "auto".into());
    let is_jail = |name: &&str| *name != "INCLUDES";
    let jails = ini.sections().filter(is_jail).filter_map(|name| {
        let none = Options::new();
        let enabled = match ini.get(name, "enabled", &none) {
            Ok(enabled) => is_true(enabled.as_deref().unwrap_or_default()),
            // Better named than passed over.
            Err(_) => true,
        };
        enabled.then(|| jail(&ini, name, filters))
    });
    Ok(jails.collect())
}

/// `jail.conf`, `jail.d/*.conf`, `jail.local`, `jail.d/*.local`: those that exist, whichever of them was named.
fn files(path: &Path) -> Vec<PathBuf> {
    let base = if path.is_dir() {
        path.join("jail")
    } else {
        path.with_extension("")
    };
    let dir = base.with_extension("d");
    let mut found = Vec::new();
    for end in ["conf", "local"] {
        found.push(base.with_extension(end));
        let entries = fs::read_dir(&dir).into_iter().flatten().flatten();
        let mut parts: Vec<_> = entries.map(|entry| entry.path()).collect();
        parts.retain(|part| part.extension().is_some_and(|e| e == end));
        parts.sort();
        found.extend(parts);
    }
    found.retain(|file| file.exists());
    if !path.is_dir() && !found.iter().any(|file| file == path) {
        found.push(path.to_owned());
    }
    found
}

fn is_true(text: &str) -> bool {
    ["1", "true", "yes", "on"].contains(&text.trim().to_lowercase().as_str())
}

fn jail(ini: &Ini, name: &str, filters: &Path) -> Jail {
    let filter = ini.get(name, "filter", &Options::new());
    let (filter, parameters) = match &filter {
        Ok(Some(text)) => parameters(text),
        _ => (name.to_owned(), Options::new()),
    };
    Jail {
        found: found(ini, name, &filter, parameters, filters),
        name: name.to_owned(),
        filter,
    }
}

fn found(
    ini: &Ini,
    name: &str,
    filter: &str,
    mut parameters: Options,
    filters: &Path,
) -> Result<Found, String> {
    let none = Options::new();
    let text = |option: &str| ini.get(name, option, &none).map(Option::unwrap_or_default);
    let time = |option: &str, default: &str| {
        let text = text(option)?;
        let text = if text.is_empty() { default } else { &text };
        seconds(text).ok_or_else(|| format!("{option} = {text} is not a time"))
    };
    let max_retry = text("maxretry")?;
    let max_retry = if max_retry.is_empty() {
        "5"
    } else {
        &max_retry
    };
    let journal = text("backend")?.starts_with("systemd");
    parameters
        .entry("logtype".into())
        .or_insert_with(|| if journal { "journal" } else { "file" }.into());
    if !text("ignorecommand")?.is_empty() {
        return Err("its ignorecommand would not be run, so that others would be banned".into());
    }
    let own = own_rules(ini, name)?;
    let rules = Filter::read(filters, filter, &parameters, &own)?;
    // A line of files is a path, and perhaps `head` or `tail`: where fail2ban starts to read.
    let files = text("logpath")?;
    let path = |line: &str| {
        let line = line.trim();
        let path = line
            .strip_suffix(" tail")
            .or_else(|| line.strip_suffix(" head"));
        path.unwrap_or(line).trim().to_owned()
    };
    let words = |text: String| {
        text.split([' ', ',', '\n'])
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    Ok(Found {
        rules,
        journal,
        files: files.lines().map(path).filter(|p| !p.is_empty()).collect(),
        max_retry: max_retry
            .trim()
            .parse()
            .map_err(|_| format!("maxretry = {max_retry} is no number"))?,
        find_time: time("findtime", "10m")?,
        ban_time: time("bantime", "10m")?,
        ignore: words(text("ignoreip")?)
            .into_iter()
            .filter(|w| !w.is_empty())
            .collect(),
        ladder: is_true(&text("bantime.increment")?).then(|| ladder(&text)),
    })
}

/// What the jail sets over its filter.
fn own_rules(ini: &Ini, name: &str) -> Result<Options, String> {
    let mut own = Options::new();
    for option in [
        "failregex",
        "ignoreregex",
        "prefregex",
        "datepattern",
        "journalmatch",
        "maxlines",
    ] {
        let section = ini.section(name).is_some_and(|s| s.contains_key(option));
        if section && let Some(value) = ini.get(name, option, &Options::new())? {
            own.insert(option.into(), value);
        }
    }
    Ok(own)
}

/// fail2ban doubles by default; where it has multipliers, the step from the first to the second.
fn ladder(text: &impl Fn(&str) -> Result<String, String>) -> Ladder {
    let of = |option: &str| text(option).unwrap_or_default();
    let multipliers = of("bantime.multipliers");
    let mut steps = multipliers
        .split_whitespace()
        .filter_map(|n| n.parse::<f64>().ok());
    let factor = match (steps.next(), steps.next()) {
        (Some(first), Some(second)) if first > 0.0 && second > first => second / first,
        _ => 2.0,
    };
    Ladder {
        factor,
        max: seconds(&of("bantime.maxtime")),
    }
}

/// `NAME[mode=aggressive, x="y"]`.
fn parameters(text: &str) -> (String, Options) {
    let (name, mut rest) = text.split_once('[').unwrap_or((text, ""));
    let mut found = Options::new();
    while let Some((key, after)) = rest.split_once('=') {
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''));
        let (value, after) = match quote {
            Some(quote) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
            None => after.split_at(after.find([',', ']']).unwrap_or(after.len())),
        };
        let key = key.trim_matches(|c: char| c.is_whitespace() || matches!(c, ',' | ']' | '['));
        found.insert(key.to_owned(), value.trim().to_owned());
        rest = after;
    }
    (name.trim().to_owned(), found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONF: &str = "[DEFAULT]\nbantime = 10m\nfindtime = 600\nmaxretry = 5\nenabled = false\nmode = normal\n\
        filter = %(__name__)s[mode=%(mode)s]\nlog = /var/log/a.log\nignoreip = 127.0.0.1/8, ::1\n\
        [a]\nlogpath = %(log)s\n   /var/log/b*.log tail\n[b]\nlogpath = %(log)s\n";

    fn setup(local: &str) -> (tempfile::TempDir, Vec<Jail>) {
        let dir = tempfile::tempdir().unwrap();
        let filters = dir.path().join("filter.d");
        fs::create_dir_all(&filters).unwrap();
        for name in ["a", "b"] {
            let text = format!("[Definition]\nfailregex = ^{name}<mode> <HOST>\n");
            fs::write(filters.join(format!("{name}.conf")), text).unwrap();
        }
        fs::write(dir.path().join("jail.conf"), CONF).unwrap();
        fs::create_dir(dir.path().join("jail.d")).unwrap();
        fs::write(dir.path().join("jail.d/x.conf"), "[a]\nenabled = true\n").unwrap();
        fs::write(dir.path().join("jail.local"), local).unwrap();
        let jails = read(&dir.path().join("jail.local"), &filters).unwrap();
        (dir, jails)
    }

    #[test]
    fn files_beside_the_named_one_are_below_it() {
        let (_dir, jails) =
            setup("[a]\nmode = hard\nbantime = -1\nmaxretry = 3\n[missing]\nenabled = yes\n");
        assert_eq!(jails.len(), 2);
        let found = jails[0].found.as_ref().unwrap();
        assert_eq!(found.rules.fail, ["^ahard <HOST>"]);
        assert_eq!(found.files, ["/var/log/a.log", "/var/log/b*.log"]);
        assert_eq!(
            (found.max_retry, found.find_time, found.ban_time),
            (3, 600, -1)
        );
        assert_eq!(found.ignore, ["127.0.0.1/8", "::1"]);
        assert!(!found.journal);
        assert_eq!(jails[1].name, "missing");
        let error = jails[1].found.as_ref().unwrap_err();
        assert!(error.ends_with("missing.conf does not exist"), "{error}");
    }

    #[test]
    fn a_jail_may_have_expressions_and_a_ladder_of_its_own() {
        let (_dir, jails) = setup(
            "[a]\nfailregex = ^own <HOST>\nbackend = systemd\nbantime.increment = true\n\
             bantime.multipliers = 1 5 30\nbantime.maxtime = 5w\n[b]\nenabled = true\nfindtime = x",
        );
        let found = jails[0].found.as_ref().unwrap();
        assert_eq!(found.rules.fail, ["^own <HOST>"]);
        assert!(found.journal);
        let expected = Ladder {
            factor: 5.0,
            max: Some(5 * 604_800),
        };
        assert_eq!(found.ladder, Some(expected));
        assert_eq!(
            jails[1].found.as_ref().unwrap_err(),
            "findtime = x is not a time"
        );
    }

    #[test]
    fn parameters_of_filters_may_be_quoted() {
        let (name, found) = parameters(r#"sshd[mode="a,b", x='c]', y=d]"#);
        assert_eq!(name, "sshd");
        let found: Vec<_> = found
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(found, [("mode", "a,b"), ("x", "c]"), ("y", "d")]);
        assert_eq!(parameters("plain").0, "plain");
    }
}
