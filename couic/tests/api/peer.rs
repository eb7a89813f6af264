//! Plain jobs of peers.

use couic_common::Group;
use serde_json::{Value, json};

use crate::support::{NOW, Reply, TestApi, start, start_with};

fn add(cidr: &str) -> Value {
    json!({"action": "add", "entry": {"cidr": cidr, "expiration": 0}})
}

fn remove(cidr: &str) -> Value {
    json!({"action": "remove", "entry": {"cidr": cidr, "expiration": 0}})
}

async fn tell(test: &TestApi, jobs: &Value) -> Reply {
    test.as_group(Group::Peering, "POST", "/v1/drop/peer")
        .json(jobs)
        .send()
        .await
}

#[tokio::test]
async fn the_answer_is_the_same_array() {
    let test = start();
    assert_eq!(tell(&test, &json!([])).await.is(201).body, b"[]");
    let jobs = json!([
        {"action": "add", "entry": {"cidr": "1.2.3.77/24", "expiration": NOW + 5, "tag": "t",
            "metadata": {"kind": "k", "detail": "d", "extra": {"z": 1, "a": 2}}}},
        {"action": "remove", "entry": {"cidr": "9.0.0.0/8", "expiration": 0}},
    ]);
    assert_eq!(tell(&test, &jobs).await.is(201).json(), jobs);
    assert_eq!(
        test.get("/v1/drop/1.2.3.0/24").await.is(200).json()["tag"],
        "t"
    );
}

#[tokio::test]
async fn nothing_is_applied_if_one_job_is_invalid() {
    let test = start();
    for bad in [
        json!({"action": "add", "entry": {"cidr": "x", "expiration": 0}}),
        json!({"action": "remove", "entry": {"cidr": "1.2.3.4", "expiration": 0}}),
        json!({"action": "add", "entry": {"cidr": "2.0.0.0/8", "expiration": NOW}}),
        json!({"action": "add", "entry": {"cidr": "2.0.0.0/8", "expiration": 0, "tag": "x.couic"}}),
        json!({"action": "explode", "entry": {"cidr": "2.0.0.0/8", "expiration": 0}}),
        json!({"action": "add", "entry": {"cidr": "2.0.0.0/8"}}),
        json!({"action": "add"}),
        json!(5),
    ] {
        let reply = tell(&test, &json!([add("1.0.0.0/8"), bad])).await.is(422);
        let json = reply.json();
        if json["code"] == "invalid" {
            let fields: Vec<&String> = json["errors"].as_object().unwrap().keys().collect();
            assert!(fields[0].starts_with("[1].entry."), "{json}");
        } else {
            assert_eq!(json["code"], "bad_request");
        }
    }
    assert!(test.plane.rules().is_empty());
}

#[tokio::test]
async fn a_repeated_job_renews_and_is_not_an_error() {
    let test = start();
    for _ in 0..2 {
        tell(
            &test,
            &json!([add("1.0.0.0/8"), add("1.0.0.0/8"), remove("7.0.0.0/8")]),
        )
        .await
        .is(201);
    }
    let renewed = json!([{"action": "add", "entry": {"cidr": "1.0.0.0/8", "expiration": NOW + 9, "tag": "n"}}]);
    tell(&test, &renewed).await.is(201);
    assert_eq!(
        test.get("/v1/drop/1.0.0.0/8").await.json()["expiration"],
        NOW + 9
    );
}

#[tokio::test]
async fn a_remove_of_an_expired_entry_is_accepted() {
    let test = start();
    tell(&test, &json!([add("1.0.0.0/8")])).await.is(201);
    let late = json!([{"action": "remove", "entry": {"cidr": "1.0.0.0/8", "expiration": 5, "tag": "s.couic"}}]);
    tell(&test, &late).await.is(201);
    assert!(test.plane.rules().is_empty());
}

#[tokio::test]
async fn peers_remove_only_their_own_claims() {
    let test = start();
    test.add("drop", "1.0.0.0/8", None).await;
    test.post(
        "/v1/sets/drop",
        &json!({"name": "s", "entries": ["2.0.0.0/8"]}),
    )
    .await
    .is(201);
    test.ask("POST", "/v1/sets/reload").send().await.is(201);
    tell(&test, &json!([remove("1.0.0.0/8"), remove("2.0.0.0/8")]))
        .await
        .is(201);
    assert_eq!(test.plane.rules().len(), 2);
}

#[tokio::test]
async fn a_request_that_exceeds_the_table_is_refused_entirely() {
    let limits = couic_firewall::dataplane::Limits {
        drop_entries: 3,
        ignore_entries: 1,
    };
    let test = start_with(limits, false);
    test.add("drop", "1.0.0.0/8", None).await;
    let jobs = json!([
        add("1.0.0.0/8"),
        add("2.0.0.0/8"),
        add("3.0.0.0/8"),
        add("4.0.0.0/8")
    ]);
    tell(&test, &jobs).await.error(422, "processing");
    assert_eq!(test.plane.rules().len(), 1);
    let jobs = json!([
        add("1.0.0.0/8"),
        add("2.0.0.0/8"),
        add("2.0.0.9/8"),
        add("3.0.0.0/8"),
        add("2001:db8::/32")
    ]);
    tell(&test, &jobs).await.is(201);
    assert_eq!(test.plane.rules().len(), 4);
}

#[tokio::test]
async fn a_long_array_is_applied_entirely() {
    let test = start();
    let jobs: Vec<Value> = (0..10_000_u32)
        .map(|i| add(&format!("10.0.{}.{}/32", i >> 8, i & 255)))
        .collect();
    tell(&test, &Value::Array(jobs)).await.is(201);
    assert_eq!(test.plane.rules().len(), 10_000);
}

#[tokio::test]
async fn a_failing_data_plane_is_a_500() {
    let test = start();
    test.plane.fail_put_after(0);
    tell(&test, &json!([add("1.0.0.0/8")]))
        .await
        .error(500, "internal");
}
