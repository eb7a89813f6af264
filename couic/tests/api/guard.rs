//! The guard rails of the API.

use couic_common::Group;
use couic_firewall::dataplane::Limits;
use serde_json::{Value, json};

mod doors;

use crate::support::{HOST, start, start_with};

/// A network that contains the tests' host.
const CUTS: &str = "198.51.100.0/24";

#[tokio::test]
async fn requests_without_a_guard_are_not_checked() {
    let test = start();
    for cidr in [CUTS, "0.0.0.0/0"] {
        test.add("drop", cidr, None).await;
    }
}

#[tokio::test]
async fn a_guarded_request_is_refused_with_the_reason_and_may_be_forced() {
    let test = start();
    let mut body = json!({"cidr": CUTS, "expiration": 0, "guard": {}});
    let reply = test.post("/v1/drop", &body).await;
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains(HOST) && message.contains("force"),
        "{message}"
    );
    assert_eq!(reply.error(422, "processing"), ["cidr"]);
    assert!(test.plane.rules().is_empty());
    test.post("/v1/ignore", &body).await.is(201);
    body["force"] = json!(true);
    test.post("/v1/drop", &body).await.is(201);
}

#[tokio::test]
async fn the_callers_address_and_short_prefixes_are_guarded() {
    let test = start();
    for (cidr, protect, status) in [
        ("203.0.113.0/24", json!(["203.0.113.9"]), 422),
        ("203.0.113.0/24", json!(["203.0.114.9"]), 201),
        ("64.0.0.0/7", json!([]), 422),
        ("64.0.0.0/8", json!([]), 201),
        ("2000::/18", json!([]), 422),
        ("2000::/19", json!([]), 201),
    ] {
        let body = json!({"cidr": cidr, "expiration": 0, "guard": {"protect": protect}});
        test.post("/v1/drop", &body).await.is(status);
    }
}

#[tokio::test]
async fn a_refusal_names_what_was_sent() {
    let test = start_with(Limits::default(), true);
    let begins =
        "10.0.0.0/4 is the network 0.0.0.0/4: drop 0.0.0.0/4 is refused by the guard rail width: ";
    let body = json!({"cidr": "10.0.0.0/4", "expiration": 0});
    let answer = test.post("/v1/drop", &body).await.is(422).json();
    let message = answer["message"].as_str().unwrap();
    assert!(message.starts_with(begins), "{message}");
    assert!(message.ends_with("send \"force\": true"), "{message}");
    let batch = json!([{"action": "add", "entry": body}]);
    let outcome = test.post("/v1/drop/batch", &batch).await.is(200).json();
    let message = outcome["failures"][0]["message"].as_str().unwrap();
    assert!(message.starts_with(begins), "{message}");
}

#[tokio::test]
async fn an_enforced_guard_applies_to_every_add() {
    let test = start_with(Limits::default(), true);
    let plain = json!({"cidr": CUTS, "expiration": 0});
    test.post("/v1/drop", &plain).await.error(422, "processing");
    let set = json!({"name": "s", "entries": ["1.0.0.0/8", CUTS]});
    assert_eq!(
        test.post("/v1/sets/drop", &set)
            .await
            .error(422, "processing"),
        ["entries[1]"]
    );
    let peers = json!([{"action": "add", "entry": {"cidr": "1.0.0.0/8", "expiration": 0}}, {"action": "add", "entry": plain}]);
    let asked = test
        .as_group(Group::Peering, "POST", "/v1/drop/peer")
        .json(&peers);
    assert_eq!(
        asked.send().await.error(422, "processing"),
        ["[1].entry.cidr"]
    );
    let batch = json!([{"action": "add", "entry": {"cidr": CUTS}}, {"action": "add", "entry": {"cidr": "2.0.0.0/8"}}]);
    let outcome = test.post("/v1/drop/batch", &batch).await.is(200).json();
    assert_eq!(
        (&outcome["added"], &outcome["failed"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(outcome["failures"][0]["code"], "processing");
    assert_eq!(test.plane.rules().len(), 1);
    test.post("/v1/sets/ignore", &set).await.is(201);
}

#[tokio::test]
async fn an_enforced_guard_may_be_overridden_by_every_client() {
    let test = start_with(Limits::default(), true);
    let forced = |cidr: &str| json!({"cidr": cidr, "expiration": 0, "force": true});
    test.post("/v1/drop", &forced("198.51.100.0/24"))
        .await
        .is(201);
    let set = json!({"name": "s", "entries": [CUTS], "force": true});
    test.post("/v1/sets/drop", &set).await.is(201);
    test.put("/v1/sets/drop/s", &json!({"entries": [CUTS]}))
        .await
        .error(422, "processing");
    test.put("/v1/sets/drop/s", &set).await.is(200);
    let job = |cidr| json!([{"action": "add", "entry": forced(cidr)}]);
    test.post("/v1/drop/peer", &job("198.51.0.0/16"))
        .await
        .is(201);
    let outcome = test
        .post("/v1/drop/batch", &job("198.0.0.0/8"))
        .await
        .is(200)
        .json();
    assert_eq!(outcome["added"], 1);
}

#[tokio::test]
async fn sets_and_batches_are_guarded() {
    let test = start();
    let set = json!({"name": "s", "entries": [CUTS], "guard": {}});
    test.post("/v1/sets/drop", &set)
        .await
        .error(422, "processing");
    let job = |cidr: &str, guard: Value| json!({"action": "add", "entry": {"cidr": cidr, "guard": guard}});
    let batch = json!([
        job("203.0.113.0/24", json!({"protect": ["203.0.113.9"]})),
        job("203.0.113.0/24", json!({"protect": ["203.0.114.9"]})),
        job(CUTS, Value::Null),
        job(CUTS, json!({})),
        {"action": "remove", "entry": {"cidr": CUTS, "guard": {}}},
    ]);
    let outcome = test.post("/v1/drop/batch", &batch).await.is(200).json();
    let failed: Vec<u64> = outcome["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["index"].as_u64().unwrap())
        .collect();
    assert_eq!(failed, [0, 3], "{outcome}");
    assert_eq!(
        (&outcome["added"], &outcome["removed"]),
        (&json!(2), &json!(1))
    );
}
