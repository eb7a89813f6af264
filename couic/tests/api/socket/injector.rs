//! couic-inject against the real API: bursts, refusals, the ignore list, a wrong token, another clock.

use std::{fs, net::Ipv4Addr, path::PathBuf, time::Duration};

use couic::api::ServeSettings;
use couic_common::{Group, unix_seconds};
use couic_inject::{Config, Figures, Injector, Limits, Rule};
use couic_testkit::{LONG, until};
use uuid::Uuid;

use super::{Running, run};
use crate::support::{HOST, NOW};

fn config(server: &Running, token: Uuid) -> (Config, PathBuf) {
    let file = server.test.dir.path().join("token");
    fs::write(&file, token.to_string()).unwrap();
    (Config::unix(&server.path, &file), file)
}

fn rule(cidr: &str) -> Rule {
    Rule {
        cidr: cidr.parse().unwrap(),
        tag: "mon-test".into(),
        until: unix_seconds() + 600,
        kind: "couicmon".into(),
        detail: "test".into(),
        extra: serde_json::Map::new(),
    }
}

fn await_figures(injector: &Injector, wanted: impl Fn(&Figures) -> bool) -> Figures {
    let figures = || Some(injector.figures()).filter(&wanted);
    until("the figures are as wanted", LONG, figures).0
}

#[test]
fn a_burst_is_in_force_and_ends_by_the_daemons_clock() {
    const BURST: u32 = 100_000;
    let server = run(ServeSettings::default());
    let (config, _) = config(&server, server.test.token(Group::ClientRw));
    let injector = Injector::start(config, Limits::default()).unwrap();
    for n in 0..BURST {
        let addr = Ipv4Addr::from_bits(0x0a00_0000 + n);
        injector.ban(rule(&format!("{addr}/32")));
    }
    server.until_rules(BURST as usize);
    let figures = await_figures(&injector, |f| f.pending == 0);
    assert_eq!((figures.applied, figures.refused), (u64::from(BURST), 0));
    let asked = server.head("GET", "/v1/drop/10.0.0.1/32", "");
    let entry = server.connect().ask(asked).json();
    assert_eq!(entry["tag"], "mon-test");
    assert_eq!(entry["reason"], "test");
    let left = entry["expiration"].as_u64().unwrap() - NOW;
    // Rounded up to a full second.
    assert!((500..=601).contains(&left), "{left}");
    injector.remove("10.0.0.1/32".parse().unwrap(), "mon-test");
    await_figures(&injector, |f| f.pending == 0);
    assert_eq!(server.rules(), BURST as usize - 1);
    assert!(injector.stop(Duration::from_secs(60)).is_empty());
}

#[test]
fn the_host_is_protected_and_the_ignore_list_known() {
    let server = run(ServeSettings::default());
    let mut client = server.connect();
    let office = r#"{"cidr": "203.0.113.0/24", "expiration": 0, "tag": "office"}"#;
    assert_eq!(client.ask(server.post("/v1/ignore", office)).status, 201);
    let (config, _) = config(&server, server.test.token(Group::ClientRw));
    let injector = Injector::start(config, Limits::default()).unwrap();
    injector.ban(rule(&format!("{HOST}/32")));
    injector.ban(rule("192.0.2.1/32"));
    let figures = await_figures(&injector, |f| f.pending == 0);
    assert_eq!((figures.applied, figures.refused), (1, 1));
    let refusal = figures.refusal.unwrap();
    assert!(refusal.contains("guard rail host"), "{refusal}");
    let (ignored, _) = until("the list is read", LONG, || injector.ignored());
    assert_eq!(ignored.nets, ["203.0.113.0/24".parse().unwrap()]);
}

#[test]
fn a_large_batch_with_a_wrong_token_is_told_so_and_sent_with_the_right_one() {
    let server = run(ServeSettings::default());
    let (mut config, file) = config(&server, Uuid::from_u128(7));
    config.watch_ignored = false;
    let injector = Injector::start(config, Limits::default()).unwrap();
    for n in 0..20_000 {
        let addr = Ipv4Addr::from_bits(0x0a00_0000 + n);
        injector.ban(rule(&format!("{addr}/32")));
    }
    let figures = await_figures(&injector, |f| f.failures >= 2);
    let problem = figures.problem.unwrap();
    assert!(problem.contains("is the same"), "{problem}");
    assert_eq!(server.rules(), 0);
    let token = server.test.token(Group::ClientRw);
    fs::write(file, token.to_string()).unwrap();
    server.until_rules(20_000);
    assert!(injector.stop(Duration::from_secs(60)).is_empty());
}
