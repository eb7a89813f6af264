//! The performance targets of peering, measured on real daemons in network namespaces. `make bench` builds them in
//! release mode and runs this. Prints one table, with the method of each row. `COUIC_OUTAGE=600` extends the outage
//! from 45 seconds to ten minutes.
#![expect(clippy::print_stdout, reason = "the table is what this program is for")]

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use couic_e2e::{Daemon, Lab, Mesh, unix_now, until};
use serde_json::{Value, json};

const LONG: Duration = Duration::from_secs(120);

/// One row of the table.
struct Row {
    what: &'static str,
    wanted: &'static str,
    measured: String,
    reached: bool,
    method: String,
}

fn main() {
    let rows = [latency(), throughput(), first_sync(), after_an_outage()];
    let cpus = thread::available_parallelism().map_or(0, usize::from);
    println!("\n{cpus} CPUs, all nodes on this machine, one relay thread pair a connection\n");
    println!("| figure | wanted | measured | | method |\n|---|---|---|---|---|");
    for row in rows.into_iter().flatten() {
        let verdict = if row.reached { "reached" } else { "MISSED" };
        println!(
            "| {} | {} | {} | {verdict} | {} |",
            row.what, row.wanted, row.measured, row.method
        );
    }
}

fn job(n: u32) -> Value {
    let cidr = format!("10.{}.{}.{}/32", n >> 16, n >> 8 & 255, n & 255);
    json!({"action": "add", "entry": {"cidr": cidr, "tag": "bench"}})
}

fn add(daemon: &Daemon<'_>, range: std::ops::Range<u32>) {
    let jobs: Vec<Value> = range.map(job).collect();
    for some in jobs.chunks(20_000) {
        assert_eq!(daemon.api().batch("drop", some)["failed"], 0);
    }
}

fn count(daemon: &Daemon<'_>) -> u64 {
    daemon.api().stats().drop_cidr_count
}

fn synced_since(daemon: &Daemon<'_>, since: f64) -> bool {
    let peers = daemon.api().get("/v1/peers");
    let mut peers = peers.as_array().into_iter().flatten();
    peers.all(|p| {
        let equal = p["last_equal"].as_f64().unwrap_or(0.0);
        p["state"] == "in_sync" && p["queue"] == 0 && equal >= since.floor()
    })
}

fn start<'lab>(mesh: &Mesh<'lab>, nodes: usize) -> Vec<Daemon<'lab>> {
    let daemons: Vec<_> = (0..nodes).map(|n| mesh.daemon(n, "").start()).collect();
    until("all are in sync", LONG, || {
        daemons.iter().all(|d| synced_since(d, 1.0)).then_some(())
    });
    daemons
}

/// From the response to the client on one node until the other node's API shows the rule, which is in its tables by
/// then.
fn latency() -> Option<Row> {
    const ADDS: u32 = 200;
    let labs: Vec<Lab> = Mesh::labs(2)?;
    let mesh = Mesh::join(&labs);
    let daemons = start(&mesh, 2);
    let mut times: Vec<Duration> = (0..ADDS)
        .map(|n| {
            thread::sleep(Duration::from_millis(fastrand::u64(..300)));
            daemons[0]
                .api()
                .add("drop", &format!("10.0.{}.{}/32", n >> 8, n & 255), None, 0);
            let path = format!("/v1/drop/10.0.{}.{}/32", n >> 8, n & 255);
            let there = || daemons[1].api().request("GET", &path, None).status == 200;
            let start = Instant::now();
            while !there() {
                assert!(start.elapsed() < LONG, "never arrived");
                thread::sleep(Duration::from_millis(1));
            }
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100];
    let (p50, p99) = (at(50), at(99));
    Some(Row {
        what: "add to enforced on the other node, p99",
        wanted: "< 300 ms",
        measured: format!("{:.0} ms", p99.as_secs_f64() * 1e3),
        reached: p99 < Duration::from_millis(300),
        method: format!(
            "{ADDS} single adds at random moments, 0 to 300 ms apart; median {:.0} ms",
            p50.as_secs_f64() * 1e3
        ),
    })
}

/// CPU seconds used by a process.
fn cpu(daemon: &Daemon<'_>) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.pid())).unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or("")
        .split_whitespace()
        .collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok());
    // utime and stime, fields 14 and 15 of proc(5), in hundredths of a second.
    (ticks(11).unwrap_or(f64::NAN) + ticks(12).unwrap_or(f64::NAN)) / 100.0
}

fn throughput() -> Option<Row> {
    const SECONDS: u32 = 10;
    const RATE: u32 = 5_000;
    let labs = Mesh::labs(6)?;
    let mesh = Mesh::join(&labs);
    let daemons = start(&mesh, 6);
    let (begin, before) = (Instant::now(), cpu(&daemons[0]));
    for batch in 0..SECONDS * 20 {
        add(&daemons[0], batch * RATE / 20..(batch + 1) * RATE / 20);
        let next = begin + Duration::from_millis(50) * (batch + 1);
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let sent = Instant::now();
    let all = u64::from(SECONDS * RATE);
    until("all peers have all", LONG, || {
        daemons.iter().all(|d| count(d) == all).then_some(())
    });
    let late = sent.elapsed();
    let cores = (cpu(&daemons[0]) - before) / begin.elapsed().as_secs_f64();
    Some(Row {
        what: "5,000 changes a second to 5 peers",
        wanted: "< 0.5 cores, kept up",
        measured: format!(
            "{cores:.2} cores, the last one {:.0} ms late",
            late.as_secs_f64() * 1e3
        ),
        reached: cores < 0.5 && late < Duration::from_secs(2),
        method: format!(
            "{all} adds in batches of {} every 50 ms for {SECONDS} s on one of 6 nodes; CPU time of that daemon, API included",
            RATE / 20
        ),
    })
}

fn first_sync() -> Option<Row> {
    const RULES: u32 = 200_000;
    let labs = Mesh::labs(2)?;
    let mesh = Mesh::join(&labs);
    let full = mesh.daemon(0, "").start();
    add(&full, 0..RULES);
    let fresh = mesh.daemon(1, "").start();
    let (_, took) = until("the fresh node has all rules", LONG, || {
        (count(&fresh) == u64::from(RULES)).then_some(())
    });
    Some(Row {
        what: "first sync of 200,000 rules",
        wanted: "< 3 s",
        measured: format!("{:.2} s", took.as_secs_f64()),
        reached: took < Duration::from_secs(3),
        method: "a node with all rules; from the first answer of a fresh one until it has them in its tables".into(),
    })
}

fn after_an_outage() -> Option<Row> {
    let outage = std::env::var("COUIC_OUTAGE")
        .ok()
        .and_then(|s| s.parse().ok());
    let outage = Duration::from_secs(outage.unwrap_or(45));
    let labs = Mesh::labs(2)?;
    let mesh = Mesh::join(&labs);
    let daemons = start(&mesh, 2);
    add(&daemons[0], 0..20_000);
    until("both have them", LONG, || {
        (count(&daemons[1]) == 20_000).then_some(())
    });
    mesh.cut(0, 1, true);
    let begin = Instant::now();
    add(&daemons[0], 100_000..115_000);
    add(&daemons[1], 200_000..225_000);
    let removes: Vec<Value> = (0..10_000)
        .map(|n| {
            let mut job = job(n);
            job["action"] = json!("remove");
            job
        })
        .collect();
    assert_eq!(daemons[0].api().batch("drop", &removes)["removed"], 10_000);
    thread::sleep(outage.saturating_sub(begin.elapsed()));
    mesh.heal();
    let (since, start) = (unix_now(), Instant::now());
    until("both hold the same", LONG, || {
        daemons.iter().all(|d| synced_since(d, since)).then_some(())
    });
    let took = start.elapsed();
    assert_eq!((count(&daemons[0]), count(&daemons[1])), (50_000, 50_000));
    Some(Row {
        what: "equal digests after an outage with 50,000 changes",
        wanted: "< 5 s",
        measured: format!("{:.2} s", took.as_secs_f64()),
        reached: took < Duration::from_secs(5),
        method: format!(
            "cut off for {} s, longer than any pause between tries (2 s) and any time limit (15 s); 15,000 and 25,000 \
             adds and 10,000 deletions on the two sides; until both have compared and found nothing",
            outage.as_secs()
        ),
    })
}
