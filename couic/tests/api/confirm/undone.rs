//! Batches, sets and reloads are undone as a whole.

use serde_json::json;

use super::{WITHIN, cidrs, id, send};
use crate::support::{NOW, start};

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
