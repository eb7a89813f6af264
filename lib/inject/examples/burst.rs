//! How soon a burst of bans is in force: `cargo run --release -p couic-inject --example burst SOCKET TOKEN_FILE COUNT`.
//!
//! For a daemon of one's own in a network namespace: it bans addresses of 10.0.0.0/8 for an hour, and releases them.

#![expect(clippy::unwrap_used, reason = "a measurement that fails ends the run")]

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use couic_inject::{Config, Injector, Limits, Rule};
use serde_json::{Map, json};

const SAMPLE: &str = "203.0.113.9 - - [01/Dec/2026:00:00:00 +0000] \"POST /wp-login.php HTTP/1.1\" 401 12 \"-\" \"curl/8\"";

fn net(n: u32) -> ipnetwork::IpNetwork {
    let addr = Ipv4Addr::from_bits(0x0a00_0000 + n);
    format!("{addr}/32").parse().unwrap()
}

fn rule(n: u32, until: u64) -> Rule {
    let mut extra = Map::new();
    extra.insert("count".into(), json!(n));
    extra.insert("sample".into(), json!(SAMPLE));
    Rule {
        cidr: net(n),
        tag: "mon-login".into(),
        until,
        kind: "couicmon".into(),
        detail: "login: 5 in 10 s".into(),
        extra,
    }
}

fn drain(injector: &Injector, what: &str, first: Instant) {
    let last = Instant::now();
    while injector.figures().pending > 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let figures = injector.figures();
    println!(
        "{what}: {:?} after the last, {:?} after the first; {} batches, {} failed, {} refused ({:?})",
        last.elapsed(),
        first.elapsed(),
        figures.batches,
        figures.failures,
        figures.refused,
        figures.refusal
    );
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (socket, token) = (args.next().unwrap(), args.next().unwrap());
    let count: u32 = args.next().unwrap().parse().unwrap();
    let injector = Injector::start(Config::unix(socket, token), Limits::default()).unwrap();
    let until = couic_common::unix_seconds() + 3_600;
    for what in ["bans", "renewals"] {
        let first = Instant::now();
        for n in 0..count {
            injector.ban(rule(n, until));
        }
        drain(&injector, what, first);
    }
    let first = Instant::now();
    injector.ban(rule(count, until));
    drain(&injector, "a lone ban", first);
    let first = Instant::now();
    for n in 0..=count {
        injector.remove(net(n), "mon-login");
    }
    drain(&injector, "removals", first);
}
