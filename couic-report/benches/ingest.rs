//! Reports per second on one core: the real program, pinned to one CPU, with requests of 1 MiB over loopback from a
//! client on the other CPUs. Includes HTTP, parsing, the journal with its fdatasync, and the figures.
//!
//! Also prints the CPU time of the program, since a client that is slower would hide its throughput.

#![expect(clippy::unwrap_used, reason = "a benchmark stops on the first error")]

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

const SECRET: &str = "550e8400-e29b-41d4-a716-446655440000";
const REQUESTS: usize = 400;
const CONNECTIONS: usize = 4;

fn main() {
    // `cargo test --benches` only checks that it builds.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let config = dir.path().join("config.toml");
    let text = format!(
        "batch_interval_secs = 3600\n[server]\nname = \"bench\"\nport = {port}\nsecret = \"{SECRET}\"\n"
    );
    fs::write(&config, text).unwrap();
    let mut service = Command::new("taskset")
        .args(["-c", "0", env!("CARGO_BIN_EXE_couic-report"), "-c"])
        .arg(&config)
        .env("STATE_DIRECTORY", dir.path().join("state"))
        .env("COUIC_REPORT_LOG", "error")
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it does not listen"
        );
        thread::sleep(Duration::from_millis(10));
    }
    for (what, distinct) in [
        ("10,000 distinct CIDRs", 10_000),
        ("all CIDRs distinct", u32::MAX),
    ] {
        measure(what, distinct, port, service.id());
    }
    service.kill().unwrap();
    service.wait().unwrap();
}

fn measure(what: &str, distinct: u32, port: u16, pid: u32) {
    let bodies: Vec<(Vec<u8>, u32)> = (0..16).map(|n| body(n * 100_000, distinct)).collect();
    let reports: u64 = (0..REQUESTS).map(|n| u64::from(bodies[n % 16].1)).sum();
    let (cpu, begun) = (cpu_seconds(pid), Instant::now());
    thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let bodies = &bodies;
            scope.spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
                for n in (connection..REQUESTS).step_by(CONNECTIONS) {
                    send(&mut stream, &bodies[n % 16].0);
                }
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
    while body.len() < (1 << 20) - 256 {
        if count > 0 {
            body.push(b',');
        }
        let addr = Ipv4Addr::from_bits(0x0a00_0000 + (first + count) % distinct);
        write!(
            body,
            r#"{{"action":"add","policy":"drop","entry":{{"creation":1767225600,"cidr":"{addr}/32","tag":"ssh-{}","expiration":1767229200}},"metadata":null,"timestamp":1767225600}}"#,
            count % 50
        )
        .unwrap();
        count += 1;
    }
    body.push(b']');
    (body, count)
}

fn send(stream: &mut TcpStream, body: &[u8]) {
    let head = format!(
        "POST /v1/reports/{SECRET} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = [0; 1024];
    let len = stream.read(&mut answer).unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer[..len])
    );
}

/// User and system time, from `/proc/PID/stat` (proc(5): fields 14 and 15, in ticks of 10 ms).
fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let behind_name = stat.rsplit(')').next().unwrap();
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    ticks.map(|t| t.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}
