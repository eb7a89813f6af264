//! Changes that are undone unless confirmed.

use couic_common::Group;
use serde_json::{Value, json};

use crate::support::{NOW, Reply, TestApi, start};

const WITHIN: &str = "couic-confirm-within";

fn id(reply: &Reply) -> String {
    let until = reply.headers["couic-confirm-until"].to_str().unwrap();
    assert_eq!(until, (NOW + 60).to_string());
    reply.headers["couic-confirm-id"]
        .to_str()
        .unwrap()
        .to_owned()
}

async fn send(test: &TestApi, method: &str, path: &str, body: &Value) -> Reply {
    let asked = test.ask(method, path).header(WITHIN, "60");
    asked.json(body).send().await
}

async fn cidrs(test: &TestApi, path: &str) -> Vec<String> {
    let list = test.get(path).await.is(200).json();
    let cidr = |entry: &Value| entry["cidr"].as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(cidr).collect()
}

#[tokio::test]
async fn a_pending_change_is_undone_or_confirmed() {
    let test = start();
    let ban = json!({"cidr": "192.0.2.7/32", "expiration": 0});
    let made = send(&test, "POST", "/v1/drop", &ban).await.is(201);
    let first = id(&made);
    assert_eq!(made.json()["cidr"], "192.0.2.7/32");
    let listed = test.get("/v1/confirm").await.is(200).json();
    let expected = json!({"id": first, "client": "admin", "summary": "drop add 192.0.2.7/32", "made": NOW,
        "until": NOW + 60, "left": 60, "rules": 1, "added": 1, "removed": 0, "sets": []});
    assert_eq!(listed, json!({"pending": [expected], "reverted": []}));
    let confirmed = test.post("/v1/confirm", &json!(null)).await.is(200).json();
    assert_eq!(confirmed, json!({"confirmed": [first]}));
    test.clock.advance(61);
    test.api.confirmations.undo_due();
    assert_eq!(cidrs(&test, "/v1/drop").await, ["192.0.2.7/32"]);

    test.clock.set(NOW);
    let gone = send(&test, "DELETE", "/v1/drop/192.0.2.7/32", &json!(null))
        .await
        .is(204);
    let second = id(&gone);
    assert!(cidrs(&test, "/v1/drop").await.is_empty());
    test.clock.advance(61);
    test.api.confirmations.undo_due();
    assert_eq!(cidrs(&test, "/v1/drop").await, ["192.0.2.7/32"]);
    let reply = test.post("/v1/confirm", &json!(null)).await;
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    reply.error(404, "not_found");
    assert!(
        message.contains(&second) && message.contains("was undone 0 s ago"),
        "{message}"
    );
}

#[tokio::test]
async fn refused_requests_are_not_pending() {
    let test = start();
    test.add("drop", "192.0.2.7/32", None).await;
    let ban = json!({"cidr": "192.0.2.7/32", "expiration": 0});
    send(&test, "POST", "/v1/drop", &ban)
        .await
        .error(409, "conflict");
    send(
        &test,
        "POST",
        "/v1/drop",
        &json!({"cidr": "x", "expiration": 0}),
    )
    .await
    .error(422, "invalid");
    send(&test, "DELETE", "/v1/drop/192.0.2.8/32", &json!(null))
        .await
        .error(404, "not_found");
    let none = send(&test, "DELETE", "/v1/drop?tag=nobody", &json!(null))
        .await
        .is(200);
    assert!(!none.headers.contains_key("couic-confirm-id"));
    send(&test, "PUT", "/v1/sets/drop/s", &json!({"entries": []}))
        .await
        .error(404, "not_found");
    assert_eq!(
        test.get("/v1/confirm").await.json(),
        json!({"pending": [], "reverted": []})
    );
    test.post("/v1/confirm", &json!(null))
        .await
        .error(404, "not_found");
}

#[tokio::test]
async fn a_batch_is_one_change() {
    let test = start();
    test.add("drop", "192.0.2.1/32", Some("old")).await;
    let jobs = json!([
        {"action": "add", "entry": {"cidr": "192.0.2.1/32", "expiration": 0, "tag": "new"}},
        {"action": "add", "entry": {"cidr": "192.0.2.2/32", "expiration": 0}},
        {"action": "add", "entry": {"cidr": "bad", "expiration": 0}},
        {"action": "remove", "entry": {"cidr": "192.0.2.3/32"}},
    ]);
    let lines: String = jobs
        .as_array()
        .unwrap()
        .iter()
        .map(|job| format!("{job}\n"))
        .collect();
    let array = test
        .ask("POST", "/v1/drop/batch")
        .header(WITHIN, "60")
        .json(&jobs);
    let stream = test.ask("POST", "/v1/drop/batch").header(WITHIN, "60");
    let stream = stream
        .header("content-type", "application/x-ndjson")
        .body(lines);
    for asked in [array, stream] {
        let reply = asked.send().await.is(200);
        let outcome = reply.json();
        assert_eq!(
            (&outcome["added"], &outcome["updated"], &outcome["failed"]),
            (&json!(1), &json!(1), &json!(1))
        );
        let id = id(&reply);
        let undone = test
            .delete(&format!("/v1/confirm/{id}"))
            .await
            .is(200)
            .json();
        assert_eq!(
            (&undone["restored"], &undone["left_alone"]),
            (&json!(2), &json!([]))
        );
        assert_eq!(cidrs(&test, "/v1/drop").await, ["192.0.2.1/32"]);
        assert_eq!(test.get("/v1/drop/192.0.2.1/32").await.json()["tag"], "old");
    }
}

#[tokio::test]
async fn a_large_batch_and_a_delete_by_tag_are_undone() {
    let test = start();
    let lines: String = (0..3_000)
        .map(|n| format!("{{\"action\":\"add\",\"entry\":{{\"cidr\":\"10.0.{}.{}/32\",\"expiration\":0,\"tag\":\"t\"}}}}\n", n / 256, n % 256))
        .collect();
    let asked = test.ask("POST", "/v1/drop/batch").header(WITHIN, "60");
    let reply = asked
        .header("content-type", "application/x-ndjson")
        .body(lines)
        .send()
        .await
        .is(200);
    assert_eq!(reply.json()["added"], 3_000);
    let reply = send(&test, "DELETE", "/v1/drop?tag=t", &json!(null))
        .await
        .is(200);
    assert_eq!(reply.json()["removed"], 3_000);
    assert_eq!(test.plane.rules().len(), 0);
    test.delete(&format!("/v1/confirm/{}", id(&reply)))
        .await
        .is(200);
    assert_eq!(test.plane.rules().len(), 3_000);
    test.clock.advance(61);
    test.api.confirmations.undo_due();
    assert_eq!(test.plane.rules().len(), 0);
}

#[tokio::test]
async fn set_changes_and_reloads_are_undone() {
    let test = start();
    let reload = || {
        test.ask("POST", "/v1/sets/reload")
            .header(WITHIN, "60")
            .send()
    };
    let set = json!({"name": "s", "entries": ["192.0.2.1/32"]});
    test.post("/v1/sets/drop", &set).await.is(201);
    test.post("/v1/sets/reload", &json!(null)).await.is(201);
    let other = json!({"entries": ["192.0.2.2/32"]});
    id(&send(&test, "PUT", "/v1/sets/drop/s", &other).await.is(200));
    id(&reload().await.is(201));
    assert_eq!(cidrs(&test, "/v1/drop").await, ["192.0.2.2/32"]);
    test.clock.advance(61);
    test.api.confirmations.undo_due();
    assert_eq!(cidrs(&test, "/v1/drop").await, ["192.0.2.1/32"]);
    assert_eq!(test.get("/v1/sets/drop/s").await.json(), set);

    test.clock.set(NOW);
    id(&send(&test, "DELETE", "/v1/sets/drop/s", &json!(null))
        .await
        .is(200));
    let new = json!({"name": "n", "entries": ["192.0.2.9/32"]});
    id(&send(&test, "POST", "/v1/sets/drop", &new).await.is(201));
    id(&reload().await.is(201));
    assert_eq!(cidrs(&test, "/v1/drop").await, ["192.0.2.9/32"]);
    let listed = test.get("/v1/confirm").await.json();
    assert_eq!(listed["pending"][2]["sets"], json!(["drop/n", "drop/s"]));
    test.clock.advance(61);
    test.api.confirmations.undo_due();
    assert_eq!(cidrs(&test, "/v1/drop").await, ["192.0.2.1/32"]);
    test.get("/v1/sets/drop/n").await.error(404, "not_found");
    // A reload that changes nothing needs no confirmation.
    test.clock.set(NOW);
    assert!(
        !reload()
            .await
            .is(201)
            .headers
            .contains_key("couic-confirm-id")
    );
}

#[tokio::test]
async fn clients_confirm_their_own_changes_and_admins_all() {
    let test = start();
    let ban = json!({"cidr": "192.0.2.7/32", "expiration": 0});
    let asked = test
        .as_group(Group::ClientRw, "POST", "/v1/drop")
        .header(WITHIN, "60");
    let theirs = id(&asked.json(&ban).send().await.is(201));
    let path = format!("/v1/confirm/{theirs}");
    let made = send(
        &test,
        "POST",
        "/v1/drop",
        &json!({"cidr": "192.0.2.8/32", "expiration": 0}),
    )
    .await;
    let ours = id(&made.is(201));
    let as_rw =
        |method: &'static str, path: String| test.as_group(Group::ClientRw, method, &path).send();
    as_rw("POST", format!("/v1/confirm/{ours}"))
        .await
        .error(404, "not_found");
    as_rw("DELETE", format!("/v1/confirm/{ours}"))
        .await
        .error(404, "not_found");
    let listed = as_rw("GET", "/v1/confirm".to_owned()).await.is(200).json();
    assert_eq!(listed["pending"].as_array().unwrap().len(), 1);
    assert_eq!(
        test.get("/v1/confirm").await.json()["pending"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    // Without an id, an admin confirms what the admin made.
    assert_eq!(
        test.post("/v1/confirm", &json!(null)).await.json()["confirmed"],
        json!([ours])
    );
    assert_eq!(
        test.post(&path, &json!(null)).await.is(200).json()["confirmed"],
        json!([theirs])
    );
    test.post(&path, &json!(null)).await.error(404, "not_found");
    for bad in ["x", "0123456", "0123456Z", "ffffffff"] {
        test.delete(&format!("/v1/confirm/{bad}"))
            .await
            .error(404, "not_found");
    }
}

#[tokio::test]
async fn the_header_is_a_number_on_routes_that_can_be_undone() {
    let test = start();
    let ban = json!({"cidr": "192.0.2.7/32", "expiration": 0});
    for bad in [
        "",
        "0",
        "-1",
        "+5",
        "60s",
        "86401",
        "1.5",
        "99999999999999999999",
    ] {
        let asked = test.ask("POST", "/v1/drop").header(WITHIN, bad);
        asked.json(&ban).send().await.error(400, "bad_request");
    }
    for (method, path) in [
        ("GET", "/v1/drop"),
        ("POST", "/v1/drop/peer"),
        ("POST", "/v1/client"),
        ("PUT", "/v1/panic"),
        ("POST", "/v1/confirm"),
    ] {
        let reply = test
            .ask(method, path)
            .header(WITHIN, "60")
            .text("[]")
            .send()
            .await;
        reply.error(400, "bad_request");
    }
    assert!(test.plane.rules().is_empty());
    let longest = test.ask("POST", "/v1/drop").header(WITHIN, "86400");
    let reply = longest.json(&ban).send().await.is(201);
    assert_eq!(
        reply.headers["couic-confirm-until"],
        (NOW + 86_400).to_string().as_str()
    );
}

#[tokio::test]
async fn a_change_that_cannot_be_recorded_is_refused() {
    let test = start();
    let dir = test.dir.path().join("confirm");
    std::fs::remove_dir(&dir).unwrap();
    // A file in the directory's place.
    std::fs::write(&dir, "").unwrap();
    let ban = json!({"cidr": "192.0.2.7/32", "expiration": 0});
    let refused = send(&test, "POST", "/v1/drop", &ban).await;
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    refused.error(503, "internal");
    assert!(
        message.contains("directory confirm") && message.contains("nothing was done"),
        "{message}"
    );
    let batch = json!([{"action": "add", "entry": {"cidr": "192.0.2.7/32", "expiration": 0}}]);
    let outcome = send(&test, "POST", "/v1/drop/batch", &batch)
        .await
        .is(200)
        .json();
    assert_eq!(
        (&outcome["failed"], &outcome["failures"][0]["code"]),
        (&json!(1), &json!("internal"))
    );
    send(
        &test,
        "POST",
        "/v1/sets/drop",
        &json!({"name": "s", "entries": []}),
    )
    .await
    .error(503, "internal");
    assert!(test.plane.rules().is_empty());
    assert_eq!(test.get("/v1/sets/drop").await.json(), json!([]));
}

#[tokio::test]
async fn a_deleted_directory_is_recreated() {
    let test = start();
    std::fs::remove_dir(test.dir.path().join("confirm")).unwrap();
    let ban = json!({"cidr": "192.0.2.7/32", "expiration": 0});
    id(&send(&test, "POST", "/v1/drop", &ban).await.is(201));
    assert!(test.dir.path().join("confirm").is_dir());
    test.post("/v1/confirm", &json!(null)).await.is(200);
}

#[tokio::test]
async fn a_set_file_not_in_force_is_reported_until_the_reload() {
    let test = start();
    let set = json!({"name": "s", "entries": ["192.0.2.1/32"]});
    test.post("/v1/sets/drop", &set).await.is(201);
    let asked = test.ask("POST", "/v1/sets/reload").header(WITHIN, "60");
    let reload = id(&asked.send().await.is(201));
    let other = json!({"entries": ["192.0.2.3/32"]});
    test.put("/v1/sets/drop/s", &other).await.is(200);
    let undone = test.delete(&format!("/v1/confirm/{reload}")).await.is(200);
    let undone = undone.json();
    assert_eq!(undone["left_alone"], json!(["file of set drop/s"]));
    let health = test.anonymous("GET", "/v1/health").send().await.is(200);
    let health = health.json();
    assert_eq!(health["status"], "degraded");
    let message = health["confirm_problems"][0].as_str().unwrap();
    assert!(
        message.starts_with("sets/drop/s.couic is NOT in force"),
        "{message}"
    );
    let listed = test.get("/v1/confirm").await.json();
    assert_eq!(listed["problems"], health["confirm_problems"]);
    test.post("/v1/sets/reload", &json!(null)).await.is(201);
    let health = test.anonymous("GET", "/v1/health").send().await.json();
    assert_eq!(
        (&health["status"], health.get("confirm_problems")),
        (&json!("ok"), None)
    );
}
