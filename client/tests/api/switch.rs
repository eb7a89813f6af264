//! The panic switch and confirmations, and their response headers.

use couic_client::{ToConfirm, common::PanicRequest};
use couic_testkit::{Reply, StandIn};

use crate::client;

#[tokio::test]
async fn only_changes_carry_the_confirm_header() {
    let daemon = StandIn::unix(|seen| {
        let answer = match seen.line() {
            "POST /v1/sets/reload" => Reply::json(201, r#"{"reload_status":"OK"}"#),
            "GET /v1/sets/drop" => Reply::json(200, "[]"),
            "POST /v1/confirm/0000002a" => Reply::json(200, r#"{"confirmed":["0000002a"]}"#),
            other => panic!("{other}"),
        };
        match seen.header("couic-confirm-within") {
            Some(_) => answer
                .with("couic-confirm-id", "0000002a")
                .with("couic-confirm-until", "77"),
            None => answer,
        }
    });
    let client = client(&daemon);
    let careful = client.confirm_within(60);
    careful
        .sets(couic_client::common::Policy::Drop)
        .await
        .unwrap();
    assert_eq!(careful.to_confirm(), []);
    careful.reload_sets().await.unwrap();
    let id = "0000002a".parse().unwrap();
    assert_eq!(careful.to_confirm(), [ToConfirm { id, until: 77 }]);
    assert_eq!(careful.to_confirm(), [], "each once");
    client.reload_sets().await.unwrap();
    assert_eq!(client.to_confirm(), []);
    assert_eq!(client.confirm(id).await.unwrap().confirmed, [id]);
    let requests = daemon.requests();
    let within = requests.iter().map(|r| r.header("couic-confirm-within"));
    assert!(within.eq([None, Some("60"), None, None]));
}

#[tokio::test]
async fn every_response_tells_whether_panic_is_on() {
    let daemon = StandIn::unix(|seen| match seen.line() {
        "PUT /v1/panic" if seen.json()["on"] == true => {
            Reply::json(200, r#"{"on":true,"by":"ops","since":5}"#).with("couic-panic", "on")
        }
        "PUT /v1/panic" | "GET /v1/panic" => Reply::json(200, r#"{"on":false}"#),
        "GET /v1/confirm" => Reply::json(200, r#"{"pending":[],"reverted":[]}"#),
        "GET /v1/status" => Reply::json(404, r#"{"code":"not_found","message":"no","errors":{}}"#)
            .with("couic-panic", "on"),
        other => panic!("{other}"),
    });
    let client = client(&daemon);
    assert!(!client.panic_seen());
    let on = PanicRequest {
        on: true,
        reason: None,
    };
    assert!(client.set_panic(&on).await.unwrap().on && client.panic_seen());
    assert!(!client.panic().await.unwrap().on && !client.panic_seen());
    assert_eq!(client.status().await.unwrap_err().status(), Some(404));
    assert!(client.panic_seen(), "refusals say so too");
    assert_eq!(client.confirmations().await.unwrap().pending, []);
}
