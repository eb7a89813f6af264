//! Real daemons in namespaces of their own that share rules over a failing network.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a panic fails the test")]

mod chaos;
mod hostile;
mod proxy;

use std::time::{Duration, Instant};

use couic_e2e::{Daemon, until};
use serde_json::Value;

/// The deadline of every condition, generous for a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// A rule: CIDR, tag and expiration.
type Rule = (String, String, u64);

/// The rules of policy drop, in order.
fn rules(daemon: &Daemon<'_>) -> Vec<Rule> {
    let list = daemon.api().get("/v1/drop");
    let rule = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        (
            text("cidr"),
            text("tag"),
            entry["expiration"].as_u64().unwrap(),
        )
    };
    list.as_array().unwrap().iter().map(rule).collect()
}

/// The peers of a daemon, from its API.
fn peers(daemon: &Daemon<'_>) -> Vec<Value> {
    daemon.api().get("/v1/peers").as_array().unwrap().clone()
}

/// Waits until all report that they are in sync with each other, by a comparison later than `since` (Unix seconds).
fn await_sync(daemons: &[Daemon<'_>], since: u64) {
    let honest: Vec<_> = (0..daemons.len()).map(|n| format!("n{n}")).collect();
    let begin = Instant::now();
    let mut printed = false;
    until("all peers are in sync", LONG, || {
        // Before the deadline, so that a failure shows the reason.
        if begin.elapsed() > LONG / 2 && !std::mem::replace(&mut printed, true) {
            daemons.iter().for_each(|d| println!("{:#?}", peers(d)));
        }
        let all = daemons.iter().flat_map(peers);
        let all = all.filter(|peer| honest.iter().any(|name| peer["name"] == name.as_str()));
        let synced = |peer: Value| {
            peer["state"] == "in_sync"
                && peer["queue"] == 0
                && peer["last_equal"].as_u64().unwrap() > since
        };
        let mut all = all.map(synced);
        all.all(|synced| synced).then_some(())
    });
}
