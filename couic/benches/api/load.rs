//! What is asked, and how long it takes.

use std::{
    fmt::Write as _,
    fs, thread,
    time::{Duration, Instant},
};

use couic_inject::{Injector, Limits as InjectLimits, Rule};
use couic_testkit::request;

use crate::server::Server;

fn post(path: &str, kind: &str, token: &str, body: &str) -> String {
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: {kind}\r\n");
    request("POST", path, &headers, body)
}

fn get(path: &str, token: &str) -> String {
    request(
        "GET",
        path,
        &format!("Authorization: Bearer {token}\r\n"),
        "",
    )
}

/// The `i`th address: no two are the same, and neighbours come apart, as attackers do.
fn address(i: u32) -> String {
    let mixed = i.wrapping_mul(0x9e37_79b1);
    let [a, b, c, d] = mixed.to_be_bytes();
    format!("{a}.{b}.{c}.{d}/32")
}

fn in_an_hour() -> u64 {
    couic_common::unix_seconds() + 3600
}

fn add(token: &str, i: u32, expiration: u64) -> String {
    let cidr = address(i);
    let body = format!("{{\"cidr\":\"{cidr}\",\"expiration\":{expiration},\"tag\":\"sshd\"}}");
    post("/v1/drop", "application/json", token, &body)
}

/// Adds a second.
pub(crate) fn pipelined_adds(
    server: &Server,
    connections: u32,
    in_flight: usize,
    count: u32,
) -> f64 {
    let expiration = in_an_hour();
    let each = count / connections;
    let shares: Vec<Vec<String>> = (0..connections)
        .map(|c| {
            (c * each..(c + 1) * each)
                .map(|i| add(&server.token, i, expiration))
                .collect()
        })
        .collect();
    let start = Instant::now();
    thread::scope(|scope| {
        for share in &shares {
            scope.spawn(move || server.connect().pipeline(share, in_flight, 201));
        }
    });
    f64::from(each * connections) / start.elapsed().as_secs_f64()
}

/// How long single requests take.
pub(crate) struct Latency {
    pub(crate) median: Duration,
    pub(crate) p99: Duration,
}

/// Adds one by one on one connection.
pub(crate) fn lone_adds(server: &Server, first: u32, count: u32) -> Latency {
    let expiration = in_an_hour();
    let mut connection = server.connect();
    let mut times: Vec<Duration> = (first..first + count)
        .map(|i| {
            let request = add(&server.token, i, expiration);
            let start = Instant::now();
            connection.pipeline([request], 1, 201);
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
pub(crate) fn batch(server: &Server, count: u32) -> Duration {
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
    let mut connection = server.connect();
    let start = Instant::now();
    let answer = connection.ask(&request).body;
    let took = start.elapsed();
    assert!(answer.contains(&format!("\"added\":{count},")), "{answer}");
    took
}

/// A burst of bans by couic-inject: from the first and from the last until the daemon has taken all.
pub(crate) fn injected(server: &Server, count: u32) -> (Duration, Duration) {
    let injector = Injector::start(server.injection(), InjectLimits::default()).unwrap();
    let until = in_an_hour();
    let start = Instant::now();
    for i in 0..count {
        let mut extra = serde_json::Map::new();
        extra.insert("count".into(), i.into());
        extra.insert("sample".into(), "203.0.113.9 - - [01/Dec/2026:00:00:00 +0000] \"POST /wp-login.php HTTP/1.1\" 401 12 \"-\" \"curl/8\"".into());
        injector.ban(Rule {
            cidr: address(i).parse().unwrap(),
            tag: "mon-login".into(),
            until,
            kind: "couicmon".into(),
            detail: "login: 5 in 10 s".into(),
            extra,
        });
    }
    let last = Instant::now();
    while injector.figures().pending > 0 {
        thread::sleep(Duration::from_millis(1));
    }
    let took = (start.elapsed(), last.elapsed());
    let figures = injector.figures();
    assert_eq!((figures.applied, figures.failures), (u64::from(count), 0));
    took
}

/// One list.
pub(crate) fn list(server: &Server, count: u32) -> (Duration, usize) {
    let mut connection = server.connect();
    let start = Instant::now();
    let bytes = connection.ask(get("/v1/drop", &server.token)).body.len();
    let took = start.elapsed();
    assert!(bytes > count as usize * 60, "{bytes} bytes are too few");
    (took, bytes)
}

/// One reload of a new set.
pub(crate) fn reload(server: &Server, lines: u32) -> Duration {
    let text: String = (0..lines).map(|i| address(i) + "\n").collect();
    fs::write(server.set_file("big"), text).unwrap();
    let request = post("/v1/sets/reload", "application/json", &server.token, "");
    let mut connection = server.connect();
    let start = Instant::now();
    let answer = connection.ask(&request).body;
    let took = start.elapsed();
    assert!(answer.contains("\"reload_status\":\"OK\""), "{answer}");
    assert_eq!(rules(server), lines);
    took
}

/// How many rules the server counts.
pub(crate) fn rules(server: &Server) -> u32 {
    let answer = server.connect().ask(get("/v1/stats", &server.token)).body;
    let count = answer.split_once("\"drop_cidr_count\":").unwrap().1;
    count.split_once(',').unwrap().0.parse().unwrap()
}
