//! Reports per second on one core: the real program, pinned to one CPU, with requests of 1 MiB over loopback from a
//! client on the other CPUs. Includes HTTP, parsing, the journal with its fdatasync, and the figures.
//!
//! Also prints the CPU time of the program, since a client that is slower would hide its throughput.

#![expect(clippy::unwrap_used, reason = "a benchmark stops on the first error")]

use std::{
    fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    process::Command,
    thread,
    time::Instant,
};

use couic_testkit::{Collector, Connection, request};
use nix::unistd::Pid;

const REQUESTS: usize = 400;
const CONNECTIONS: usize = 4;

fn main() {
    // `cargo test --benches` only checks that it builds.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let collector = Collector::new(env!("CARGO_BIN_EXE_couic-report"), 3600, "");
    let mut command = Command::new("taskset");
    command.args(["-c", "0", env!("CARGO_BIN_EXE_couic-report")]);
    collector.complete(&mut command);
    command.env("COUIC_REPORT_LOG", "error");
    let service = collector.serve_by(command);
    for (what, distinct) in [
        ("10,000 distinct CIDRs", 10_000),
        ("all CIDRs distinct", u32::MAX),
    ] {
        measure(what, distinct, collector.address(), service.pid());
    }
}

fn measure(what: &str, distinct: u32, address: SocketAddr, pid: Pid) {
    let bodies: Vec<(Vec<u8>, u32)> = (0..16).map(|n| body(n * 100_000, distinct)).collect();
    let reports: u64 = (0..REQUESTS).map(|n| u64::from(bodies[n % 16].1)).sum();
    let (cpu, begun) = (cpu_seconds(pid), Instant::now());
    thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let bodies = &bodies;
            scope.spawn(move || {
                let mine = (connection..REQUESTS).step_by(CONNECTIONS);
                let mine = mine.map(|n| &bodies[n % 16].0);
                Connection::tcp(address).unwrap().pipeline(mine, 1, 200);
            });
        }
    });
    let (wall, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds(pid) - cpu);
    println!(
        "ingest, {what}: {reports} reports in {REQUESTS} requests of 1 MiB, {:.2} s, {:.2} s of CPU: {:.0} reports/s, {:.0} reports per CPU second",
        wall,
        cpu,
        reports as f64 / wall,
        reports as f64 / cpu
    );
}

/// A request body of 1 MiB, and its number of reports.
fn body(first: u32, distinct: u32) -> (Vec<u8>, u32) {
    let mut body = b"[".to_vec();
    let mut count = 0;
    // What is older than the kept history does not count there.
    let now = couic_common::unix_seconds();
    let end = now + 3600;
    while body.len() < (1 << 20) - 256 {
        if count > 0 {
            body.push(b',');
        }
        let addr = Ipv4Addr::from_bits(0x0a00_0000 + (first + count) % distinct);
        write!(
            body,
            r#"{{"action":"add","policy":"drop","entry":{{"creation":{now},"cidr":"{addr}/32","tag":"ssh-{}","expiration":{end}}},"metadata":null,"timestamp":{now}}}"#,
            count % 50
        )
        .unwrap();
        count += 1;
    }
    body.push(b']');
    let body = String::from_utf8(body).unwrap();
    let kind = "Content-Type: application/json\r\n";
    (
        request("POST", &Collector::reports_path(), kind, &body).into_bytes(),
        count,
    )
}

/// User and system time, from `/proc/PID/stat` (proc(5): fields 14 and 15, in ticks of 10 ms).
fn cpu_seconds(pid: Pid) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_name = stat.rsplit(')').next().unwrap();
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    ticks.map(|t| t.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}
