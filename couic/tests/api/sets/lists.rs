//! Sets as lists: text of any length, taken as a whole or not at all.

use std::fs;

use couic_firewall::dataplane::Limits;
use serde_json::json;

use crate::support::{Reply, TestApi, start, start_with};

pub(super) async fn put(test: &TestApi, path: &str, list: &str) -> Reply {
    let asked = test.ask("PUT", path).header("content-type", "text/plain");
    asked.body(list).send().await
}

pub(super) fn file(test: &TestApi, path: &str) -> Option<String> {
    fs::read_to_string(test.dir.path().join("sets").join(path)).ok()
}

fn message(reply: &Reply) -> String {
    reply.json()["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_list_creates_a_set_then_replaces_it() {
    let test = start();
    let list = "# a feed\n192.0.2.7\n10.1.2.3/8 # office\n203.0.113.0-203.0.113.2\n";
    let path = "/v1/sets/drop/feed";
    let reply = put(&test, path, list).await.is(201).json();
    let text = "10.0.0.0/8\n192.0.2.7/32\n203.0.113.0/31\n203.0.113.2/32\n";
    assert_eq!(file(&test, "drop/feed.couic").as_deref(), Some(text));
    assert_eq!(
        reply,
        json!({"name": "feed", "entry_count": 4, "file_size": text.len(), "applied": false,
            "added": 0, "removed": 0, "refused_count": 0})
    );
    assert!(test.plane.rules().is_empty(), "rules change at reload");
    let reply = put(&test, path, "2001:db8::/32\n192.0.2.7").await.is(200);
    let notes = reply.json()["notes"].clone();
    assert!(
        notes[0].as_str().unwrap().contains("may be cut off"),
        "{notes}"
    );
    test.ask("POST", "/v1/sets/reload").send().await.is(201);
    assert_eq!(test.plane.rules().len(), 2);
}

#[tokio::test]
async fn what_is_expected_to_be_there_or_not_is_asked() {
    let test = start();
    let list = "192.0.2.7\n";
    let asked = |exists: &str| format!("/v1/sets/drop/s?exists={exists}");
    put(&test, &asked("true"), list)
        .await
        .error(404, "not_found");
    put(&test, &asked("false"), list).await.is(201);
    let again = put(&test, &asked("false"), "192.0.2.8\n").await;
    assert_eq!(again.error(409, "conflict"), ["name"]);
    put(&test, &asked("true"), list).await.is(200);
    put(&test, &asked("maybe"), list)
        .await
        .error(400, "bad_request");
    let apply = put(&test, "/v1/sets/drop/s?apply=1", list).await;
    apply.error(400, "bad_request");
}

#[tokio::test]
async fn one_bad_line_refuses_all_and_is_named() {
    let test = start();
    let path = "/v1/sets/drop/s?apply=true";
    put(&test, path, "192.0.2.7\n").await.is(201);
    let reply = put(&test, path, "192.0.2.8\n\n198.51.100.0/33\n192.0.2.9\n").await;
    assert!(
        message(&reply).starts_with("line 3: 198.51.100.0/33: the prefix length"),
        "{reply:?}"
    );
    assert_eq!(reply.error(422, "invalid"), ["line"]);
    // A page of errors in place of a list.
    let reply = put(&test, path, "<html>\n").await;
    assert!(!message(&reply).contains("html"), "{reply:?}");
    reply.error(422, "invalid");
    assert_eq!(
        file(&test, "drop/s.couic").as_deref(),
        Some("192.0.2.7/32\n")
    );
    assert_eq!(test.plane.rules().len(), 1);
}

#[tokio::test]
async fn an_empty_list_has_to_say_that_it_is_meant() {
    let test = start();
    let path = "/v1/sets/drop/s?apply=true";
    put(&test, path, "192.0.2.7\n").await.is(201);
    for empty in ["", "\n\n", "# nothing today\n"] {
        let reply = put(&test, path, empty).await;
        assert!(
            message(&reply).contains("did a download fail?"),
            "{reply:?}"
        );
        assert_eq!(reply.error(422, "invalid"), ["list"]);
    }
    assert_eq!(test.plane.rules().len(), 1);
    let reply = put(&test, path, "# Empty on purpose\n")
        .await
        .is(200)
        .json();
    assert_eq!(
        (&reply["entry_count"], &reply["removed"]),
        (&json!(0), &json!(1))
    );
    assert!(test.plane.rules().is_empty());
    // It says so in its file, so a reload does not take it for a failed download.
    test.ask("POST", "/v1/sets/reload").send().await.is(201);
}

#[tokio::test]
async fn a_list_has_no_more_networks_than_are_loaded() {
    let limits = Limits {
        drop_entries: 2,
        ignore_entries: 2,
    };
    let test = start_with(limits, false);
    let list: String = (0..9).map(|n| format!("192.0.2.{n}\n")).collect();
    for path in ["/v1/sets/drop/s", "/v1/sets/drop/s?apply=true"] {
        let reply = put(&test, path, &list).await;
        assert!(message(&reply).contains("more than 8 entries"), "{reply:?}");
        reply.error(422, "processing");
        // Ranges count as the networks that they are.
        let reply = put(&test, path, "10.0.0.1-10.255.255.254\n").await;
        reply.is(422);
    }
    let repeated = "192.0.2.7\n".repeat(50);
    put(&test, "/v1/sets/drop/s", &repeated).await.is(201);
    assert_eq!(
        file(&test, "drop/s.couic").as_deref(),
        Some("192.0.2.7/32\n")
    );
}

#[tokio::test]
async fn a_list_is_not_taken_compressed_nor_where_json_is_asked_for() {
    let test = start();
    let asked = test.ask("PUT", "/v1/sets/drop/s");
    let asked = asked.header("content-type", "text/plain");
    let reply = asked.header("content-encoding", "gzip").body("x").send();
    reply.await.error(415, "bad_request");
    let asked = test.ask("POST", "/v1/sets/drop");
    let asked = asked.header("content-type", "text/plain; charset=utf-8");
    let reply = asked.body("192.0.2.7\n").send().await;
    reply.error(400, "bad_request");
}
