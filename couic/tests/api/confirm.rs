//! Changes that are undone unless confirmed.

mod disk;
mod undone;

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
