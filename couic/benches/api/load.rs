//! What is asked, and how long it takes.

use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    ask::{Answers, download, exchange, get, post},
    server::Server,
};

/// The `i`th address: no two are the same, and neighbours come apart, as attackers do.
fn address(i: u32) -> String {
    let mixed = i.wrapping_mul(0x9e37_79b1);
    let [a, b, c, d] = mixed.to_be_bytes();
    format!("{a}.{b}.{c}.{d}/32")
}

fn in_an_hour() -> u64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    now.as_secs() + 3600
}

fn add(token: &str, i: u32, expiration: u64) -> Vec<u8> {
    let cidr = address(i);
    let body = format!("{{\"cidr\":\"{cidr}\",\"expiration\":{expiration},\"tag\":\"sshd\"}}");
    post("/v1/drop", "application/json", token, &body)
}

/// Adds a second.
pub fn pipelined_adds(server: &Server, connections: u32, in_flight: usize, count: u32) -> f64 {
    let expiration = in_an_hour();
    let each = count / connections;
    let shares: Vec<Vec<Vec<u8>>> = (0..connections)
        .map(|c| {
            (c * each..(c + 1) * each)
                .map(|i| add(&server.token, i, expiration))
                .collect()
        })
        .collect();
    let start = Instant::now();
    thread::scope(|scope| {
        for share in &shares {
            scope.spawn(|| pipeline(server, share, in_flight));
        }
    });
    f64::from(each * connections) / start.elapsed().as_secs_f64()
}

/// Keeps so many requests under way until all are answered.
fn pipeline(server: &Server, requests: &[Vec<u8>], in_flight: usize) {
    let mut stream = server.connect();
    let mut answers = Answers::new();
    let mut out = Vec::with_capacity(64 * 1024);
    let (mut sent, mut answered) = (0, 0);
    while answered < requests.len() {
        let until = requests.len().min(answered + in_flight);
        out.clear();
        requests[sent..until]
            .iter()
            .for_each(|request| out.extend_from_slice(request));
        stream.write_all(&out).unwrap();
        sent = until;
        answers.fill(&mut stream);
        while answers.take("201") {
            answered += 1;
        }
    }
}

/// How long single requests take.
pub struct Latency {
    pub median: Duration,
    pub p99: Duration,
}

/// Adds one by one on one connection.
pub fn lone_adds(server: &Server, first: u32, count: u32) -> Latency {
    let expiration = in_an_hour();
    let mut stream = server.connect();
    let mut answers = Answers::new();
    let mut times: Vec<Duration> = (first..first + count)
        .map(|i| {
            let request = add(&server.token, i, expiration);
            let start = Instant::now();
            stream.write_all(&request).unwrap();
            while !answers.take("201") {
                answers.fill(&mut stream);
            }
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    Latency {
        median: times[times.len() / 2],
        p99: times[times.len() * 99 / 100],
    }
}

/// One batch of new entries.
pub fn batch(server: &Server, count: u32) -> Duration {
    let expiration = in_an_hour();
    let mut body = String::new();
    for i in 0..count {
        let cidr = address(i);
        let _ = writeln!(
            body,
            "{{\"action\":\"add\",\"entry\":{{\"cidr\":\"{cidr}\",\"expiration\":{expiration},\"tag\":\"sshd\"}}}}"
        );
    }
    let request = post(
        "/v1/drop/batch",
        "application/x-ndjson",
        &server.token,
        &body,
    );
    let mut stream = server.connect();
    let start = Instant::now();
    let answer = exchange(&mut stream, &request);
    let took = start.elapsed();
    assert!(answer.contains(&format!("\"added\":{count},")), "{answer}");
    took
}

/// One list.
pub fn list(server: &Server, count: u32) -> (Duration, usize) {
    let mut stream = server.connect();
    let start = Instant::now();
    let bytes = download(&mut stream, &get("/v1/drop", &server.token));
    let took = start.elapsed();
    assert!(bytes > count as usize * 60, "{bytes} bytes are too few");
    (took, bytes)
}

/// One reload of a new set.
pub fn reload(server: &Server, lines: u32) -> Duration {
    let text: String = (0..lines).map(|i| address(i) + "\n").collect();
    fs::write(server.set_file("big"), text).unwrap();
    let request = post("/v1/sets/reload", "application/json", &server.token, "");
    let mut stream = server.connect();
    let start = Instant::now();
    let answer = exchange(&mut stream, &request);
    let took = start.elapsed();
    assert!(answer.contains("\"reload_status\":\"OK\""), "{answer}");
    let stats = exchange(&mut stream, &get("/v1/stats", &server.token));
    assert!(
        stats.contains(&format!("\"drop_cidr_count\":{lines},")),
        "{stats}"
    );
    took
}
