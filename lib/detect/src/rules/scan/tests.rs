//! All jails at once against one after another.

use proptest::prelude::*;

use super::*;
use crate::{DetectConfig, JailConfig, LoginConfig};

fn some(from: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    prop_oneof![
        2 => Just(Vec::new()),
        1 => prop::collection::vec(prop::sample::select(from).prop_map(str::to_owned), 1..=most),
    ]
}

fn jail() -> impl Strategy<Value = JailConfig> {
    let plain = (
        some(&["404", "4xx", "200-299", "500"], 2),
        some(&["GET", "POST", "HEAD"], 2),
        some(&["/", "/a", "/a*", "/a/*.php", "*.php", "*", "/ab"], 3),
        some(&["a", "AB", "x=", "' or", "?"], 3),
        some(&["bot", "CURL"], 2),
        some(&["example.org", "*.example.org"], 2),
    );
    const LOGINS: [Login; 3] = [Login::Accepted, Login::Failed, Login::Abandoned];
    let login = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(prop::sample::select(&LOGINS[..]), 1..3),
    ];
    let regexes = some(
        &["^/a", r"b\?", "php$", "(?i)OR", r"from <HOST>$", "[ab]{2}"],
        3,
    );
    let ignore = some(&["bb", "^/ab?$", "x=1"], 2);
    (plain, login, regexes, ignore).prop_map(|(plain, login, regex, ignore_regex)| {
        let (status, method, path, contains, agent, host) = plain;
        JailConfig {
            sources: vec!["web".into()],
            status,
            method,
            path,
            contains,
            agent,
            host,
            login,
            regex,
            ignore_regex,
            rate: "1 per 1s".into(),
            ..JailConfig::default()
        }
    })
}

fn select(from: &'static [&'static str]) -> impl Strategy<Value = &'static str> {
    prop::sample::select(from)
}

fn event() -> impl Strategy<Value = Event<'static>> {
    (
        prop::sample::select(&[0, 200, 204, 404, 499, 500, 999, 65_000][..]),
        select(&["GET", "POST", "PUT", "", "get"]),
        select(&["/", "/a", "/ab", "/a/b.php", "/bb.php", "/A", ""]),
        select(&["", "x=1", "q=%27+or", "b"]),
        select(&["", "Bot/1", "curl/8"]),
        select(&["", "EXAMPLE.org", "w.example.org", "other"]),
        prop::sample::select(&LOGINS[..]),
        select(&[
            "",
            "",
            "login from 192.0.2.7",
            "ab from x",
            "from 2001:db8::1",
        ]),
    )
        .prop_map(
            |(status, method, path, query, agent, host, login, message)| Event {
                status,
                method: method.as_bytes(),
                path: path.as_bytes().into(),
                query: query.as_bytes().into(),
                agent: agent.as_bytes().into(),
                host: host.as_bytes().into(),
                login,
                message: message.as_bytes().into(),
                ..Event::default()
            },
        )
}

proptest! {
    #[test]
    fn all_jails_at_once_say_what_each_says_alone(
        mut jails in prop::collection::vec(jail(), 1..12),
        events in prop::collection::vec(event(), 1..40),
    ) {
        for (n, jail) in jails.iter_mut().enumerate() {
            jail.name = format!("j{n}");
        }
        let login = LoginConfig {
            sources: vec!["web".into()],
            path: vec!["/a".into()],
            ..LoginConfig::default()
        };
        let config = DetectConfig { jails, logins: vec![login], ..DetectConfig::default() };
        let mut rules = config.check(&["web".into()]).unwrap();
        let scan = &mut rules.scans[0];
        prop_assert_eq!(scan.logins, 1 << config.jails.len());
        for event in events {
            let hits = scan.hits(&event);
            let mut buffer = Vec::new();
            let text = text(&event, &mut buffer);
            for (bit, (filter, _)) in scan.filters.iter().enumerate() {
                let why = filter.why_not(&event, text);
                prop_assert_eq!(hits >> bit & 1 == 1, why.is_none(), "{:?} {:?}", why, event);
            }
            for bit in bits(hits & scan.capturing) {
                if let Some(addr) = scan.captured(bit, &event) {
                    let message = String::from_utf8_lossy(&event.message).into_owned();
                    prop_assert!(message.ends_with(&addr.to_string()));
                }
            }
        }
    }
}
