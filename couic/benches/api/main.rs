//! The API against the figures to reach: a child process serves as the daemon does, this one asks and measures.
//!
//! `cargo bench -p couic --bench api`. Server and load share the machine's cores, so the figures are those of a host
//! that does both. The child runs the daemon's `serve()` with its allocator, its firewall core and its metrics.

#![expect(clippy::unwrap_used, reason = "a measurement that fails ends the run")]

mod load;
mod report;
mod server;

use std::{env, process::ExitCode, time::Duration};

use report::{Row, Target};
use server::Server;

/// The argument by which the child knows that it is one.
const SERVE: &str = "--serve-for-bench";

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    if args.next().as_deref() == Some(SERVE) {
        return match args.next() {
            Some(dir) => server::child(dir.as_ref()),
            None => ExitCode::from(2),
        };
    }
    let mut rows = Vec::new();
    rows.extend(single_adds());
    rows.extend(bulk());
    rows.extend(injected());
    rows.push(reload());
    rows.push(memory());
    report::print(&rows);
    if rows.iter().all(Row::is_met) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// One entry a request: many at once over four connections, then one after the other.
fn single_adds() -> Vec<Row> {
    const COUNT: u32 = 500_000;
    const LONE: u32 = 20_000;
    let server = Server::start();
    println!("behind the firewall core: {}\n", server.plane);
    let per_second = load::pipelined_adds(&server, 4, 64, COUNT);
    assert_eq!(load::rules(&server), COUNT);
    let lone = load::lone_adds(&server, COUNT, LONE);
    vec![
        Row {
            what: "single adds, 4 connections, 64 in flight each",
            method: format!(
                "{COUNT} POST /v1/drop of new /32s, one entry each; the load's own time included"
            ),
            value: per_second,
            unit: "/s",
            target: Some(Target::AtLeast(100_000.0)),
        },
        Row {
            what: "a lone add, median",
            method: format!("{LONE} POST /v1/drop one after the other, one connection"),
            value: micros(lone.median),
            unit: "µs",
            target: None,
        },
        Row {
            what: "a lone add, 99th percentile",
            method: "of the same".to_owned(),
            value: micros(lone.p99),
            unit: "µs",
            target: Some(Target::Below(1000.0)),
        },
    ]
}

/// Many entries a request.
fn bulk() -> Vec<Row> {
    const COUNT: u32 = 200_000;
    let server = Server::start();
    let batch = load::batch(&server, COUNT);
    let (list, bytes) = load::list(&server, COUNT);
    vec![
        Row {
            what: "batch of 200,000 adds",
            method: "one POST /v1/drop/batch of NDJSON with tag and expiration, first byte sent to answer read".to_owned(),
            value: batch.as_secs_f64(),
            unit: "s",
            target: Some(Target::Below(0.5)),
        },
        Row {
            what: "list of 200,000 entries",
            method: format!("one GET /v1/drop, {:.1} MB read", bytes as f64 / 1e6),
            value: list.as_secs_f64(),
            unit: "s",
            target: Some(Target::Below(0.5)),
        },
    ]
}

/// What couicmon sends, by way of couic-inject.
fn injected() -> Vec<Row> {
    const COUNT: u32 = 100_000;
    let server = Server::start();
    let (whole, behind) = load::injected(&server, COUNT);
    assert_eq!(load::rules(&server), COUNT);
    vec![
        Row {
            what: "burst of 100,000 bans by couic-inject, after the last",
            method: "Injector::ban with metadata and guard rails, from the return of the last one to nothing pending".to_owned(),
            value: behind.as_secs_f64(),
            unit: "s",
            target: Some(Target::Below(2.0)),
        },
        Row {
            what: "the same, from the first",
            method: "of the same".to_owned(),
            value: whole.as_secs_f64(),
            unit: "s",
            target: None,
        },
    ]
}

fn reload() -> Row {
    const LINES: u32 = 150_000;
    let server = Server::start();
    let reload = load::reload(&server, LINES);
    Row {
        what: "reload of a 150,000-line set",
        method: "one POST /v1/sets/reload, none of its rules there before".to_owned(),
        value: reload.as_secs_f64(),
        unit: "s",
        target: Some(Target::Below(0.5)),
    }
}

fn memory() -> Row {
    const RULES: u32 = 262_144;
    let server = Server::start();
    let before = server.resident_mb();
    load::batch(&server, RULES);
    Row {
        what: "resident memory at 262,144 rules",
        method: format!(
            "VmRSS after adding them all, {before:.0} MB of it before the first; tables: {}",
            server.plane
        ),
        value: server.resident_mb(),
        unit: "MB",
        target: Some(Target::Below(60.0)),
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
