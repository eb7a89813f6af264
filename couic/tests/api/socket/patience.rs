//! Clients that stall, do not read, disconnect, or are too many.

use std::time::Duration;

use couic::api::ServeSettings;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

use super::{LONG, run, until};

#[test]
fn an_incomplete_head_times_out() {
    let settings = ServeSettings {
        head: Duration::from_millis(200),
        ..ServeSettings::default()
    };
    let server = run(settings);
    let mut idle = server.connect();
    let mut client = server.connect();
    assert_eq!(client.ask(server.add("1.0.0.0/8")).status, 201);
    client.send(&server.add("2.0.0.0/8")[..40]);
    // By then the idle connection has exceeded the head timeout.
    assert!(client.is_closed());
    assert_eq!(
        idle.ask(server.add("3.0.0.0/8")).status,
        201,
        "the head timeout does not apply to an idle connection"
    );
    assert_eq!(server.rules(), 2);
}

#[test]
fn an_idle_connection_is_closed_after_its_timeout() {
    let short = Duration::from_secs(1);
    let server = run(ServeSettings {
        idle: short,
        head: short,
        ..ServeSettings::default()
    });
    // A stalled machine may take longer than that between connecting and asking.
    let mut client = until("a request is answered", LONG, || {
        let mut client = server.connect();
        client.try_send(server.head("GET", "/v1/stats", "")).ok()?;
        client.try_answer().ok().map(|_| client)
    })
    .0;
    assert!(client.is_closed());
}

#[test]
fn a_client_that_does_not_read_times_out() {
    let short = Duration::from_millis(300);
    let mut server = run(ServeSettings {
        write: short,
        drain: 2 * LONG,
        ..ServeSettings::default()
    });
    let lines: String = (0..30_000_u32)
        .map(|i| {
            format!(
                "{{\"action\":\"add\",\"entry\":{{\"cidr\":\"10.0.{}.{}/32\"}}}}\n",
                i >> 8,
                i & 255
            )
        })
        .collect();
    let batch = server
        .test
        .ask("POST", "/v1/drop/batch")
        .header("content-type", "application/x-ndjson");
    server.runtime.block_on(batch.body(&lines).send()).is(200);
    let mut client = server.connect();
    client.send(server.head("GET", "/v1/drop", ""));
    assert!(
        !client.receive().unwrap().is_empty(),
        "the answer has begun"
    );
    server.signal();
    // Before the drain deadline.
    let summary = server.ended();
    assert_eq!((summary.served, summary.aborted), (1, 0), "{summary:?}");
}

#[test]
fn a_client_that_disconnects_mid_request_changes_nothing() {
    let server = run(ServeSettings::default());
    for request in [&server.add("1.0.0.0/8")[..150], "GET /v1/dr", "", "\r\n"] {
        let mut client = server.connect();
        client.send(request);
    }
    let mut client = server.connect();
    assert_eq!(client.ask(server.add("2.0.0.0/8")).status, 201);
    assert_eq!(server.rules(), 1);
}

/// Both ends of the connections are in this process, which may exceed the default limit of 1,024 open files.
fn raise_the_limit_of_open_files() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard).unwrap();
}

#[test]
fn a_thousand_idle_connections_do_not_delay_others() {
    raise_the_limit_of_open_files();
    let server = run(ServeSettings::default());
    let mut idle = Vec::new();
    for _ in 0..1000 {
        idle.push(server.connect());
    }
    let mut client = server.connect();
    assert_eq!(client.ask(server.add("1.0.0.0/8")).status, 201);
    for (i, client) in idle.iter_mut().enumerate().step_by(100) {
        let answer = client.ask(server.add(&format!("10.0.0.{}/32", i / 100)));
        assert_eq!(answer.status, 201);
    }
}

#[test]
fn connections_beyond_the_limit_are_answered_with_an_error() {
    let mut server = run(ServeSettings {
        max_connections: 3,
        ..ServeSettings::default()
    });
    let mut open = Vec::new();
    for i in 0..3 {
        let mut client = server.connect();
        assert_eq!(
            client.ask(server.add(&format!("{}.0.0.0/8", i + 1))).status,
            201
        );
        open.push(client);
    }
    let mut client = server.connect();
    let answer = client.answer();
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (503, &json!("internal"))
    );
    assert!(client.is_closed());
    open.pop();
    // The server notices the closed one in its own time.
    until("it is served", LONG, || {
        let mut client = server.connect();
        let asked = client.try_send(server.head("GET", "/v1/stats", ""));
        // Refused, it is told so without having asked.
        drop(asked);
        (client.answer().status == 200).then_some(())
    });
    drop(open);
    server.signal();
    let summary = server.ended();
    assert_eq!((summary.served, summary.aborted), (4, 0));
    assert!(summary.refused >= 1);
}
