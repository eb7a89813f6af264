//! Every door asks the guard rails: set files, peers of both kinds, deletions.

use std::{fs, sync::Arc};

use couic::peering::Time;
use couic_common::Group;
use couic_firewall::rules::SystemClock;
use serde_json::{Value, json};

use super::CUTS;
use crate::support::{HOST, TestApi, start, start_peering};

fn write_set(test: &TestApi, policy: &str, text: &str) {
    let path = test.dir.path().join(format!("sets/{policy}/feed.couic"));
    fs::write(path, text).unwrap();
}

async fn reload(test: &TestApi) -> Value {
    test.post("/v1/sets/reload", &json!({}))
        .await
        .is(201)
        .json()
}

#[tokio::test]
async fn a_reload_leaves_out_what_cuts_off_the_host_and_says_so() {
    let test = start();
    write_set(&test, "drop", "1.0.0.0/8\n198.51.100.0/24\n64.0.0.0/2");
    write_set(&test, "ignore", "2.0.0.0/8\n128.0.0.0/1\n");
    let answer = reload(&test).await;
    assert_eq!(answer["reload_status"], "OK");
    let refused = answer["refused"].as_array().unwrap().iter();
    let refused: Vec<_> = refused
        .map(|entry| {
            format!(
                "{}/{} {} {}",
                entry["policy"], entry["file"], entry["cidr"], entry["rail"]
            )
            .replace('"', "")
        })
        .collect();
    assert_eq!(
        refused,
        [
            "ignore/feed.couic 128.0.0.0/1 width",
            "drop/feed.couic 64.0.0.0/2 width",
            "drop/feed.couic 198.51.100.0/24 host",
        ]
    );
    let message = answer["refused"][2]["message"].as_str().unwrap();
    assert!(message.contains(HOST), "{message}");
    let notes = answer["notes"].to_string();
    assert!(
        notes.contains("sets/drop/feed.couic does not end with a line end"),
        "{notes}"
    );
    assert!(!notes.contains("sets/ignore"), "{notes}");
    assert_eq!(test.plane.rules().len(), 2);
    let told = test
        .api
        .firewall
        .guard()
        .unwrap()
        .problems(&test.api.firewall);
    assert!(
        told[1].starts_with("sets/drop/feed.couic: 64.0.0.0/2 is not in force"),
        "{told:?}"
    );
    // Corrected.
    write_set(&test, "drop", "1.0.0.0/8\n");
    write_set(&test, "ignore", "2.0.0.0/8\n");
    assert_eq!(reload(&test).await, json!({"reload_status": "OK"}));
    assert!(
        test.api
            .firewall
            .guard()
            .unwrap()
            .problems(&test.api.firewall)
            .is_empty()
    );
}

#[tokio::test]
async fn a_reload_that_would_expose_the_host_to_a_clients_drop_changes_nothing() {
    let test = start();
    write_set(&test, "ignore", "198.51.100.7/32\n");
    reload(&test).await;
    let body = json!({"cidr": CUTS, "expiration": 0, "guard": {}});
    test.post("/v1/drop", &body).await.is(201);
    write_set(&test, "ignore", "2.0.0.0/8\n");
    let reply = test.post("/v1/sets/reload", &json!({})).await.is(422);
    assert_eq!(reply.json()["errors"]["cidr"]["rail"], "host");
    let entry = test.get("/v1/ignore/198.51.100.7/32").await.is(200).json();
    assert_eq!(entry["tag"], "feed.couic");
}

#[tokio::test]
async fn a_forced_set_is_written_and_its_reload_asks_again() {
    let test = start();
    let set = json!({"name": "s", "entries": [CUTS], "guard": {}, "force": true});
    let made = test.post("/v1/sets/drop", &set).await.is(201);
    assert_eq!(made.headers["couic-lifted-rails"], "host");
    assert_eq!(reload(&test).await["refused"][0]["rail"], "host");
    assert!(test.plane.rules().is_empty());
}

#[tokio::test]
async fn a_peer_cannot_cut_off_the_host_by_plain_jobs_nor_by_registers() {
    let test = start_peering(Vec::new(), Arc::new(SystemClock), Time::system());
    let job = |cidr: &str, force: bool| json!([{"action": "add", "entry": {"cidr": cidr, "expiration": 0, "force": force}}]);
    let say = async |path: &str, body: &Value| {
        test.as_group(Group::Peering, "POST", path)
            .json(body)
            .send()
            .await
    };
    for force in [false, true] {
        let reply = say("/v1/drop/peer", &job(CUTS, force)).await.is(422);
        assert_eq!(reply.json()["errors"]["[0].entry.cidr"]["rail"], "host");
    }
    let wall = u64::try_from(couic_common::unix_time().as_millis()).unwrap();
    let from = json!({"node": "00000000000000aa", "wall": wall, "protocol": 2});
    let record = |cidr: &str| json!({"cidr": cidr, "time": 1_700_000_000_000_u64 << 16, "node": "00000000000000aa", "until": 0});
    let push = json!({"from": from, "gap": 0, "records": [record(CUTS), record("203.0.113.0/24")]});
    let answer = say("/v1/drop/push", &push).await.is(200).json();
    assert_eq!(
        (&answer["taken"], &answer["refused"]),
        (&json!(2), &json!(1))
    );
    let problem = answer["problem"].as_str().unwrap();
    assert!(
        problem.contains("guard rail host") && problem.contains(HOST),
        "{problem}"
    );
    assert_eq!(test.plane.rules().len(), 1);
    // Protected, it is taken.
    test.add("ignore", HOST_NET, None).await;
    let answer = say("/v1/drop/push", &push).await.is(200).json();
    assert_eq!(answer["refused"], 0);
    say("/v1/drop/peer", &job("198.51.0.0/16", false))
        .await
        .is(201);
}

/// The tests' host.
const HOST_NET: &str = "198.51.100.7/32";

#[tokio::test]
async fn protection_is_taken_away_only_by_force_while_a_drop_covers_the_address() {
    let test = start();
    test.add("ignore", HOST_NET, Some("own")).await;
    test.add("drop", CUTS, None).await;
    let path = "/v1/ignore/198.51.100.7/32";
    let reply = test.delete(&format!("{path}?guard=")).await.is(422);
    assert_eq!(reply.json()["errors"]["cidr"]["rail"], "host");
    test.delete("/v1/ignore?tag=own&guard=")
        .await
        .error(422, "processing");
    test.delete(&format!("{path}?guard=x"))
        .await
        .error(400, "bad_request");
    test.delete(&format!("{path}?force=1"))
        .await
        .error(400, "bad_request");
    test.delete(&format!("{path}?lift=hosts"))
        .await
        .error(400, "bad_request");
    let reply = test
        .delete(&format!("{path}?guard=&lift=host"))
        .await
        .is(204);
    assert_eq!(reply.headers["couic-lifted-rails"], "host");
    test.add("ignore", HOST_NET, Some("own")).await;
    let reply = test
        .delete("/v1/ignore?tag=own&guard=&force=true")
        .await
        .is(200);
    assert_eq!(reply.headers["couic-lifted-rails"], "host");
    // As 1.0 does.
    test.add("ignore", HOST_NET, None).await;
    test.delete(path).await.is(204);
}

#[tokio::test]
async fn jobs_of_a_batch_are_judged_by_what_the_jobs_before_them_left() {
    let test = start();
    test.add("ignore", HOST_NET, None).await;
    test.add("ignore", "198.51.100.0/28", None).await;
    test.add("drop", CUTS, None).await;
    let remove = |cidr: &str| json!({"action": "remove", "entry": {"cidr": cidr, "guard": {}}});
    let batch = json!([
        remove(HOST_NET),
        remove("198.51.100.0/28"),
        remove("2.0.0.0/8")
    ]);
    let outcome = test.post("/v1/ignore/batch", &batch).await.is(200).json();
    assert_eq!(
        (
            &outcome["removed"],
            &outcome["failed"],
            &outcome["unchanged"]
        ),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(outcome["failures"][0]["index"], 1);
    assert_eq!(outcome["failures"][0]["rail"], "host");
}

#[tokio::test]
async fn force_goes_over_all_rails_or_the_named_ones_and_the_answer_names_them() {
    let test = start();
    let mut body = json!({"cidr": "198.0.0.0/7", "expiration": 0, "guard": {"lift": ["host"]}});
    let reply = test.post("/v1/drop", &body).await.is(422).json();
    assert_eq!(reply["errors"]["cidr"]["rail"], "width");
    body["guard"]["lift"] = json!(["host", "width"]);
    let reply = test.post("/v1/drop", &body).await.is(201);
    assert_eq!(reply.headers["couic-lifted-rails"], "host, width");
    body["guard"]["lift"] = json!(["hosts"]);
    test.post("/v1/drop", &body).await.error(400, "bad_request");
    let harmless = json!({"cidr": "1.0.0.0/8", "expiration": 0, "guard": {}, "force": true});
    let reply = test.post("/v1/drop", &harmless).await.is(201);
    assert!(!reply.headers.contains_key("couic-lifted-rails"));
    let wide = json!({"cidr": "0.0.0.0/0", "expiration": 0, "guard": {}});
    test.post("/v1/ignore", &wide)
        .await
        .error(422, "processing");
}
