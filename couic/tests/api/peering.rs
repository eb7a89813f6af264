//! The routes between nodes that share rules, and those for operators.

use std::{sync::Arc, time::Instant};

use couic::peering::Time;
use couic_common::Group;
use couic_firewall::rules::SystemClock;
use serde_json::{Value, json};

use crate::support::{Reply, TestApi, start, start_peering};

fn sharing() -> TestApi {
    start_peering(Vec::new(), Arc::new(SystemClock), Time::system())
}

/// A peer's identity, with a clock which is `ahead` ms ahead.
fn face(ahead: i64) -> Value {
    let now = u64::try_from(couic_common::unix_time().as_millis()).unwrap();
    let wall = now.saturating_add_signed(ahead);
    json!({"node": "000000aa00000001", "wall": wall, "protocol": 2})
}

fn record(cidr: &str) -> Value {
    json!({"cidr": cidr, "time": 1_700_000_000_000_u64 << 16, "node": "000000aa00000001", "until": 0})
}

async fn say(test: &TestApi, path: &str, body: &Value) -> Reply {
    test.as_group(Group::Peering, "POST", path)
        .json(body)
        .send()
        .await
}

async fn push(test: &TestApi, policy: &str, records: &Value) -> Value {
    let body = json!({"from": face(0), "gap": 0, "records": records});
    let path = format!("/v1/{policy}/push");
    say(test, &path, &body).await.is(200).json()
}

#[tokio::test]
async fn without_peering_its_routes_are_404() {
    let test = start();
    let body = json!({"from": face(0), "of": "root"});
    say(&test, "/v1/drop/digest", &body)
        .await
        .error(404, "peering_off");
    assert_eq!(test.get("/v1/peers").await.is(200).json(), json!([]));
    test.delete("/v1/peers/a").await.error(404, "not_found");
}

#[tokio::test]
async fn registers_are_pushed_compared_and_pulled() {
    let test = sharing();
    let answer = push(&test, "drop", &json!([record("1.2.3.4/24")])).await;
    assert_eq!(
        (answer["taken"].clone(), answer["refused"].clone()),
        (json!(1), json!(0))
    );
    let entry = test.get("/v1/drop/1.2.3.0/24").await.is(200).json();
    assert_eq!(entry["expiration"], 0);
    for (of, count) in [
        (json!("root"), 1),
        (json!("branches"), 256),
        (json!({"leaves": [0, 7]}), 512),
    ] {
        let body = json!({"from": face(0), "of": of});
        let answer = say(&test, "/v1/drop/digest", &body).await.is(200).json();
        assert_eq!(answer["records"], 1);
        assert_eq!(answer["digests"].as_array().unwrap().len(), count);
    }
    let body = json!({"from": face(0), "leaves": [[0, 65535]]});
    let answer = say(&test, "/v1/drop/pull", &body).await.is(200).json();
    assert_eq!(answer["records"][0]["cidr"], "1.2.3.0/24");
    assert_eq!(answer["records"][0]["node"], "000000aa00000001");
    assert_eq!(answer["last"], Value::Null);
}

#[tokio::test]
async fn a_bad_register_is_refused_alone() {
    let test = sharing();
    let records = json!([
        record("0.0.0.0/0"),
        record("nonsense"),
        {"cidr": "9.0.0.0/8", "time": u64::MAX, "node": "000000aa00000001", "until": 0},
        {"cidr": "9.0.0.0/9", "time": 1, "node": "000000aa00000001", "until": 7},
        {"cidr": "9.0.0.0/10", "time": 1, "node": "000000aa00000001", "until": 0, "tag": "s.couic"},
        record("1.0.0.0/8"),
    ]);
    let answer = push(&test, "drop", &records).await;
    assert_eq!(answer["taken"], 6);
    assert_eq!(answer["refused"], 4, "{answer}");
    assert!(answer["problem"].is_string());
    assert_eq!(test.plane.rules().len(), 1);
    // Policy ignore is not shared unless configured on both sides.
    let answer = push(&test, "ignore", &json!([record("2.0.0.0/8")])).await;
    assert_eq!(answer["refused"], 1);
    let body = json!({"from": face(0), "of": "root"});
    let answer = say(&test, "/v1/ignore/digest", &body).await.is(200).json();
    assert_eq!(answer["accepts"], false);
}

#[tokio::test]
async fn invalid_bodies_change_nothing() {
    let test = sharing();
    for path in ["/v1/drop/digest", "/v1/drop/pull", "/v1/drop/push"] {
        for body in [
            "",
            "x",
            "[]",
            "{}",
            r#"{"from":{"node":"x","wall":-1,"protocol":2}}"#,
            "[[[[[[[",
            r#"[{"node":1,"wall":1,"protocol":2},0,[]]"#,
        ] {
            let asked = test.as_group(Group::Peering, "POST", path);
            asked.text(body).send().await.error(400, "bad_request");
        }
    }
    // A clock two hours ahead, and a version of before versions were told.
    let old = json!({"node": face(0)["node"], "wall": face(0)["wall"]});
    for from in [face(7_200_000), old] {
        let body = json!({"from": from, "gap": 0, "records": [record("1.0.0.0/8")]});
        say(&test, "/v1/drop/push", &body)
            .await
            .error(422, "processing");
    }
    assert!(test.plane.rules().is_empty());
}

#[tokio::test]
async fn limits_apply_to_plain_jobs_too() {
    let test = sharing();
    let add = |cidr: &str| json!([{"action": "add", "entry": {"cidr": cidr, "expiration": 0}}]);
    for (policy, cidr) in [("drop", "0.0.0.0/0"), ("ignore", "1.2.3.4/32")] {
        let reply = say(&test, &format!("/v1/{policy}/peer"), &add(cidr)).await;
        reply.error(422, "processing");
    }
    assert!(test.plane.rules().is_empty());
    say(&test, "/v1/drop/peer", &add("1.2.3.4/32"))
        .await
        .is(201);
    assert_eq!(test.plane.rules().len(), 1);
    // Nor more than a sixteenth of all addresses.
    let all = (0..=255).map(
        |n| json!({"action": "add", "entry": {"cidr": format!("{n}.0.0.0/8"), "expiration": 0}}),
    );
    let reply = say(&test, "/v1/drop/peer", &all.collect()).await;
    reply.error(422, "processing");
    assert_eq!(test.plane.rules().len(), 1);
}

#[tokio::test]
async fn a_flood_is_rate_limited_and_memory_stays_bounded() {
    let test = sharing();
    // The default is 100,000 per second, with a burst of twice that.
    let records: Vec<Value> = (0..60_000_u32)
        .map(|n| record(&format!("10.{}.{}.{}/32", n >> 16, n >> 8 & 255, n & 255)))
        .collect();
    let (records, started) = (Value::Array(records), Instant::now());
    let mut taken = 0;
    for _ in 0..10 {
        let answer = push(&test, "drop", &records).await;
        taken += answer["taken"].as_u64().unwrap();
        if answer["wait_ms"].as_u64().unwrap() > 0 {
            assert!(answer["taken"].as_u64().unwrap() < 60_000);
        }
    }
    let seconds = started.elapsed().as_secs_f64() + 1.0;
    assert!(
        taken as f64 <= 200_000.0 + 100_000.0 * seconds,
        "{taken} in {seconds}"
    );
    assert_eq!(test.plane.rules().len(), 60_000);
}

#[tokio::test]
async fn peers_are_listed_counted_and_forgotten() {
    let test = sharing();
    push(
        &test,
        "drop",
        &json!([record("1.0.0.0/8"), record("2.0.0.0/8")]),
    )
    .await;
    test.add("drop", "3.0.0.0/8", None).await;
    let peers = test.get("/v1/peers").await.is(200).json();
    assert_eq!(peers[0]["name"], "peering");
    assert_eq!(
        (&peers[0]["state"], &peers[0]["rules"]),
        (&json!("inbound"), &json!(2))
    );
    let metrics = test.get("/v1/metrics?format=prometheus").await.is(200).body;
    let metrics = String::from_utf8(metrics).unwrap();
    assert!(
        metrics.contains("couic_peer_rules{peer=\"peering\"} 2"),
        "{metrics}"
    );
    test.delete("/v1/peers/nobody")
        .await
        .error(404, "not_found");
    let forgotten = test.delete("/v1/peers/peering").await.is(200).json();
    assert_eq!(forgotten["removed"], 2);
    assert_eq!(test.plane.rules().len(), 1);
}
