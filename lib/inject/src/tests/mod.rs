//! The injector against a stand-in for the daemon, over its Unix socket.

mod claims;
mod daemon;
mod failures;
mod ignored;
mod order;
mod restarts;

use std::time::Duration;

use couic_common::unix_seconds;
use couic_testkit::{LONG, until};
use serde_json::{Map, json};

use crate::{Figures, Injector, Limits, Rule};

pub(crate) use daemon::{Fake, TOKEN};

/// Far enough in the future for any test.
fn later(seconds: u64) -> u64 {
    unix_seconds() + 10_000 + seconds
}

fn rule(cidr: &str, tag: &str, until: u64) -> Rule {
    let mut extra = Map::new();
    extra.insert("count".into(), json!(7));
    Rule {
        cidr: cidr.parse().unwrap(),
        tag: tag.into(),
        until,
        kind: "test".into(),
        detail: "seven times".into(),
        extra,
    }
}

fn many(count: u32, until: u64) -> impl Iterator<Item = Rule> {
    (0..count).map(move |n| {
        let addr = std::net::Ipv4Addr::from_bits(0x0a00_0000 + n);
        rule(&format!("{addr}/32"), "many", until)
    })
}

fn limits(held: usize) -> Limits {
    Limits {
        held,
        ..Limits::default()
    }
}

/// Waits until the figures are as wanted.
fn await_figures(injector: &Injector, what: &str, wanted: impl Fn(&Figures) -> bool) -> Figures {
    let figures = || Some(injector.figures()).filter(&wanted);
    until(what, LONG, figures).0
}

fn await_sent(injector: &Injector) -> Figures {
    await_figures(injector, "nothing waits", |f| f.pending == 0)
}

/// Ends an injector from which nothing is left.
fn end(injector: Injector) {
    assert!(injector.stop(Duration::from_secs(30)).is_empty());
}
