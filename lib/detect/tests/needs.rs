//! A line of which only what jails look at is taken apart is judged as the whole line.

use couic_detect::{
    Client, DetectConfig, Detector, Distinct, Event, Format, JailConfig, LoginConfig, Needs,
    SourceId,
};
use proptest::prelude::*;

/// A jail of each condition, and of each value that is counted.
fn jails() -> Vec<JailConfig> {
    let jail = |name: &str, status: &[&str]| JailConfig {
        name: name.into(),
        sources: vec!["web".into()],
        status: status.iter().map(ToString::to_string).collect(),
        rate: "2 per 1h".into(),
        ..JailConfig::default()
    };
    let list = |text: &str| vec![text.to_owned()];
    vec![
        jail("status", &["404"]),
        JailConfig {
            method: list("POST"),
            ..jail("method", &["401"])
        },
        JailConfig {
            path: list("/a*"),
            ..jail("path", &["402"])
        },
        JailConfig {
            contains: list("b"),
            ..jail("contains", &["403"])
        },
        JailConfig {
            regex: list("a.*b"),
            ..jail("regex", &["405"])
        },
        JailConfig {
            host: list("h"),
            ..jail("host", &["406"])
        },
        JailConfig {
            distinct: Some(Distinct::Path),
            ..jail("distinct", &["407"])
        },
        JailConfig {
            agent: list("x"),
            distinct: Some(Distinct::Agent),
            ..jail("agent", &["408"])
        },
    ]
}

fn detector() -> Option<(Detector, SourceId, Needs)> {
    let config = DetectConfig {
        jails: jails(),
        logins: vec![LoginConfig {
            sources: vec!["web".into()],
            path: vec!["/b".into()],
            status: vec!["302".into()],
            ..LoginConfig::default()
        }],
        ..DetectConfig::default()
    };
    let mut detector = Detector::new(config.check(&["web".into()]).ok()?, 7);
    detector.keep_account();
    let source = detector.source("web")?;
    let needs = detector.needs(source)?;
    Some((detector, source, needs))
}

fn line() -> impl Strategy<Value = String> {
    let part = prop::sample::select(&["/a", "/b", "//h/a?b", "?", "\\x22", "..", "%62", " "][..]);
    let status = prop_oneof![
        9 => (400..410_u16).prop_map(|status| status.to_string()),
        2 => prop::sample::select(&["200", "302", "-", "000", "4 4", "1000", "x"][..]).prop_map(Into::into),
    ];
    (
        0..6_u8,
        prop::sample::select(&["GET ", "POST ", "", "GET http:"][..]),
        prop::collection::vec(part, 0..4),
        status,
        prop::sample::select(&["x", "y\\\"x", "-", "\" \"", ""][..]),
        prop::option::weighted(0.05, 0..100_usize),
    )
        .prop_map(|(from, method, parts, status, agent, cut)| {
            let target = parts.concat();
            let line = format!(
                "192.0.2.{from} - - [01/Dec/2026:06:25:01 +0000] \"{method}{target} HTTP/1.1\" {status} 12 \"-\" \"{agent}\""
            );
            let len = cut.unwrap_or(line.len()).min(line.len());
            line[..len].to_owned()
        })
}

proptest! {
    #[test]
    fn decisions_and_accounts_are_those_of_whole_lines(lines in prop::collection::vec(line(), 1..200)) {
        let (mut whole, source, needs) = detector().unwrap();
        let (mut part, _, _) = detector().unwrap();
        let mut format = Format::named("combined").unwrap();
        let mut lean = format.clone();
        let mut spared = 0;
        for line in &lines {
            let line = line.as_bytes();
            let mut found = Event::default();
            let read = lean.parse_for(line, &needs, &mut found);
            let expected = format.parse(line);
            prop_assert_eq!(read.err(), expected.clone().err());
            let Ok(event) = expected else { continue };
            let client = event.peer.map(Client::Known);
            let now = event.time_ms.unwrap();
            prop_assert_eq!(
                part.observe(source, &found, client, line, now),
                whole.observe(source, &event, client, line, now)
            );
            spared += u32::from(found != event);
            if event.status != 404 && (401..408).contains(&event.status) {
                prop_assert_eq!(&found, &event, "jails look at it");
            }
            let rest = Event {
                method: event.method,
                path: event.path.clone(),
                query: event.query.clone(),
                host: event.host.clone(),
                ..found
            };
            prop_assert_eq!(rest, event);
        }
        prop_assert_eq!(part.account(), whole.account());
        prop_assert_eq!(part.jails(), whole.jails());
        prop_assert!(spared > 0 || lines.len() < 100, "nothing was left out");
    }
}
