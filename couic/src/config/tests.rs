//! Files that must be accepted, and the list of mistakes; the mistakes of each section are in files of their own.

mod interfaces;
mod peers;
mod values;

use std::{fs, path::Path};

use super::*;

/// A file of Couic 1.0, for the user root.
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
    assert!(config.logging.stdout && !config.guard.enforce && config.persist);
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
    assert!(config.keep_filter);
    assert!(config.persist);
    let volatile = Config::parse(&format!("{HEAD}[state]\npersist = false\n"));
    assert!(!volatile.unwrap().persist);
}

#[test]
fn the_example_is_valid_and_shows_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/couic.toml");
    let text = fs::read_to_string(path)
        .unwrap()
        .replace("= \"couic\"", "= \"root\"");
    let example = Config::parse(&text).unwrap();
    let mut default = Config::parse(HEAD).unwrap();
    assert_eq!(default.metrics_listen, None);
    default.metrics_listen = Some("127.0.0.1:9464".parse().unwrap());
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
                        "plugin =", "config =",
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
fn invalid_toml_is_reported_by_line() {
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
