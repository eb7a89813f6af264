//! `GET /v1/events`, what it keeps: queries, rights, and limits on the number of streams.

use std::time::Duration;

use couic_common::Group;
use couic_testkit::LONG;
use serde_json::{Value, json};

use crate::support::{Reply, TestApi, start};

fn changes(reply: &Reply) -> Vec<Value> {
    let text = std::str::from_utf8(&reply.body).unwrap();
    let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// What is kept, once it is so much: changes are taken over within milliseconds.
async fn kept(test: &TestApi, query: &str, count: usize) -> Vec<Value> {
    let work = async {
        loop {
            let path = format!("/v1/events?follow=false{query}");
            let found = changes(&test.get(&path).await.is(200));
            if found.len() >= count {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, work).await.unwrap()
}

#[tokio::test]
async fn what_is_kept_is_filtered_and_ends() {
    let test = start();
    test.add("drop", "192.0.2.1/32", Some("ssh")).await;
    test.add("drop", "192.0.2.2/32", Some("web")).await;
    test.add("ignore", "192.0.2.3/32", None).await;
    test.delete("/v1/drop/192.0.2.1/32?reason=over")
        .await
        .is(204);
    let all = kept(&test, "", 4).await;
    let brief: Vec<_> = all
        .iter()
        .map(|c| (c["action"].as_str().unwrap(), &c["cidr"]))
        .collect();
    assert_eq!(brief[0], ("added", &json!("192.0.2.1/32")));
    assert_eq!(brief[3], ("removed", &json!("192.0.2.1/32")));
    assert_eq!(all[3]["reason"], "over");
    for (query, count) in [
        ("&policy=drop", 3),
        ("&policy=ignore", 1),
        ("&tag=ssh", 2),
        ("&tag=w*,untagged", 2),
        ("&tag=x", 0),
    ] {
        assert_eq!(kept(&test, query, count).await.len(), count, "{query}");
    }
}

/// Every rule of a set that is put in force is a change.
#[tokio::test]
async fn sets_are_changes_too() {
    let test = start();
    let set = json!({"name": "list", "entries": ["192.0.2.0/24", "2001:db8::/32"]});
    test.post("/v1/sets/drop", &set).await.is(201);
    test.ask("POST", "/v1/sets/reload").send().await.is(201);
    let all = kept(&test, "", 2).await;
    for change in all {
        assert_eq!(change["actor"], json!({"kind": "set", "name": "list"}));
        assert_eq!(change["tag"], "list.couic");
    }
}

#[tokio::test]
async fn invalid_queries_are_refused() {
    let test = start();
    for bad in [
        "policy=Drop",
        "after=1",
        "after=0000000000000000-",
        "after=",
        "follow=maybe",
        &format!("tag={}", "a,".repeat(64)),
    ] {
        let reply = test.get(&format!("/v1/events?{bad}")).await;
        reply.error(400, "bad_request");
    }
    let asked = test.ask("GET", "/v1/events?follow=false");
    let reply = asked.header("last-event-id", "é").send().await;
    reply.error(400, "bad_request");
}

#[tokio::test]
async fn a_client_has_only_so_many_streams() {
    let test = start();
    let name = "clientro".parse().unwrap();
    let metric = |name: &str, text: &str| text.contains(&format!("\n{name}\n"));
    let mut open = Vec::new();
    let filter = couic::api::routes(std::sync::Arc::clone(&test.api));
    for _ in 0..16 {
        let token = test.token(Group::ClientRo);
        let request = warp::test::request()
            .path("/v1/events")
            .header("authorization", format!("Bearer {token}"));
        open.push(request.filter(&filter).await.unwrap());
    }
    let over = || test.as_group(Group::ClientRo, "GET", "/v1/events");
    over().send().await.error(503, "internal");
    // HEAD takes a place for as long as it takes.
    let head = test.ask("HEAD", "/v1/events").send().await.is(200);
    assert_eq!(head.headers["content-type"], "text/event-stream");
    let text = test.get("/v1/metrics?format=prometheus").await.body;
    let text = String::from_utf8(text).unwrap();
    assert!(metric("couic_event_streams 16", &text), "{text}");
    assert!(
        metric("couic_event_streams_refused_total 1", &text),
        "{text}"
    );
    drop(open);
    let ended = test.as_group(Group::ClientRo, "GET", "/v1/events?follow=false");
    ended.send().await.is(200);
    test.api.clients.delete(&name).unwrap();
    over().send().await.error(401, "unauthorized");
}
