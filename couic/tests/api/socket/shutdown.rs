//! Shutdown: idle connections are closed, requests in progress finished, and the rest aborted at the deadline.

use std::{os::unix::net::UnixStream, time::Duration};

use couic::api::ServeSettings;
use couic_httpd::ServeSummary;
use serde_json::json;

use super::{LONG, run, until};

#[test]
fn shutdown_closes_idle_connections_and_finishes_requests_in_progress() {
    let mut server = run(ServeSettings::default());
    let mut idle = server.connect();
    assert_eq!(idle.ask(server.add("1.0.0.0/8")).status, 201);
    let mut busy = server.connect();
    let line = "{\"action\":\"add\",\"entry\":{\"cidr\":\"2.0.0.0/8\"}}\n";
    let more = format!(
        "content-type: application/x-ndjson\r\ncontent-length: {}\r\n",
        2 * line.len()
    );
    busy.send(server.head("POST", "/v1/drop/batch", &more) + line);
    server.until_rules(2);
    server.signal();
    assert!(idle.is_closed());
    until("no client is accepted", LONG, || {
        UnixStream::connect(&server.path).err()
    });
    let answer = busy.ask(line);
    assert_eq!((answer.status, &answer.json()["added"]), (200, &json!(1)));
    assert!(busy.is_closed());
    assert_eq!(
        server.ended(),
        ServeSummary {
            served: 2,
            refused: 0,
            aborted: 0
        }
    );
}

#[test]
fn shutdown_aborts_requests_at_its_deadline() {
    let mut server = run(ServeSettings {
        drain: Duration::from_millis(200),
        ..ServeSettings::default()
    });
    let mut stuck = server.connect();
    let line = "{\"action\":\"add\",\"entry\":{\"cidr\":\"2.0.0.0/8\"}}\n";
    let head = server.head(
        "POST",
        "/v1/drop/batch",
        "content-type: application/x-ndjson\r\ncontent-length: 9999\r\n",
    );
    stuck.send(head + line);
    server.until_rules(1);
    server.signal();
    assert_eq!(server.ended().aborted, 1);
}
