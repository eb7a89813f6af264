//! Every kind of bad value, by name, and the files that must work.

use std::{fs, path::Path};

use super::*;

/// What a file of Couic 1.0 looks like, on a machine that has root.
const OLD: &str = r#"
ifaces = ["eth0"]
operation_mode = "native"
working_dir = "/var/lib/couic"
user = "root"
group = "root"

[logging]
dir = "/var/log/couic"
rotation = "daily"
max_log_files = 7

[server]
socket = "/var/run/couic/couic.sock"

[reporting]
enabled = true
webhook = "https://telemetry.example.com/v1/reports/550e8400-e29b-41d4-a716-446655440000"

[peering]
enabled = true
peers = [
    { host = "couic2.couic.tld", port = 2900, tls = true, token = "bbfa1388-3218-463c-9722-6805507c14bb" },
]
"#;

const HEAD: &str = "ifaces = [\"eth0\"]\nuser = \"root\"\ngroup = \"root\"\n";

/// The one mistake in this text, as `line: key: message`.
fn only_mistake(text: &str) -> String {
    let mistakes = Config::parse(text).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    let Mistake { line, key, message } = mistakes.into_iter().next().unwrap();
    let line = line.map_or_else(|| "-".to_owned(), |l| l.to_string());
    format!("{line}: {}: {message}", key.unwrap_or_default())
}

#[test]
fn a_file_of_1_0_works_unchanged() {
    let config = Config::parse(OLD).unwrap();
    assert_eq!(config.operation_mode, OperationMode::Native);
    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.logging.format, LogFormat::Text);
    assert!(config.logging.stdout && !config.enforce_guard && config.persist);
    assert!(config.reporting.webhook.is_some());
    let peer = &config.peering.peers[0];
    assert_eq!(
        (peer.host.as_str(), peer.port, peer.tls),
        ("couic2.couic.tld", 2900, true)
    );
}

#[test]
fn the_shortest_file_has_the_documented_defaults() {
    let config = Config::parse(HEAD).unwrap();
    assert_eq!(config.operation_mode, OperationMode::Auto);
    assert_eq!(config.working_dir, Path::new("/var/lib/couic"));
    assert_eq!(config.socket, Path::new("/var/run/couic/couic.sock"));
    assert_eq!(config.plugins_dir, Path::new("/usr/lib/couic/plugins"));
    let logging = config.logging;
    assert_eq!(
        (logging.rotation, logging.max_log_files, logging.level),
        (Rotation::Daily, 7, LogLevel::Info)
    );
    assert!(!config.reporting.enabled && !config.peering.enabled);
    assert!(config.persist);
    let volatile = Config::parse(&format!("{HEAD}[state]\npersist = false\n"));
    assert!(!volatile.unwrap().persist);
}

/// The examples that are shipped say what the defaults are, with an account that every machine has.
#[test]
fn the_example_is_valid_and_says_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/couic.toml");
    let text = fs::read_to_string(path)
        .unwrap()
        .replace("= \"couic\"", "= \"root\"");
    let example = Config::parse(&text).unwrap();
    let default = Config::parse(HEAD).unwrap();
    assert_eq!(format!("{example:?}"), format!("{default:?}"));
    let all: String = text
        .lines()
        .map(|l| {
            l.replacen("# webhook", "webhook", 1)
                .replacen("# name =", "name =", 1)
                .replacen("enabled = false", "enabled = true", 1)
        })
        .map(|l| match l.strip_prefix("# ") {
            Some(key)
                if key.starts_with("[[")
                    || [
                        "name =", "host =", "port =", "tls =", "ca =", "ignore =", "token =",
                    ]
                    .iter()
                    .any(|k| key.starts_with(k)) =>
            {
                key.to_owned()
            }
            _ => l,
        })
        .map(|l| l + "\n")
        .collect();
    let full = Config::parse(&all).unwrap();
    assert!(full.reporting.webhook.is_some() && full.peering.peers.len() == 1);
    assert_eq!(full.reporting.name.as_deref(), Some("fw-lyon"));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: a row a bad value")]
fn one_message_for_each_bad_value() {
    for (tail, expected) in [
        (
            "operation_mode = \"fast\"",
            "4: operation_mode: \"fast\" is none of: auto, native, generic, offloaded",
        ),
        (
            "operation_mode = 1",
            "4: operation_mode: must be a string, not an integer",
        ),
        (
            "working_dir = \"lib\"",
            "4: working_dir: \"lib\" must be an absolute path",
        ),
        (
            "colour = 1",
            "4: colour: unknown key; known here: group, guard, ifaces,",
        ),
        ("limits = 1", "4: limits: must be a table, not an integer"),
        (
            "[limits]\ndrop_entries = 0",
            "5: limits.drop_entries: 0 is not in the range from 1 to 16777216",
        ),
        (
            "[limits]\nignore_entries = -5",
            "5: limits.ignore_entries: -5 is not in the range",
        ),
        (
            "[limits]\nignore_entries = 1.5",
            "5: limits.ignore_entries: must be a whole number, not a float",
        ),
        (
            "[limits]\ndrop_entries = 99999999999999999999",
            "5: limits.drop_entries: 99999999999999999999 is not in",
        ),
        (
            "[limits]\ndrop = 1",
            "5: limits.drop: unknown key; known here: drop_entries, ignore_entries",
        ),
        (
            "[logging]\ndir = \"log\"",
            "5: logging.dir: \"log\" must be an absolute path",
        ),
        (
            "[logging]\nrotation = \"hourly\"",
            "5: logging.rotation: \"hourly\" is none of: daily, weekly, never",
        ),
        (
            "[logging]\nmax_log_files = 0",
            "5: logging.max_log_files: 0 is not in the range from 1",
        ),
        (
            "[logging]\nformat = \"xml\"",
            "5: logging.format: \"xml\" is none of: text, json",
        ),
        (
            "[logging]\nlevel = \"loud\"",
            "5: logging.level: \"loud\" is none of: error,",
        ),
        (
            "[logging]\nstdout = \"yes\"",
            "5: logging.stdout: must be true or false, not a string",
        ),
        (
            "[server]\nsocket = \"couic.sock\"",
            "5: server.socket: \"couic.sock\" must be an absolute path",
        ),
        (
            "[server]\nsocket = \"/run/couic/\"",
            "5: server.socket: must name a file",
        ),
        (
            "[server]\nport = 1",
            "5: server.port: unknown key; known here: socket",
        ),
        (
            "[state]\npersist = \"no\"",
            "5: state.persist: must be true or false, not a string",
        ),
        (
            "[guard]\nenforce = 1",
            "5: guard.enforce: must be true or false, not an integer",
        ),
        (
            "[plugins]\ndir = \"\"",
            "5: plugins.dir: \"\" must be an absolute path",
        ),
        (
            "[reporting]\nenabled = true",
            "4: reporting.webhook: is missing",
        ),
        (
            "[[reporting.notifiers]]\nconfig = {}",
            "4: reporting.notifiers[0].plugin: is missing",
        ),
        (
            "[[reporting.notifiers]]\nplugin = \"\"",
            "5: reporting.notifiers[0].plugin: is empty",
        ),
        (
            "[[reporting.notifiers]]\nplugin = \"a\"\nconfig = 1",
            "6: reporting.notifiers[0].config: must be a table",
        ),
        (
            "[[reporting.notifiers]]\nplugin = \"a\"\nurl = 1",
            "6: reporting.notifiers[0].url: unknown key",
        ),
        (
            "[reporting]\nwebhook = \"http://a/\"\n[[reporting.notifiers]]\nplugin = \"webhook\"",
            "7: reporting.notifiers[0].plugin: a second notifier is called \"webhook\", after reporting.webhook",
        ),
        (
            "[[reporting.notifiers]]\nplugin = \"a\"\n[[reporting.notifiers]]\nplugin = \"b\"\nname = \"a\"",
            "8: reporting.notifiers[1].name: a second notifier is called \"a\", after reporting.notifiers[0]",
        ),
        (
            "[[reporting.notifiers]]\nplugin = \"/opt/a b.so\"",
            "5: reporting.notifiers[0].plugin: \"/opt/a b.so\" gives the notifier no name",
        ),
        (
            "[reporting]\nname = \"pare-feu-é\"",
            "5: reporting.name: must be 1 to 100 letters",
        ),
        (
            "[reporting]\nnotifiers = [1]",
            "5: reporting.notifiers[0]: must be a table, not an integer",
        ),
        (
            "[peering]\npeers = 1",
            "5: peering.peers: must be an array of tables, not an integer",
        ),
    ] {
        let told = only_mistake(&format!("{HEAD}{tail}\n"));
        assert!(
            told.starts_with(expected),
            "{tail}\n  expected {expected}\n  got      {told}"
        );
    }
}

#[test]
fn one_message_for_each_bad_peer() {
    let token = "token = \"bbfa1388-3218-463c-9722-6805507c14bb\"";
    for (peer, expected) in [
        (
            format!("port = 1\n{token}"),
            "4: peering.peers[0].host: is missing",
        ),
        (
            format!("host = \"a\"\n{token}"),
            "4: peering.peers[0].port: is missing",
        ),
        (
            "host = \"a\"\nport = 1".to_owned(),
            "4: peering.peers[0].token: is missing",
        ),
        (
            format!("host = \"a b\"\nport = 1\n{token}"),
            "5: peering.peers[0].host: \"a b\" is neither",
        ),
        (
            format!("host = \"a\"\nport = 65536\n{token}"),
            "6: peering.peers[0].port: 65536 is not in the range from 1 to 65535",
        ),
        (
            "host = \"a\"\nport = 1\ntoken = \"5ec2e7\"".to_owned(),
            "7: peering.peers[0].token: is not a UUID",
        ),
        (
            format!("host = \"a\"\nport = 1\ntls = 1\n{token}"),
            "7: peering.peers[0].tls: must be true or false",
        ),
        (
            format!(
                "host = \"a\"\nport = 1\n{token}\n[[peering.peers]]\nhost = \"A\"\nport = 1\n{token}"
            ),
            "8: peering.peers[1].host: A port 1 is named twice",
        ),
    ] {
        let told = only_mistake(&format!("{HEAD}[[peering.peers]]\n{peer}\n"));
        assert!(
            told.starts_with(expected),
            "{peer}\n  expected {expected}\n  got      {told}"
        );
        assert!(!told.contains("5ec2e7"));
    }
    for host in [
        "192.0.2.1",
        "2001:db8::1",
        "[2001:db8::1]",
        "a_b-c.example.",
    ] {
        let peer = format!("{HEAD}[[peering.peers]]\nhost = \"{host}\"\nport = 1\n{token}\n");
        assert!(Config::parse(&peer).is_ok(), "{host}");
    }
}

#[test]
fn one_message_for_each_bad_interface_list() {
    let accounts = "user = \"root\"\ngroup = \"root\"\n";
    for (ifaces, expected) in [
        ("", "-: ifaces: is missing"),
        ("ifaces = []", "3: ifaces: is empty"),
        (
            "ifaces = \"eth0\"",
            "3: ifaces: must be an array of strings, not a string",
        ),
        (
            "ifaces = [\n\"eth0\",\n1]",
            "5: ifaces[1]: must be a string, not an integer",
        ),
        (
            "ifaces = [\"\"]",
            "3: ifaces: \"\" cannot be the name of an interface",
        ),
        ("ifaces = [\"a/b\"]", "3: ifaces: \"a/b\" cannot be"),
        (
            "ifaces = [\"0123456789abcdef\"]",
            "3: ifaces: \"0123456789abcdef\" cannot be",
        ),
        (
            "ifaces = [\"eth0\",\n\"eth0\"]",
            "4: ifaces: \"eth0\" is named twice",
        ),
    ] {
        let told = only_mistake(&format!("{accounts}{ifaces}\n"));
        assert!(
            told.starts_with(expected),
            "{ifaces}\n  expected {expected}\n  got      {told}"
        );
    }
}

#[test]
fn an_unknown_account_is_told_with_the_command_that_makes_it() {
    let told = only_mistake("ifaces = [\"eth0\"]\nuser = \"no-such-account\"\ngroup = \"root\"\n");
    assert!(
        told.starts_with("2: user: there is no user \"no-such-account\""),
        "{told}"
    );
    assert!(told.contains("useradd --system no-such-account"));
    let told = only_mistake("ifaces = [\"eth0\"]\nuser = \"root\"\ngroup = \"no-such-account\"\n");
    assert!(told.contains("groupadd --system no-such-account"), "{told}");
}

#[test]
fn limits_that_no_table_holds_together() {
    let told = only_mistake(&format!("{HEAD}[limits]\ndrop_entries = 16000000\n"));
    assert!(told.starts_with("4: limits.drop_entries: "), "{told}");
    assert!(
        told.contains("lower drop_entries or ignore_entries"),
        "{told}"
    );
    assert!(Config::parse(&format!("{HEAD}[limits]\ndrop_entries = 8000000\n")).is_ok());
}

#[test]
fn a_socket_path_that_no_address_holds() {
    let long = format!("/{}", "x".repeat(107));
    let told = only_mistake(&format!("{HEAD}[server]\nsocket = \"{long}\"\n"));
    assert!(
        told.starts_with("5: server.socket: has 108 bytes"),
        "{told}"
    );
    let fits = &long[..107];
    assert!(Config::parse(&format!("{HEAD}[server]\nsocket = \"{fits}\"\n")).is_ok());
}

#[test]
fn all_mistakes_are_listed_in_the_order_of_lines_with_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("couic.toml");
    let text = format!(
        "{HEAD}operation_mode = 1\n[logging]\nformat = \"xml\"\nrot = 1\n[peering]\nenabled = 2\n"
    );
    fs::write(&path, text.replace("[\"eth0\"]", "[]")).unwrap();
    let told = Config::load(&path).unwrap_err().to_string();
    let shown = path.display();
    let lines: Vec<&str> = told.lines().collect();
    let starts = [
        format!("{shown}:1: ifaces: is empty"),
        format!("{shown}:4: operation_mode: must be a string"),
        format!("{shown}:6: logging.format: \"xml\""),
        format!("{shown}:7: logging.rot: unknown key"),
        format!("{shown}:9: peering.enabled: must be true or false"),
    ];
    assert_eq!(lines.len(), starts.len(), "{told}");
    for (line, start) in lines.iter().zip(&starts) {
        assert!(line.starts_with(start.as_str()), "{told}");
    }
    let missing = Config::load(&dir.path().join("none"))
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("none: cannot be read: No such file"),
        "{missing}"
    );
}

#[test]
fn what_is_not_toml_is_told_by_its_lines() {
    for (text, line) in [
        ("ifaces = [\"eth0\"", 1),
        ("a = 1\nb = = 2\n", 2),
        ("a = 1\na = 2\n", 2),
    ] {
        let mistakes = Config::parse(text).unwrap_err();
        assert_eq!(mistakes[0].line, Some(line), "{mistakes:?}");
        assert!(
            mistakes[0].message.starts_with("not TOML: "),
            "{mistakes:?}"
        );
    }
}

#[test]
fn secrets_are_in_no_message_and_no_debug() {
    let notifiers = "[reporting]\nnotifiers = [{ plugin = \"slack\", config = { webhook_url = \"https://5ec2e7\" } }]";
    let config = Config::parse(&OLD.replace("[reporting]", notifiers)).unwrap();
    let url = config.reporting.notifiers[0].config.expose()["webhook_url"].as_str();
    assert_eq!(url, Some("https://5ec2e7"));
    let shown = format!("{config:?} {config:#?}");
    for secret in ["550e8400", "bbfa1388", "5ec2e7", "telemetry"] {
        assert!(!shown.contains(secret), "{secret} in Debug");
    }
    for text in [
        "[reporting]\nwebhook = \"ftp://5ec2e7.example/\"",
        "[reporting]\nwebhook = 5ec2e7",
        "[reporting]\nwebhook = https://x.example/5ec2e7",
        "[[peering.peers]]\nhost = \"a\"\nport = 1\ntoken = 5ec2e7-1",
        "[[peering.peers]]\nhost = \"a\"\nport = 1\ntoken = \"5ec2e7",
        "[reporting]\nnotifiers = [{ plugin = \"a\", config = \"5ec2e7\" }]",
    ] {
        let mistakes = Config::parse(&format!("{HEAD}{text}\n")).unwrap_err();
        let told = format!("{mistakes:?}");
        assert!(!told.contains("5ec2e7"), "{told}");
    }
}

#[test]
fn a_disabled_reporting_with_an_empty_webhook_is_fine() {
    let text = format!(
        "{HEAD}[reporting]\nenabled = false\nwebhook = \"\"\n[peering]\nenabled = true\npeers = []\n"
    );
    let config = Config::parse(&text).unwrap();
    assert!(config.reporting.webhook.is_none() && config.peering.enabled);
}

#[test]
fn what_a_peer_may_do() {
    let token = "token = \"bbfa1388-3218-463c-9722-6805507c14bb\"\n";
    let config = Config::parse(&format!(
        "{HEAD}[peering]\nenabled = true\nmin_prefix_v4 = 12\ntombstone_days = 30\n\
         [[peering.peers]]\nhost = \"b.example.org\"\nport = 1\n{token}\
         [[peering.peers]]\nhost = \"b.example.org\"\nport = 2\n{token}ignore = true\nmin_prefix_v6 = 48\n\
         adds_per_second = 7\ntags = \"ssh*\"\nca = \"/etc/ca.pem\"\n\
         [[peering.peers]]\nname = \"c\"\nhost = \"[::1]\"\nport = 2\n{token}"
    ))
    .unwrap();
    let Peering {
        peers,
        limits,
        tombstones,
        enabled,
    } = config.peering;
    assert!(enabled && !limits.ignore);
    assert_eq!(tombstones.as_secs(), 30 * 86_400);
    let names: Vec<&str> = peers.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["b-example-org", "b-example-org-2", "c"]);
    assert_eq!(peers[0].limits, limits);
    let second = &peers[1].limits;
    assert_eq!((second.min_prefix_v4, second.min_prefix_v6), (12, 48));
    assert!(second.ignore && second.adds_per_second == 7 && second.tags.is_some());
    assert_eq!(peers[1].ca.as_deref(), Some(Path::new("/etc/ca.pem")));
    for (bad, said) in [
        (
            "tombstone_days = 0",
            "5: peering.tombstone_days: 0 is not in the range from 1 to 365",
        ),
        (
            "min_prefix_v4 = 33",
            "5: peering.min_prefix_v4: 33 is not in the range from 0 to 32",
        ),
        (
            "adds_per_second = 0",
            "5: peering.adds_per_second: 0 is not in the range",
        ),
        ("tags = 1", "5: peering.tags: must be a string"),
        ("ignore = 1", "5: peering.ignore: must be true or false"),
    ] {
        let told = only_mistake(&format!("{HEAD}[peering]\n{bad}\n"));
        assert!(told.contains(said), "{told}");
    }
    let peer = |more: &str| format!("[[peering.peers]]\nhost = \"h\"\nport = 1\n{token}{more}\n");
    for (bad, said) in [
        ("name = \"a b\"", "peering.peers[0].name: \"a b\": "),
        (
            "ca = \"ca.pem\"",
            "peering.peers[0].ca: \"ca.pem\" must be an absolute path",
        ),
    ] {
        let told = only_mistake(&format!("{HEAD}{}", peer(bad)));
        assert!(told.contains(said), "{told}");
    }
    let twice = peer("name = \"x\"") + &peer("name = \"x\"").replace("\"h\"", "\"i\"");
    let told = only_mistake(&format!("{HEAD}{twice}"));
    assert!(told.contains("two peers are called x"), "{told}");
}
