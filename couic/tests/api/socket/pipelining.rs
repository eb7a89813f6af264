//! Several requests on one connection: order, and latency of responses.

use std::{io::Write, thread, time::Instant};

use couic::api::ServeSettings;
use serde_json::{Value, json};

use super::{LONG, run};

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = run(ServeSettings::default());
    let mut client = server.connect();
    let text: String = (0..500)
        .map(|i| server.add(&format!("10.0.{}.{}/32", i / 256, i % 256)))
        .collect();
    // In another task: the socket buffers do not hold all of it.
    let mut sender = client.sender();
    let sending = thread::spawn(move || sender.write_all(text.as_bytes()).unwrap());
    for i in 0..500 {
        let answer = client.answer();
        let cidr = format!("10.0.{}.{}/32", i / 256, i % 256);
        assert_eq!((answer.status, &answer.json()["cidr"]), (201, &json!(cidr)));
    }
    sending.join().unwrap();
    assert_eq!(
        client.ask(server.head("GET", "/v1/stats", "")).json()["drop_cidr_count"],
        500
    );
}

/// Not after a timer: the connection's own wakeups must suffice.
#[test]
fn answers_are_sent_at_once() {
    let server = run(ServeSettings::default());
    let mut client = server.connect();
    let started = Instant::now();
    // The connection's timer ticks every 2.5 s.
    for i in 0..50 {
        assert_eq!(
            client.ask(server.add(&format!("10.0.0.{i}/32"))).status,
            201
        );
        assert_eq!(client.ask(server.head("GET", "/v1/stats", "")).status, 200);
        assert_eq!(
            client.ask(server.head("GET", "/v1/sets/drop", "")).status,
            200
        );
    }
    assert!(started.elapsed() < LONG, "{:?}", started.elapsed());
}

/// The first answer does not wait for the second, although a third request is there already.
#[test]
fn an_answer_does_not_wait_for_the_next_request() {
    let server = run(ServeSettings::default());
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let blocked = move || {
        let _ = wait.lock().unwrap().recv_timeout(LONG);
        crate::support::healthy()
    };
    *server.test.health.lock().unwrap() = Box::new(blocked);
    let mut client = server.connect();
    let health = server.head("GET", "/v1/health", "");
    client.send([server.add("1.0.0.0/8"), health, server.add("2.0.0.0/8")].concat());
    assert_eq!(client.answer().status, 201);
    go.send(()).unwrap();
    assert_eq!(client.answer().status, 200);
    assert_eq!(client.answer().status, 201);
}

#[test]
fn errors_between_pipelined_requests_do_not_break_the_connection() {
    let server = run(ServeSettings::default());
    let mut client = server.connect();
    let bad = server.post("/v1/drop", "nonsense");
    let unknown = server.head("GET", "/v1/nothing/here", "");
    let anonymous = "POST /v1/drop HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc";
    client.send(
        [
            server.add("1.0.0.0/8"),
            bad,
            unknown,
            anonymous.to_owned(),
            server.add("2.0.0.0/8"),
        ]
        .concat(),
    );
    for status in [201, 400, 404, 401, 201] {
        assert_eq!(client.answer().status, status);
    }
    assert_eq!(server.rules(), 2);
}

#[test]
fn slow_work_does_not_overtake_pipelined_answers() {
    let server = run(ServeSettings::default());
    let mut client = server.connect();
    let set = server.post("/v1/sets/drop", "{\"name\":\"s\",\"entries\":[]}");
    let reload = server.head("POST", "/v1/sets/reload", "content-length: 0\r\n");
    client.send(
        [
            server.add("1.0.0.0/8"),
            set,
            server.add("1.0.0.0/8"),
            reload,
        ]
        .concat(),
    );
    for status in [201, 201, 409, 201] {
        assert_eq!(client.answer().status, status);
    }
}

#[test]
fn head_keeps_the_connection_in_sync() {
    let server = run(ServeSettings::default());
    let jobs: Vec<Value> = (0..3000_u32)
        .map(|i| json!({"action": "add", "entry": {"cidr": format!("10.0.{}.{}/32", i >> 8, i & 255)}}))
        .collect();
    let jobs = Value::Array(jobs);
    let added = server
        .runtime
        .block_on(server.test.post("/v1/drop/batch", &jobs));
    added.is(200);
    let mut client = server.connect();
    for path in [
        "/v1/drop?limit=5",
        "/v1/drop",
        "/v1/stats",
        "/v1/health",
        "/v1/nothing/here",
    ] {
        let get = client.ask(server.head("GET", path, ""));
        client.send(server.head("HEAD", path, ""));
        let (status, head) = client.head();
        assert_eq!(status, get.status, "{path}");
        // RFC 9110, 9.3.2: headers determined while generating the body may be omitted.
        let names = |head: &str| {
            let left_out = |line: &&str| {
                // Each answer has an id of its own.
                line.starts_with("x-request-id")
                    || line.starts_with("date")
                    || line.starts_with("transfer-encoding")
                    || line.is_empty()
            };
            let lines = head.lines().skip(1).filter(|line| !left_out(line));
            let mut names: Vec<String> = lines.map(str::to_owned).collect();
            names.sort();
            names
        };
        assert_eq!(names(&head), names(&get.head), "{path}");
    }
    assert_eq!(client.ask(server.add("1.0.0.0/8")).status, 201);
}

#[test]
fn lists_are_streamed_over_http_1_0_too() {
    let server = run(ServeSettings::default());
    let mut client = server.connect();
    let request = server
        .head("GET", "/v1/drop", "")
        .replace("HTTP/1.1", "HTTP/1.0");
    let answer = client.ask(request);
    assert_eq!((answer.status, answer.body), (200, "[]".to_owned()));
    assert!(client.is_closed());
}

#[test]
fn targets_without_a_path_are_404_and_the_connection_stays_open() {
    let server = run(ServeSettings::default());
    let mut client = server.connect();
    for (method, target) in [("CONNECT", "x:1"), ("GET", "x"), ("OPTIONS", "*")] {
        let answer = client.ask(server.head(method, target, ""));
        assert_eq!(answer.status, 404, "{method} {target}");
        assert_eq!(answer.json()["code"], "not_found");
    }
    assert_eq!(client.ask(server.add("1.0.0.0/8")).status, 201);
}

#[test]
fn invalid_http_is_refused_and_the_connection_closed() {
    let server = run(ServeSettings::default());
    for text in [
        "nonsense\r\n\r\n",
        "\x16\x03\x01\x02\x00",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\u{0} HTTP/1.1\r\n\r\n",
    ] {
        let mut client = server.connect();
        client.send(text);
        assert_eq!(client.head().0, 400, "{text:?}");
        assert!(client.is_closed(), "{text:?}");
    }
    let mut client = server.connect();
    let long = format!(
        "GET /v1/drop HTTP/1.1\r\nx: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    // It may close before all is sent.
    let _ = client.try_send(long);
    assert_eq!(client.head().0, 431);
}
