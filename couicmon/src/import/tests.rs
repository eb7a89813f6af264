use std::fs;

use regex_automata::meta::Regex;

use super::*;

const COMMON: &str = r"
[DEFAULT]
logtype = file
_daemon = \S*
__pid_re = (?:\[\d+\])
__prefix_line = <lt_<logtype>/__prefix_line>
[lt_file]
__prefix_line = (?:\[\])?\s*(?:\S+\s+)?(?:<_daemon><__pid_re>?:?\s+)?
[lt_journal]
__prefix_line = \s*(?:<_daemon><__pid_re>?:?\s+)?
";

const FTP: &str = r"
[INCLUDES]
before = common.conf
[Definition]
_daemon = ftpd
prefregex = ^%(__prefix_line)s\(\S*\[<HOST>\]\) <F-CONTENT>(?:USER|Too).+</F-CONTENT>$
failregex = ^USER <F-USER>\S+|.*?</F-USER>: no such user$
            ^Too many
ignoreregex = USER monitor:
journalmatch = _SYSTEMD_UNIT=ftpd.service + _COMM=ftpd
";

const WEB: &str = r#"
[Definition]
failregex = ^<HOST> - \S+ \[\] "(?:GET|POST) <bad>[^"]*" 404
datepattern = ^[^\[]*\[({DATE})
[Init]
bad = /(?:xmlrpc|setup)\.php
"#;

const LOOK: &str = "[Definition]\nfailregex = ^(?!x)<HOST>$\n";

const JAILS: &str = "
[DEFAULT]
maxretry = 3
findtime = 10m
bantime = 1h
bantime.increment = true
ignoreip = 127.0.0.1/8 192.0.2.7 monitor.example
filter = %(__name__)s
[ftp]
enabled = true
logpath = /var/log/ftp.log
[ftp-again]
enabled = true
filter = ftp
logpath = /var/log/ftp.log
bantime = -1
[web]
enabled = true
logpath = /var/log/web/*.log
[nginx-look]
enabled = true
logpath = /var/log/x.log
[off]
logpath = /var/log/x.log
";

const HOST: &str = r"\[?(?:::f{4}:)?(?P<host>(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9a-fA-F]{1,4}::?|::){1,7}[0-9a-fA-F]{0,4})\]?";

fn imported(jails: &str) -> Imported {
    let dir = tempfile::tempdir().unwrap();
    let filters = dir.path().join("filter.d");
    fs::create_dir(&filters).unwrap();
    for (name, text) in [
        ("common", COMMON),
        ("ftp", FTP),
        ("web", WEB),
        ("nginx-look", LOOK),
    ] {
        fs::write(filters.join(format!("{name}.conf")), text).unwrap();
    }
    let path = dir.path().join("jail.local");
    fs::write(&path, jails).unwrap();
    fail2ban(&path, &filters).unwrap()
}

fn toml(imported: &Imported) -> toml::Table {
    imported.toml.parse().unwrap()
}

/// The address that an expression of a jail finds, with `<HOST>` as the detector has it.
pub(super) fn host(regex: &str, line: &[u8]) -> Option<String> {
    let regex = regex.replace("<HOST>", HOST);
    let config = regex_automata::util::syntax::Config::new()
        .unicode(false)
        .utf8(false);
    let regex = Regex::builder()
        .syntax(config)
        .configure(Regex::config().utf8_empty(false))
        .build(&regex)
        .unwrap_or_else(|e| panic!("{regex}: {e:?}"));
    let mut found = regex.create_captures();
    regex.captures(line, &mut found);
    let span = found.get_group_by_name("host")?;
    Some(String::from_utf8_lossy(&line[span.range()]).into_owned())
}

fn hosts(imported: &Imported, jail: &str, line: &str) -> Option<String> {
    let toml = toml(imported);
    let jail = &toml["jail"][jail];
    let list = |key| {
        jail.get(key)
            .and_then(|v| v.as_array())
            .cloned()
            .unwrap_or_default()
    };
    let regex = list("regex");
    let found = regex
        .iter()
        .find_map(|r| host(r.as_str().unwrap(), line.as_bytes()));
    let ignored = list("ignore_regex");
    let is_ignored = ignored
        .iter()
        .any(|r| Regex::new(r.as_str().unwrap()).unwrap().is_match(line));
    found.filter(|_| !is_ignored)
}

#[test]
fn jails_become_a_configuration() {
    let imported = imported(JAILS);
    let toml = toml(&imported);
    assert_eq!(imported.jails, ["ftp", "ftp-again", "web"]);
    let text = |path: &[&str]| {
        path.iter()
            .fold(&toml::Value::Table(toml.clone()), |v, k| &v[*k])
            .clone()
    };
    assert_eq!(
        text(&["source", "ftp", "file"]).to_string(),
        r#"["/var/log/ftp.log"]"#
    );
    assert_eq!(text(&["jail", "ftp", "rate"]).as_str(), Some("3 per 30m"));
    assert_eq!(text(&["jail", "ftp", "ban"]).as_str(), Some("1h"));
    assert_eq!(text(&["jail", "ftp-again", "source"]).as_str(), Some("ftp"));
    assert_eq!(text(&["jail", "ftp-again", "ban"]).as_str(), Some("7d"));
    assert_eq!(text(&["ladder", "factor"]).to_string(), "2");
    assert_eq!(text(&["ignore"]).as_array().unwrap().len(), 2);
}

#[test]
fn what_has_no_translation_is_named_with_its_reason_and_what_to_use() {
    let imported = imported(JAILS);
    let [left_out] = imported.left_out.as_slice() else {
        panic!("{:?}", imported.left_out)
    };
    assert_eq!(left_out.jail, "nginx-look");
    assert_eq!(left_out.why, "a look-ahead or look-behind: …(?!x)<HOST>$");
    assert_eq!(left_out.instead, Some("presets = [\"nginx\"]"));
    let notes = imported.notes.join("\n");
    assert!(
        notes.contains("ignoreip monitor.example is left out"),
        "{notes}"
    );
    assert!(notes.contains("ftp-again: its bans last 7 days"), "{notes}");
}

#[test]
fn expressions_find_what_fail2ban_finds() {
    let imported = imported(JAILS);
    for (line, expected) in [
        (
            "Nov  1 10:00:00 host ftpd[7]: (x[192.0.2.1]) USER bob: no such user",
            Some("192.0.2.1"),
        ),
        (
            "Nov  1 10:00:00 host ftpd[7]: (x[2001:db8::1]) Too many commands",
            Some("2001:db8::1"),
        ),
        (
            "[2026-11-01 10:00:00] ftpd: ([192.0.2.1]) USER a: b: no such user",
            Some("192.0.2.1"),
        ),
        (
            "Nov  1 10:00:00 host ftpd[7]: (x[192.0.2.1]) USER monitor: no such user",
            None,
        ),
        (
            "Nov  1 10:00:00 host ftpd[7]: (x[192.0.2.1]) USER bob: logged in",
            None,
        ),
        // What a client writes is behind its own address.
        (
            "Nov  1 10:00:00 host ftpd[7]: (x[192.0.2.1]) USER (x[203.0.113.9]) USER y: no such user",
            Some("192.0.2.1"),
        ),
        (
            "Nov  1 10:00:00 host other[7]: x ftpd[7]: (x[203.0.113.9]) Too many commands",
            None,
        ),
    ] {
        assert_eq!(hosts(&imported, "ftp", line).as_deref(), expected, "{line}");
    }
    let line = r#"192.0.2.1 - - [01/Nov/2026:10:00:00 +0000] "GET /setup.php HTTP/1.1" 404 1"#;
    assert_eq!(hosts(&imported, "web", line).as_deref(), Some("192.0.2.1"));
}

#[test]
fn bytes_that_are_no_text_hide_nobody() {
    let imported = imported(JAILS);
    let toml = toml(&imported);
    let regex = toml["jail"]["ftp"]["regex"][0].as_str().unwrap();
    let line = b"Nov  1 10:00:00 host ftpd[7]: (x[192.0.2.1]) USER b\xff\xfeb c: no such user";
    assert_eq!(host(regex, line).as_deref(), Some("192.0.2.1"));
}

#[test]
fn jails_of_the_journal_read_the_units_of_their_filter() {
    let jails = "[ftp]\nenabled = true\nbackend = systemd\nfilter = ftp\n[web]\nenabled = 1\nbackend = systemd\nfilter = web";
    let imported = imported(jails);
    let toml = toml(&imported);
    assert_eq!(
        toml["source"]["ftp"]["journal"].to_string(),
        r#"["_SYSTEMD_UNIT=ftpd.service"]"#
    );
    assert!(imported.left_out[0].why.contains("journalmatch"));
    let line = "ftpd[7]: (x[192.0.2.1]) Too many commands";
    assert_eq!(hosts(&imported, "ftp", line).as_deref(), Some("192.0.2.1"));
    let bare = "(x[192.0.2.1]) Too many commands";
    assert_eq!(hosts(&imported, "ftp", bare).as_deref(), Some("192.0.2.1"));
}

#[test]
fn names_that_are_no_names_here_are_changed_and_stay_apart() {
    let jails = "[a b.c]\nenabled = true\nfilter = web\nlogpath = /x\n[A-b-c]\nenabled = true\nfilter = web\nlogpath = /x";
    assert_eq!(imported(jails).jails, ["a-b-c", "a-b-c-2"]);
}

mod installed;
