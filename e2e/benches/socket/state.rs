//! The cost of the journal per add.

use std::time::Instant;

use couic_e2e::Lab;
use serde_json::json;

use crate::{
    Row,
    load::{self, ADDS, CONNECTIONS, IN_FLIGHT, LONE_ADDS},
    turns::{self, ROUNDS},
};

/// The minimum rate of adds, relative to the rate without a journal.
const WANTED: f64 = 0.9;

const OFF: &str = "[state]\npersist = false\n";

const RULES: u32 = 1_000_000;

pub(crate) fn rows(lab: &Lab) -> Vec<Row> {
    let compared = turns::compare(lab, [OFF, ""], |daemon, config| {
        let has_state = daemon.working_dir().join("state").exists();
        assert_eq!(has_state, config != OFF);
        assert_eq!(daemon.api().health().1.state_problems, []);
    });
    let (off, on) = (compared.one, compared.other);
    let ratio = on.rate / off.rate;
    let many = Row {
        what: "adds at full load with the journal",
        wanted: format!("≥ {WANTED} × the rate without"),
        measured: format!("{ratio:.3} ×"),
        reached: Some(ratio >= WANTED),
        method: format!(
            "{ADDS} POST /v1/drop, {CONNECTIONS} connections, {IN_FLIGHT} in flight each, {:.0}/s off, {:.0}/s on; \
             medians of {ROUNDS} rounds off and on in turn",
            off.rate, on.rate
        ),
    };
    let ratio = off.median / on.median;
    let lone = Row {
        what: "lone add with the journal",
        wanted: format!("≥ {WANTED} × the rate without"),
        measured: format!("{ratio:.3} ×"),
        reached: Some(ratio >= WANTED),
        method: format!(
            "median of {LONE_ADDS} POST /v1/drop, {:.1} µs off, {:.1} µs on; medians of the same rounds",
            off.median * 1e6,
            on.median * 1e6
        ),
    };
    vec![many, lone, batches(lab), start(lab)]
}

fn batch(first: u32, count: u32) -> String {
    let job = |n| json!({"action": "add", "entry": {"cidr": load::cidr(n), "tag": "bench"}});
    (first..first + count)
        .map(|n| format!("{}\n", job(n)))
        .collect()
}

/// The best of several rounds, alternately off and on.
fn batches(lab: &Lab) -> Row {
    const ENTRIES: u32 = 200_000;
    let body = batch(0, ENTRIES);
    let sample = |config: &str| {
        let daemon = lab.daemon().config(config).start();
        let start = Instant::now();
        let reply = daemon
            .api()
            .request("POST", "/v1/drop/batch", Some(&body))
            .expect(200);
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(reply.json()["added"], ENTRIES);
        seconds
    };
    let (mut off, mut on) = (f64::MAX, f64::MAX);
    for _ in 0..ROUNDS {
        off = off.min(sample(OFF));
        on = on.min(sample(""));
    }
    Row {
        what: "batch of 200,000 adds with the journal",
        wanted: format!("≥ {WANTED} × the rate without"),
        measured: format!("{:.3} ×", off / on),
        reached: Some(off / on >= WANTED),
        method: format!(
            "one POST /v1/drop/batch, {off:.3} s off, {on:.3} s on; the best of {ROUNDS} rounds each"
        ),
    }
}

/// The duration of a start that restores a million rules, compared to one without rules.
fn start(lab: &Lab) -> Row {
    let empty = Instant::now();
    let mut daemon = lab.daemon().start();
    let empty = empty.elapsed().as_secs_f64();
    for first in (0..RULES).step_by(100_000) {
        let body = batch(first, 100_000);
        let reply = daemon
            .api()
            .request("POST", "/v1/drop/batch", Some(&body))
            .expect(200);
        assert_eq!(reply.json()["added"], 100_000);
    }
    let before = crate::memory_of(&daemon, "VmRSS");
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    let _ = daemon.exit_code();
    let full = Instant::now();
    let daemon = daemon.restart();
    let full = full.elapsed().as_secs_f64();
    assert_eq!(daemon.api().stats().drop_cidr_count, u64::from(RULES));
    Row {
        what: "start with 1,000,000 rules restored",
        wanted: "as short as may be".into(),
        measured: format!("{full:.2} s"),
        reached: None,
        method: format!(
            "until it answers; {empty:.2} s with none. VmRSS {before:.0} MiB before the kill, {:.0} MiB after the start",
            crate::memory_of(&daemon, "VmRSS")
        ),
    }
}
