//! The panic switch.

use couic_common::{Group, Verdict};
use serde_json::json;

use crate::support::{NOW, TestApi, start};

const PATH: &str = "/v1/panic";

fn passes(test: &TestApi, source: &str) -> bool {
    test.plane.packet(source.parse().unwrap(), 60) == Verdict::Pass
}

#[tokio::test]
async fn all_traffic_passes_while_the_switch_is_on() {
    let test = start();
    test.add("drop", "192.0.2.0/24", Some("scan")).await;
    assert!(!passes(&test, "192.0.2.7"));
    assert_eq!(test.get(PATH).await.is(200).json(), json!({"on": false}));
    let body = json!({"on": true, "reason": "locked out"});
    let on = json!({"on": true, "by": "admin", "since": NOW, "reason": "locked out"});
    assert_eq!(test.put(PATH, &body).await.is(200).json(), on);
    assert!(passes(&test, "192.0.2.7"));
    test.add("drop", "198.51.100.7/32", None).await;
    assert!(passes(&test, "198.51.100.7"), "rules go on being changed");
    let found = test.get("/v1/lookup/192.0.2.7").await.is(200).json();
    assert_eq!(
        (&found["verdict"], &found["decided_by"]),
        (&json!("pass"), &json!(null))
    );
    assert_eq!(found["also_covered_by"][0]["cidr"], "192.0.2.0/24");
    assert_eq!(found["panic"], true);
    let reply = test.as_group(Group::Monitoring, "GET", PATH).send().await;
    assert_eq!(reply.is(200).json(), on);

    let off = test.put(PATH, &json!({"on": false})).await.is(200).json();
    assert_eq!(off, json!({"on": false, "by": "admin", "since": NOW}));
    assert!(!passes(&test, "192.0.2.7") && !passes(&test, "198.51.100.7"));
}

#[tokio::test]
async fn every_response_has_the_panic_header_while_the_switch_is_on() {
    let test = start();
    let header = |reply: crate::support::Reply| reply.headers.get("couic-panic").cloned();
    assert_eq!(header(test.get("/v1/drop").await), None);
    test.put(PATH, &json!({"on": true})).await.is(200);
    for path in [
        "/v1/drop",
        "/v1/nowhere",
        "/v1/drop/9.9.9.9/32",
        "/v1/health",
        PATH,
    ] {
        assert_eq!(header(test.get(path).await).unwrap(), "on", "{path}");
    }
    assert_eq!(
        header(test.anonymous("GET", "/v1/drop").send().await).unwrap(),
        "on"
    );
    let health = test
        .anonymous("GET", "/v1/health")
        .send()
        .await
        .is(503)
        .json();
    assert_eq!(
        (&health["status"], &health["panic_since"]),
        (&json!("down"), &json!(NOW))
    );
    let metrics = test.get("/v1/metrics?format=prometheus").await;
    let text = String::from_utf8(metrics.body).unwrap();
    assert!(text.contains("\ncouic_panic 1\n"), "{text}");
    test.put(PATH, &json!({"on": false})).await.is(200);
    assert_eq!(header(test.get("/v1/drop").await), None);
    let metrics = test.get("/v1/metrics?format=prometheus").await;
    assert!(
        String::from_utf8(metrics.body)
            .unwrap()
            .contains("\ncouic_panic 0\n")
    );
    test.anonymous("GET", "/v1/health").send().await.is(200);
}

#[tokio::test]
async fn invalid_bodies_do_not_switch() {
    let test = start();
    for body in [
        "",
        "{}",
        "{\"on\":1}",
        "{\"on\":\"true\"}",
        "true",
        "{\"on\":true,\"reason\":5}",
        "[true]",
        "[true,\"locked out\"]",
        "[]",
        "{\"on\":true,\"reson\":\"locked out\"}",
        "{\"on\":true,\"on\":false}",
    ] {
        let reply = test.ask("PUT", PATH).text(body).send().await;
        reply.error(400, "bad_request");
    }
    for reason in ["x".repeat(201), "a\nb".to_owned()] {
        let reply = test.put(PATH, &json!({"on": true, "reason": reason})).await;
        assert_eq!(reply.error(422, "invalid"), ["reason"]);
    }
    assert_eq!(test.get(PATH).await.json(), json!({"on": false}));
    let fits = json!({"on": true, "reason": "é".repeat(200)});
    test.put(PATH, &fits).await.is(200);
}

#[tokio::test]
async fn status_describes_the_daemon() {
    let test = start();
    let status = test.get("/v1/status").await.is(200).json();
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["disks"][0]["holds"], "working_dir");
    assert!(status["disks"][0]["total_bytes"].as_u64().unwrap() > 0);
    assert_eq!(status["pending_confirmations"], 0);
    assert!(status["open_files"].as_u64().unwrap() > 0);
}
