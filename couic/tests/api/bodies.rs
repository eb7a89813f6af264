//! Bodies that no route accepts: malformed, of another content type, too deep, too large.

use serde_json::json;

use crate::support::start;

/// Every kind of invalid EntryRequest.
const MALFORMED: &[&str] = &[
    "",
    " ",
    "nonsense",
    "null",
    "true",
    "5",
    "\"text\"",
    "[]",
    "{}",
    "[\"1.2.3.4/32\"]",
    "{\"cidr\":\"1.2.3.4/32\"}",
    "{\"expiration\":0}",
    "{\"cidr\":null,\"expiration\":0}",
    "{\"cidr\":5,\"expiration\":0}",
    "{\"cidr\":[\"1.2.3.4/32\"],\"expiration\":0}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":\"0\"}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0.0}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":1e9}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":-1}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":null}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":18446744073709551616}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0,\"tag\":5}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0,\"tag\":[]}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0,\"metadata\":5}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0,\"metadata\":{}}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0,\"metadata\":{\"kind\":\"k\"}}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0,\"metadata\":{\"kind\":\"k\",\"detail\":\"d\",\"extra\":[1]}}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0,\"force\":\"yes\"}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0,\"guard\":{\"protect\":[\"x\"]}}",
    "{\"cidr\":\"1.2.3.4/32\",\"cidr\":\"1.2.3.4/32\",\"expiration\":0}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0}}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0} x",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":0,}",
    "{'cidr':'1.2.3.4/32','expiration':0}",
    "{cidr:\"1.2.3.4/32\",expiration:0}",
    "{\"cidr\":\"1.2.3.4/32\",\"expiration\":00}",
    "{\"cidr\":\"1.2.3.4\\x/32\",\"expiration\":0}",
    "{\"cidr\":\"\\ud800\",\"expiration\":0}",
    "\u{feff}{\"cidr\":\"1.2.3.4/32\",\"expiration\":0}",
    "cidr=1.2.3.4/32&expiration=0",
];

#[tokio::test]
async fn malformed_bodies_are_400_and_change_nothing() {
    let test = start();
    for body in MALFORMED {
        let reply = test.ask("POST", "/v1/drop").text(body).send().await;
        assert_eq!(reply.status, 400, "{body}");
    }
    let invalid_utf8 = b"{\"cidr\":\"\xff\",\"expiration\":0}";
    let asked = test.ask("POST", "/v1/drop").text("").body(invalid_utf8);
    asked.send().await.error(400, "bad_request");
    assert!(test.plane.rules().is_empty());
}

#[tokio::test]
async fn the_same_bodies_are_422_for_a_peer() {
    let test = start();
    for body in MALFORMED {
        let array = format!("[{{\"action\":\"add\",\"entry\":{body}}}]");
        let reply = test.ask("POST", "/v1/drop/peer").text(&array).send().await;
        assert_eq!(reply.status, 422, "{body}");
    }
    assert!(test.plane.rules().is_empty());
}

#[tokio::test]
async fn deep_nesting_is_refused_without_recursion() {
    let test = start();
    let deep = format!(
        "{{\"cidr\":\"1.2.3.4/32\",\"expiration\":0,\"metadata\":{{\"kind\":\"k\",\"detail\":\"d\",\"extra\":{{\"a\":{}{}}}}}}}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let reply = test.ask("POST", "/v1/drop").text(&deep).send().await;
    reply.error(400, "bad_request");
    let open = "[".repeat(1_000_000);
    test.ask("POST", "/v1/drop")
        .text(&open)
        .send()
        .await
        .error(400, "bad_request");
}

#[tokio::test]
async fn the_message_has_line_and_column() {
    let test = start();
    let reply = test
        .ask("POST", "/v1/drop")
        .text("{\"cidr\":5}")
        .send()
        .await;
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("line 1 column"), "{message}");
}

#[tokio::test]
async fn content_types() {
    let test = start();
    for (i, (kind, status)) in [
        (Some("application/json"), 201),
        (Some("application/json; charset=utf-8"), 201),
        (Some("Application/JSON ;x=y"), 201),
        (Some("text/plain"), 400),
        (Some("application/x-ndjson"), 400),
        (Some("application/jsonp"), 400),
        (Some("application/x-www-form-urlencoded"), 400),
        (Some(""), 400),
        (None, 400),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({"cidr": format!("1.2.3.{i}/32"), "expiration": 0}).to_string();
        let mut asked = test.ask("POST", "/v1/drop").body(&body);
        let mut peer = test.ask("POST", "/v1/drop/peer").body("[]");
        if let Some(kind) = kind {
            asked = asked.header("content-type", kind);
            peer = peer.header("content-type", kind);
        }
        assert_eq!(asked.send().await.status, status, "{kind:?}");
        let status = if status == 400 { 422 } else { status };
        assert_eq!(peer.send().await.status, status, "peer {kind:?}");
    }
}

#[tokio::test]
async fn a_body_over_16_mib_is_413() {
    let test = start();
    let limit = 16 * 1024 * 1024;
    let mut body = json!({"cidr": "1.2.3.4/32", "expiration": 0}).to_string();
    body.extend(std::iter::repeat_n(' ', limit - body.len()));
    test.ask("POST", "/v1/drop")
        .text(&body)
        .send()
        .await
        .is(201);
    body.push(' ');
    for path in [
        "/v1/drop",
        "/v1/drop/peer",
        "/v1/drop/batch",
        "/v1/sets/drop",
        "/v1/client",
    ] {
        let reply = test.ask("POST", path).text(&body).send().await;
        assert_eq!(reply.headers["connection"], "close", "{path}");
        reply.error(413, "bad_request");
    }
    // Without a Content-Length.
    let asked = test
        .ask("POST", "/v1/drop")
        .text(&body)
        .header("content-length", "5");
    asked.send().await.error(413, "bad_request");
}
