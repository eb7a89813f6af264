//! The record on disk: without it a change is refused, and health names a file that is not in force.

use serde_json::json;

use super::{WITHIN, id, send};
use crate::support::start;

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
