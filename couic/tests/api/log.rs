//! The audit log through the API, over files as the daemon writes them.

use couic_common::Group;
use serde_json::{Value, json};

use crate::support::{TestApi, start};

/// Writes a log of `count` entries, one a second.
fn with_entries(count: u64) -> TestApi {
    let test = start();
    let mut text = String::new();
    for n in 0..count {
        let entry = json!({
            "at": n, "request": format!("r{n}"), "actor": {"kind": "client", "name": "web"},
            "from": "uid 0 (root), pid 9", "action": "added", "policy": "drop",
            "cidr": format!("10.0.{}.{}/32", n / 256, n % 256), "tag": "ssh", "expiration": 0,
            "reason": "why", "later": "unknown fields are ignored",
        });
        text += &format!("{entry}\n");
    }
    let file = test.dir.path().join("audit.log.2026-11-21");
    std::fs::write(file, text).unwrap();
    test
}

async fn times(test: &TestApi, query: &str) -> Vec<u64> {
    let reply = test.get(&format!("/v1/log{query}")).await.is(200);
    let entries = reply.json();
    let at = |entry: &Value| entry["at"].as_u64().unwrap();
    entries.as_array().unwrap().iter().map(at).collect()
}

#[tokio::test]
async fn the_newest_entries_come_first() {
    let test = with_entries(300);
    assert_eq!(times(&test, "").await.len(), 100);
    assert_eq!(times(&test, "?limit=2").await, [299, 298]);
    assert_eq!(times(&test, "?since=10&until=11").await, [11, 10]);
    assert_eq!(times(&test, "?address=10.0.0.7").await, [7]);
    assert_eq!(times(&test, "?address=10.0.1.0/31").await, [257, 256]);
    assert_eq!(
        times(&test, "?tag=s*&actor=w*b&action=added&policy=drop&limit=1").await,
        [299]
    );
    for none in ["?tag=x", "?actor=x", "?action=removed", "?policy=ignore"] {
        assert!(times(&test, none).await.is_empty(), "{none}");
    }
    let reply = test
        .as_group(Group::ClientRo, "GET", "/v1/log?limit=1")
        .send()
        .await
        .is(200);
    let expected = json!([{
        "at": 299, "request": "r299", "actor": {"kind": "client", "name": "web"},
        "from": "uid 0 (root), pid 9", "action": "added", "policy": "drop", "cidr": "10.0.1.43/32",
        "tag": "ssh", "expiration": 0, "reason": "why",
    }]);
    assert_eq!(reply.json(), expected);
}

#[tokio::test]
async fn invalid_queries_are_refused() {
    let test = with_entries(1);
    for bad in [
        "limit=0",
        "limit=1001",
        "limit=x",
        "since=-1",
        "until=soon",
        "address=10.0.0.0/33",
        "address=nowhere",
        "policy=Drop",
        &format!("actor={}", "x".repeat(201)),
    ] {
        let reply = test.get(&format!("/v1/log?{bad}")).await;
        reply.error(400, "bad_request");
    }
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request() {
    let test = start();
    let reply = test.get("/v1/stats").await.is(200);
    let first = reply.headers["x-request-id"].clone();
    let reply = test.get("/nowhere").await.is(404);
    let second = &reply.headers["x-request-id"];
    assert!(first != *second && second.len() == 16, "{second:?}");
}
