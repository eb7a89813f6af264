use std::time::Duration;

use crate::{
    BotConfig, DetectConfig, Distinct, GuardConfig, JailConfig, LadderConfig, LoginConfig, Mistake,
    WidenConfig,
};

fn jail(name: &str) -> JailConfig {
    JailConfig {
        name: name.into(),
        sources: vec!["web".into()],
        rate: "10 per 100s".into(),
        ..JailConfig::default()
    }
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

fn mistakes(config: &DetectConfig) -> Vec<Mistake> {
    config.check(&["web".into()]).err().unwrap_or_default()
}

fn of_jail(config: JailConfig) -> Vec<String> {
    let config = DetectConfig {
        jails: vec![config],
        ..DetectConfig::default()
    };
    mistakes(&config).iter().map(ToString::to_string).collect()
}

#[test]
fn all_mistakes_are_told_at_once_with_their_keys() {
    let wrong = JailConfig {
        name: "scan".into(),
        sources: strings(&["web", "ssh"]),
        status: strings(&["4xx", "abc"]),
        method: strings(&["GET /"]),
        path: strings(&["login", "/a?b"]),
        contains: strings(&[""]),
        host: vec!["x".repeat(257)],
        regex: strings(&["(", "(?!x)y"]),
        ignore_regex: strings(&["from <HOST>"]),
        rate: "fast".into(),
        ban: Duration::from_secs(8 * 86_400),
        tag: Some("a b".into()),
        cells: 1,
        ..JailConfig::default()
    };
    let config = DetectConfig {
        v6_prefix: 32,
        jails: vec![wrong, jail("scan")],
        logins: vec![LoginConfig::default()],
        ..DetectConfig::default()
    };
    let keys: Vec<String> = mistakes(&config).into_iter().map(|m| m.key).collect();
    let expected = [
        "v6_prefix",
        "jail.scan.source",
        "jail.scan.status",
        "jail.scan.method",
        "jail.scan.path",
        "jail.scan.path",
        "jail.scan.contains",
        "jail.scan.host",
        "jail.scan.regex",
        "jail.scan.regex",
        "jail.scan.ignore_regex",
        "jail.scan.tag",
        "jail.scan.ban",
        "jail.scan.cells",
        "jail.scan.rate",
        "jail.scan.name",
        "logins.0.source",
        "logins.0.path",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn bounds_outside_of_jails_are_checked() {
    let config = DetectConfig {
        ladder: LadderConfig {
            factor: f64::NAN,
            max: Duration::ZERO,
            memory: Duration::MAX,
            entries: 1,
        },
        widen: Some(WidenConfig {
            after: 1,
            share: 0.0,
            login_memory: Duration::ZERO,
        }),
        guard: GuardConfig {
            bans_per_minute: 0,
            share: 1.1,
            ..GuardConfig::default()
        },
        bots: crate::BotsConfig {
            verify: true,
            extra: vec![BotConfig::default()],
        },
        ..DetectConfig::default()
    };
    let keys: Vec<String> = mistakes(&config).into_iter().map(|m| m.key).collect();
    let expected = [
        "ladder.factor",
        "ladder.max",
        "ladder.memory",
        "ladder.entries",
        "widen.after",
        "widen.share",
        "widen.login_memory",
        "guard.bans_per_minute",
        "guard.share",
        "bots.agent",
        "bots.names",
    ];
    assert_eq!(keys, expected);
}

#[test]
fn names_and_counts_of_jails_are_bounded() {
    assert!(of_jail(jail(&"x".repeat(61)))[0].contains("64 characters"));
    assert!(of_jail(jail(""))[0].contains("missing"));
    let distinct = JailConfig {
        distinct: Some(Distinct::Path),
        rate: "33 per 100s".into(),
        ..jail("scan")
    };
    assert!(of_jail(distinct)[0].contains("at most 32"));
    let many = DetectConfig {
        jails: (0..129).map(|n| jail(&format!("j{n}"))).collect(),
        ..DetectConfig::default()
    };
    let told = mistakes(&many);
    assert_eq!((told.len(), told[0].key.as_str()), (1, "jail"));
    let literals = JailConfig {
        contains: vec!["x".into(); 1_025],
        ..jail("scan")
    };
    assert!(of_jail(literals)[0].contains("at most 1024"));
}

#[test]
fn regexes_that_are_too_large_are_refused() {
    let large = JailConfig {
        regex: vec!["x".repeat(10 << 20)],
        ..jail("scan")
    };
    let told = of_jail(large);
    assert!(
        told[0].starts_with("jail.scan.regex: the regex has 10485760 bytes"),
        "{told:?}"
    );
    let many = JailConfig {
        regex: (0..40)
            .map(|n| format!(r"[a-z]{{8}}(\w{{100}}){{90}}x{n}"))
            .collect(),
        ..jail("scan")
    };
    let told = of_jail(many);
    assert!(
        told[0].starts_with("source.web: the regexes of the source are too large"),
        "{told:?}"
    );
}

#[test]
fn what_is_right_has_defaults_and_warnings() {
    let config = DetectConfig {
        jails: vec![JailConfig {
            regex: strings(&["from <HOST>"]),
            ..jail("scan")
        }],
        ..DetectConfig::default()
    };
    let rules = config.check(&["web".into()]).unwrap();
    assert_eq!(&*rules.jails[0].tag, "mon-scan");
    assert_eq!(rules.warnings()[0].key, "jail.scan.regex");
    assert_eq!(format!("{rules:?}"), r#"["scan"]"#);
}
