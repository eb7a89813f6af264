//! The performance targets of the API, measured on the real daemon over its socket, with the program attached.
//! `make bench` builds both in release mode and runs this. Prints one table, with the method of each row.
//! `cargo bench -p couic-e2e --bench socket -- reporting` measures reporting only.
#![expect(clippy::panic, reason = "a measurement that fails ends the run")]

mod load;
mod reporting;
mod state;
mod turns;
mod veth;

use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

use couic_common::Policy;
use couic_e2e::{Daemon, Lab};
use load::{ADDS, CONNECTIONS, IN_FLIGHT, LONE_ADDS};
use serde_json::json;

/// A part of the table, with the argument that selects it.
type Measure = (&'static str, fn(&Lab) -> Vec<Row>);

/// One row of the table.
struct Row {
    what: &'static str,
    wanted: String,
    measured: String,
    /// None without a target.
    reached: Option<bool>,
    method: String,
}

fn main() {
    let Some(lab) = Lab::quiet() else { return };
    let wanted: Vec<String> = env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let measure: [Measure; 8] = [
        ("adds", single_adds),
        ("lone", lone_add),
        ("batch", batch_and_list),
        ("reload", |lab| vec![reload(lab)]),
        ("memory", |lab| vec![memory(lab)]),
        ("state", state::rows),
        ("reporting", reporting::rows),
        ("veth", veth::rows),
    ];
    let rows = measure
        .iter()
        .filter(|(name, _)| wanted.is_empty() || wanted.iter().any(|w| w == name))
        .map(|(_, rows)| rows(&lab));
    let cpus = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    println!(
        "\n{cpus} CPUs, Linux {}, load generator on the same machine\n",
        kernel.trim()
    );
    println!("| figure | wanted | measured | | method |\n|---|---|---|---|---|");
    for row in rows.flatten() {
        let verdict = match row.reached {
            Some(true) => "reached",
            Some(false) => "MISSED",
            None => "",
        };
        println!(
            "| {} | {} | {} | {verdict} | {} |",
            row.what, row.wanted, row.measured, row.method
        );
    }
}

fn daemon(lab: &Lab) -> Daemon<'_> {
    lab.daemon()
        .config("[limits]\ndrop_entries = 1048576\n")
        .start()
}

/// Four connections, each with a window of 64 pipelined requests.
fn single_adds(lab: &Lab) -> Vec<Row> {
    let daemon = daemon(lab);
    let start = Instant::now();
    load::pipelined_adds(&daemon, 0);
    let elapsed = start.elapsed();
    assert_eq!(daemon.api().stats().drop_cidr_count, u64::from(ADDS));
    let measured = f64::from(ADDS) / elapsed.as_secs_f64();
    vec![Row {
        what: "single adds a second",
        wanted: "≥ 100,000".into(),
        measured: format!("{measured:.0}"),
        reached: Some(measured >= 100_000.0),
        method: format!(
            "{ADDS} POST /v1/drop of distinct /32, {CONNECTIONS} connections, {IN_FLIGHT} in flight each"
        ),
    }]
}

/// One connection, one request at a time.
fn lone_add(lab: &Lab) -> Vec<Row> {
    let latencies = load::lone_adds(&daemon(lab));
    let at = |percent: usize| latencies[latencies.len() * percent / 100];
    let (p50, p99) = (at(50), at(99));
    vec![Row {
        what: "p99 of a lone add",
        wanted: "< 1 ms".into(),
        measured: format!("{:.3} ms", p99.as_secs_f64() * 1e3),
        reached: Some(p99 < Duration::from_millis(1)),
        method: format!(
            "{LONE_ADDS} POST /v1/drop one after the other on one connection; median {:.3} ms",
            p50.as_secs_f64() * 1e3
        ),
    }]
}

fn batch_and_list(lab: &Lab) -> Vec<Row> {
    const ENTRIES: u32 = 200_000;
    let daemon = daemon(lab);
    let jobs: Vec<_> = (0..ENTRIES)
        .map(|n| json!({"action": "add", "entry": {"cidr": load::cidr(n), "tag": "bench"}}))
        .collect();
    let body: String = jobs.iter().map(|job| format!("{job}\n")).collect();
    let start = Instant::now();
    let outcome = daemon
        .api()
        .request("POST", "/v1/drop/batch", Some(&body))
        .expect(200);
    let batch = start.elapsed();
    assert_eq!(outcome.json()["added"], ENTRIES, "{outcome:?}");
    let start = Instant::now();
    let list = daemon.api().request("GET", "/v1/drop", None).expect(200);
    let listed = start.elapsed();
    let entries = list.json().as_array().map_or(0, Vec::len);
    assert_eq!(entries, ENTRIES as usize);
    vec![
        below_half_a_second(
            "batch of 200,000 adds",
            batch,
            format!(
                "one POST /v1/drop/batch, NDJSON, {} bytes, on an empty table",
                body.len()
            ),
        ),
        below_half_a_second(
            "list of 200,000 entries",
            listed,
            format!(
                "one GET /v1/drop, {} bytes of JSON read to the end",
                list.body.len()
            ),
        ),
    ]
}

fn reload(lab: &Lab) -> Row {
    const LINES: u32 = 150_000;
    let daemon = daemon(lab);
    let text: String = (0..LINES).map(|n| load::cidr(n) + "\n").collect();
    daemon.set_file(Policy::Drop, "list", &text);
    let start = Instant::now();
    daemon.api().reload();
    let elapsed = start.elapsed();
    assert_eq!(daemon.api().stats().drop_cidr_count, u64::from(LINES));
    below_half_a_second(
        "reload of a 150,000-line set",
        elapsed,
        "one POST /v1/sets/reload, every line new".into(),
    )
}

fn below_half_a_second(what: &'static str, elapsed: Duration, method: String) -> Row {
    Row {
        what,
        wanted: "< 0.5 s".into(),
        measured: format!("{:.3} s", elapsed.as_secs_f64()),
        reached: Some(elapsed < Duration::from_millis(500)),
        method,
    }
}

/// A line of the daemon's `/proc/PID/status`, in MiB.
fn memory_of(daemon: &Daemon<'_>, key: &str) -> f64 {
    let path = format!("/proc/{}/status", daemon.pid());
    let status = fs::read_to_string(path).unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix(key));
    let kib = line.and_then(|l| l.trim_start_matches(':').split_whitespace().next());
    kib.and_then(|k| k.parse::<f64>().ok())
        .map_or(f64::NAN, |k| k / 1024.0)
}

fn memory(lab: &Lab) -> Row {
    const RULES: u32 = 262_144;
    let daemon = lab.daemon().start();
    let jobs: Vec<_> = (0..RULES)
        .map(|n| json!({"action": "add", "entry": {"cidr": load::cidr(n)}}))
        .collect();
    for chunk in jobs.chunks(10_000) {
        assert_eq!(daemon.api().batch("drop", chunk)["failed"], 0);
    }
    let mib = |key| memory_of(&daemon, key);
    let resident = mib("VmRSS");
    Row {
        what: "resident memory at 262,144 rules",
        wanted: "< 60 MB".into(),
        measured: format!("{resident:.1} MiB"),
        reached: Some(resident * 1.048_576 < 60.0),
        method: format!(
            "VmRSS after batches of 10,000 distinct /32; of it {:.1} MiB anonymous, {:.1} MiB files; without the \
             tables, which are the kernel's memory: the log says how large",
            mib("RssAnon"),
            mib("RssFile")
        ),
    }
}
