//! The message for every kind of bad value, and files that must be accepted.

use std::{fs, path::Path};

use couic_settings::Mistake;

use super::*;

/// A configuration file of Couic 1.0.
const OLD: &str = r#"batch_interval_secs = 900
[server]
name = "production-server"
addr = "127.0.0.1"
port = 8000
secret = "550e8400-e29b-41d4-a716-446655440000"
[thresholds]
orange = 10
red = 100
threshold_min = "green"
[discord]
webhook_url = "https://discord.com/api/webhooks/ID/TOKEN"
[slack]
webhook_url = "https://hooks.slack.com/services/A/B/C"
"#;

const HEAD: &str = "[server]\nname = \"a\"\nsecret = \"550e8400-e29b-41d4-a716-446655440000\"\n";

fn only_mistake(text: &str) -> String {
    let mistakes = Config::parse(text).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    let Mistake { line, key, message } = mistakes.into_iter().next().unwrap();
    let line = line.map_or_else(|| "-".to_owned(), |l| l.to_string());
    format!("{line}: {}: {message}", key.unwrap_or_default())
}

#[test]
fn a_file_of_1_0_works_unchanged_and_hides_its_secrets() {
    let config = Config::parse(OLD).unwrap();
    assert_eq!(config.interval, Duration::from_secs(900));
    assert_eq!(config.server.addr, "127.0.0.1:8000".parse().unwrap());
    assert_eq!(config.notifier_count(), 2);
    let shown = format!("{config:?}");
    for secret in ["550e8400", "TOKEN", "A/B/C"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn the_shortest_file_has_the_documented_defaults() {
    let config = Config::parse(HEAD).unwrap();
    let old = Config::parse(OLD).unwrap();
    assert_eq!(config.thresholds, old.thresholds);
    assert_eq!(config.history, History::default());
    assert_eq!(config.server.addr, old.server.addr);
    assert_eq!(
        (config.interval, config.server.max_body),
        (old.interval, 64 << 20)
    );
    assert_eq!(config.notifier_count(), 0);
    let off = Config::parse(&format!("{HEAD}[slack]\nwebhook_url = \"\"\n")).unwrap();
    assert!(off.slack.is_none());
}

/// The shipped example is valid as it is, and with every commented key enabled.
#[test]
fn the_example_is_valid() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/couic-report.toml");
    let text = fs::read_to_string(path).unwrap();
    let example = Config::parse(&text).unwrap();
    assert_eq!(
        format!("{:?}", example.thresholds),
        format!("{:?}", Config::parse(HEAD).unwrap().thresholds)
    );
    let all: String = text
        .lines()
        .map(|line| match line.strip_prefix("#=") {
            Some(key) => format!("{key}\n"),
            None => format!("{line}\n"),
        })
        .collect();
    let all = Config::parse(&all).unwrap();
    assert_eq!(all.notifier_count(), 3);
    let page = all.page.unwrap();
    assert_eq!((page.users.len(), page.firewalls.len()), (2, 2));
    assert!(example.page.is_none());
}

#[test]
fn colours_start_at_their_thresholds() {
    let thresholds = Config::parse(OLD).unwrap().thresholds;
    for (adds, colour) in [
        (0, Severity::Green),
        (9, Severity::Green),
        (10, Severity::Orange),
        (99, Severity::Orange),
        (100, Severity::Red),
        (u64::MAX, Severity::Red),
    ] {
        assert_eq!(thresholds.colour(adds), colour, "{adds}");
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: one row per bad value")]
fn each_bad_value_has_one_message() {
    for (old, new, expected) in [
        (
            "900",
            "0",
            "1: batch_interval_secs: 0 is not in the range from 1 to 604800",
        ),
        (
            "900",
            "\"900\"",
            "1: batch_interval_secs: must be a whole number, not a string",
        ),
        (
            "name = \"production-server\"\n",
            "",
            "2: server.name: is missing",
        ),
        (
            "production-server",
            "a\\nb",
            "3: server.name: must have at most 100 characters, no control characters among them",
        ),
        (
            "127.0.0.1",
            "localhost",
            "4: server.addr: \"localhost\" is not an address to listen on, as in \"127.0.0.1\"",
        ),
        (
            "8000",
            "0",
            "5: server.port: 0 is not in the range from 1 to 65535",
        ),
        (
            "8400-e29b",
            "8400-e2",
            "6: server.secret: is not a UUID (not shown here: it is a secret); uuidgen makes one",
        ),
        (
            "orange = 10",
            "orange = 100",
            "8: thresholds.orange: 100 must be less than thresholds.red, which is 100",
        ),
        (
            "red = 100",
            "red = -1",
            "9: thresholds.red: -1 is not in the range from 1 to 18446744073709551615",
        ),
        (
            "\"green\"",
            "\"blue\"",
            "10: thresholds.threshold_min: \"blue\" is none of: green, orange, red",
        ),
        (
            "https://discord",
            "discord",
            "12: discord.webhook_url: is not an http or https URL (not shown here: it may contain a secret)",
        ),
        ("[slack]\nwebhook_url", "[slack]\nurl", "-"),
        (
            "[slack]",
            "[slak]",
            "13: slak: unknown key; known here: batch_interval_secs, discord, history, logging, notifiers, page, plugins, server, slack, thresholds",
        ),
    ] {
        let text = OLD.replacen(old, new, 1);
        if expected == "-" {
            let mistakes = Config::parse(&text).unwrap_err();
            let keys: Vec<_> = mistakes.iter().map(|m| m.key.as_deref().unwrap()).collect();
            assert_eq!(keys, ["slack.webhook_url", "slack.url"]);
            continue;
        }
        assert_eq!(only_mistake(&text), expected);
    }
}

#[test]
fn every_mistake_is_reported_with_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("config.toml");
    fs::write(&path, "batch_interval_secs = 0\n[server]\nport = 0\n").unwrap();
    let text = Config::load(&path).unwrap_err().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        lines[0].ends_with(
            "config.toml:1: batch_interval_secs: 0 is not in the range from 1 to 604800"
        )
    );
    assert!(
        lines.iter().all(|l| l.starts_with(path.to_str().unwrap())),
        "{text}"
    );
}

#[test]
fn notifiers_are_read() {
    let text = format!(
        "{HEAD}[[notifiers]]\nplugin = \"ntfy\"\nconfig = {{ url = \"https://t0ken\" }}\n[[notifiers]]\nplugin = \"\"\n"
    );
    assert_eq!(only_mistake(&text), "8: notifiers[1].plugin: is empty");
    let config = Config::parse(&text.replace("plugin = \"\"", "plugin = \"other\"")).unwrap();
    assert_eq!(config.notifiers[0].plugin, "ntfy");
    assert_eq!(
        config.notifiers[0].config.expose()["url"].as_str(),
        Some("https://t0ken")
    );
    assert!(!format!("{config:?}").contains("t0ken"));
}

#[test]
fn two_notifiers_of_one_name_are_a_mistake() {
    let table = "[[notifiers]]\nplugin = \"slack\"\n";
    assert_eq!(
        only_mistake(&format!("{OLD}{table}")),
        "16: notifiers[0].plugin: the name \"slack\" is already used by [slack]: add another name = \"…\""
    );
    let twice = format!("{HEAD}{table}[[notifiers]]\nplugin = \"webhook\"\nname = \"slack\"\n");
    assert_eq!(
        only_mistake(&twice),
        "8: notifiers[1].name: the name \"slack\" is already used by notifiers[0]: add another name = \"…\""
    );
    let unnamed = format!("{HEAD}[[notifiers]]\nplugin = \"/opt/my plugin.so\"\n");
    assert_eq!(
        only_mistake(&unnamed),
        "5: notifiers[0].plugin: \"/opt/my plugin.so\" is no valid name for the notifier: add name = \"…\""
    );
    let named = format!("{OLD}{table}name = \"slack-2\"\nisolated = false\ntimeout_secs = 5\n");
    assert_eq!(Config::parse(&named).unwrap().notifier_count(), 3);
    for (key, says) in [
        ("name = \".x\"", "must be 1 to 64 letters"),
        ("sha256 = \"abc\"", "is not a SHA-256"),
        ("timeout_secs = 0", "not in the range"),
        ("memory_mib = 1", "not in the range"),
        ("isolated = 1", "must be true or false"),
    ] {
        let mistake = only_mistake(&format!("{HEAD}{table}{key}\n"));
        assert!(mistake.contains(says), "{mistake}");
    }
}

fn page(text: &str) -> String {
    format!("{HEAD}[page]\nenabled = true\n{text}")
}

#[test]
fn the_page_is_off_and_needs_a_token() {
    assert!(Config::parse(HEAD).unwrap().page.is_none());
    let missing = only_mistake(&page(""));
    assert!(
        missing.contains("page.token: is missing") && missing.contains("openssl rand"),
        "{missing}"
    );
    let settings = Config::parse(&page("token = \"0123456789abcdef\"")).unwrap();
    assert!(!format!("{settings:?}").contains("0123456789abcdef"));
    let settings = settings.page.unwrap();
    assert_eq!(settings.addr, "127.0.0.1:8001".parse().unwrap());
    assert_eq!(settings.users[0].role, Role::View);
    assert_eq!(settings.session, Duration::from_secs(12 * 3600));
}

#[test]
fn each_mistake_of_the_page_has_one_message_without_secrets() {
    let good = "token = \"0123456789abcdef\"\n";
    for (text, expected) in [
        (
            "token = \"sekret\"".to_owned(),
            "page.token: must have 16 to 256",
        ),
        (
            format!("{good}token_file = \"/x\""),
            "page.token_file: must not be set together",
        ),
        (
            "token_file = \"x\"".to_owned(),
            "page.token_file: \"x\" must be an absolute path",
        ),
        (
            format!("{good}hosts = [\"a/b\"]"),
            "page.hosts: \"a/b\" is not a host name",
        ),
        (
            format!("{good}proxies = [\"x\"]"),
            "page.proxies: \"x\" is not an address",
        ),
        (
            format!("{good}mmdb = [\"x\"]"),
            "page.mmdb: \"x\" must be an absolute path",
        ),
        (
            format!("{good}role = \"root\""),
            "page.role: \"root\" is none of: view, act",
        ),
        (
            format!("{good}session_hours = 0"),
            "page.session_hours: 0 is not in the range",
        ),
        (
            format!("{good}[[page.users]]\nname = \"a\""),
            "page.users[0].token: is missing",
        ),
    ] {
        let told = only_mistake(&page(&text));
        assert!(told.contains(expected), "{text}: {told}");
        assert!(!told.contains("sekret"), "{told}");
    }
}

#[test]
fn each_mistake_of_a_firewall_of_the_page_has_one_message_without_secrets() {
    let good = "token = \"0123456789abcdef\"\n";
    let wall = |keys: &str| format!("{good}[[page.firewalls]]\nname = \"a\"\n{keys}");
    let uuid = "token = \"550e8400-e29b-41d4-a716-446655440000\"";
    for (text, expected) in [
        (wall(""), "page.firewalls[0].token: is missing"),
        (
            wall("token = \"sekret\""),
            "page.firewalls[0].token: is not a UUID",
        ),
        (
            wall(&format!("{uuid}\nurl = \"fw:1\"")),
            "page.firewalls[0].url: \"fw:1\" is not an address",
        ),
        (
            wall(&format!("{uuid}\nurl = \"https://u@fw\"")),
            "page.firewalls[0].url: ",
        ),
        (
            wall(&format!("{uuid}\nurl = \"https://fw\"\nsocket = \"/x\"")),
            "must not be set together",
        ),
        (
            wall(&format!("{uuid}\n[[page.firewalls]]\nname = \"a\"\n{uuid}")),
            "two are named \"a\"",
        ),
    ] {
        let told = only_mistake(&page(&text));
        assert!(told.contains(expected), "{text}: {told}");
        assert!(!told.contains("sekret"), "{told}");
    }
}
