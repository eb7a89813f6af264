//! Statuses common to all routes: 400, 401, 404, 405, 413, 500, and `HEAD`.

use couic_common::{Group, HealthStatus};
use serde_json::json;
use uuid::Uuid;

use crate::support::{healthy, start};

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
async fn missing_and_invalid_tokens_are_401() {
    let test = start();
    let token = test.token(Group::Admin);
    let asked = || test.anonymous("GET", "/v1/drop");
    asked().send().await.error(401, "unauthorized");
    for value in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer nonsense".to_owned(),
        format!("Basic {token}"),
        format!("bearer {token}"),
        format!("Token {token}"),
        token.to_string(),
        format!("Bearer {token}x"),
        format!("Bearer {}", Uuid::nil()),
        format!("Bearer {}", Uuid::new_v4()),
    ] {
        let reply = asked().header("authorization", &value).send().await;
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(
            !text.contains(&token.to_string()),
            "the token is in the response: {text}"
        );
        reply.error(401, "unauthorized");
    }
    let good = format!("Bearer {token}");
    asked().header("authorization", &good).send().await.is(200);
}

#[tokio::test]
async fn the_token_of_a_deleted_client_is_401() {
    let test = start();
    let token = format!("Bearer {}", test.token(Group::ClientRo));
    let asked = || {
        test.anonymous("GET", "/v1/drop")
            .header("authorization", &token)
    };
    asked().send().await.is(200);
    test.delete("/v1/client/clientro").await.is(204);
    asked().send().await.error(401, "unauthorized");
}

#[tokio::test]
async fn checks_are_path_method_token_variables_body_in_this_order() {
    let test = start();
    test.anonymous("GET", "/v1/nothing/here")
        .send()
        .await
        .error(404, "not_found");
    test.anonymous("PATCH", "/v1/DROP")
        .send()
        .await
        .error(405, "not_implemented");
    test.anonymous("GET", "/v1/DROP")
        .send()
        .await
        .error(401, "unauthorized");
    test.anonymous("POST", "/v1/drop")
        .text("nonsense")
        .send()
        .await
        .error(401, "unauthorized");
    test.ask("POST", "/v1/DROP")
        .text("nonsense")
        .send()
        .await
        .error(400, "bad_request");
    let reply = test.ask("POST", "/v1/DROP").text("nonsense").send().await;
    assert!(
        reply.json()["message"].as_str().unwrap().contains("path"),
        "{reply:?}"
    );
}

#[tokio::test]
async fn unknown_paths_are_404() {
    let test = start();
    for path in [
        "/",
        "/v1",
        "/v1/",
        "/v2/drop",
        "/drop",
        "/v1/drop/1.2.3.4",
        "/v1/drop/1.2.3.4/32/x",
        "/v1/stats/tags",
        "/v1/sets/drop/a/b",
        "/v1/drop/peers",
    ] {
        test.get(path).await.error(404, "not_found");
    }
}

#[tokio::test]
async fn bad_path_variables_are_400() {
    let test = start();
    for path in [
        "/v1/Drop",
        "/v1/DROP",
        "/v1/allow",
        "/v1/sets",
        "/v1/sets/Drop",
        "/v1/stats/tags/x",
        "/v1/drop/x/32",
        "/v1/drop/1.2.3.4/x",
        "/v1/drop/1.2.3.4/33",
        "/v1/drop/1.2.3.4/-1",
        "/v1/drop/1.2.3.4/032",
        "/v1/drop/::1/129",
        "/v1/drop/1.2.3.4/",
        "/v1/other/1.2.3.4/32",
        "/v1/drop/%ff/32",
    ] {
        let reply = test.get(path).await;
        if path.ends_with("/1.2.3.4/") {
            // A trailing slash is ignored, and no route has three parts of that kind.
            reply.error(404, "not_found");
        } else {
            reply.error(400, "bad_request");
        }
    }
}

/// Paths with their methods.
const SERVED: &[(&str, &str)] = &[
    ("/v1/health", "GET, HEAD"),
    ("/v1/openapi.json", "GET, HEAD"),
    ("/v1/stats", "GET, HEAD"),
    ("/v1/stats/tags/drop", "GET, HEAD"),
    ("/v1/metrics", "GET, HEAD"),
    ("/v1/client", "GET, HEAD, POST"),
    ("/v1/client/x", "GET, HEAD, DELETE"),
    ("/v1/lookup/1.2.3.4", "GET, HEAD"),
    ("/v1/sets/reload", "POST"),
    ("/v1/sets/drop", "GET, HEAD, POST"),
    ("/v1/sets/drop/x", "GET, HEAD, PUT, DELETE"),
    ("/v1/drop/peer", "POST"),
    ("/v1/drop/batch", "POST"),
    ("/v1/drop/1.2.3.4/32", "GET, HEAD, DELETE"),
    ("/v1/drop", "GET, HEAD, POST, DELETE"),
];

#[tokio::test]
async fn unsupported_methods_are_405() {
    let test = start();
    for (path, allow) in SERVED {
        for method in [
            "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW",
        ] {
            let served = allow.split(", ").any(|m| m == method);
            let reply = test.ask(method, path).send().await;
            assert_eq!(
                reply.status == 405,
                !served,
                "{method} {path}: {}",
                reply.status
            );
            if !served {
                assert_eq!(reply.headers["allow"], *allow, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn head_has_the_headers_of_get() {
    let test = start();
    test.add("drop", "1.2.3.4/32", None).await;
    test.post("/v1/sets/drop", &json!({"name": "s", "entries": []}))
        .await
        .is(201);
    for path in [
        "/v1/health",
        "/v1/openapi.json",
        "/v1/stats",
        "/v1/stats/tags/drop",
        "/v1/metrics",
        "/v1/client",
        "/v1/client/admin",
        "/v1/lookup/1.2.3.4",
        "/v1/sets/drop",
        "/v1/sets/drop/s",
        "/v1/drop/1.2.3.4/32",
        "/v1/drop",
        "/v1/drop/5.6.7.8/32",
        "/v1/nothing/here",
        "/v1/Drop",
    ] {
        let get = test.get(path).await;
        let head = test.ask("HEAD", path).send().await;
        assert_eq!(get.status, head.status, "{path}");
        assert_eq!(
            get.headers["content-type"], head.headers["content-type"],
            "{path}"
        );
        let length = head.headers["content-length"].to_str().unwrap();
        assert_eq!(length, get.body.len().to_string(), "{path}");
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

#[tokio::test]
async fn health_needs_no_token_and_is_503_if_nothing_is_filtered() {
    let test = start();
    let reply = test
        .anonymous("GET", "/v1/health")
        .send()
        .await
        .is(200)
        .json();
    assert_eq!(
        reply["interfaces"][0],
        json!({"name": "test0", "attached": true, "mode": "native", "problem": null})
    );
    for (status, expected) in [(HealthStatus::Degraded, 200), (HealthStatus::Down, 503)] {
        let unwell = move || couic_common::Health {
            status,
            ..healthy()
        };
        *test.health.lock().unwrap() = Box::new(unwell);
        test.anonymous("GET", "/v1/health")
            .send()
            .await
            .is(expected);
        test.anonymous("HEAD", "/v1/health")
            .send()
            .await
            .is(expected);
    }
}

#[tokio::test]
async fn a_panic_is_a_500_for_that_request_alone() {
    let test = start();
    *test.health.lock().unwrap() = Box::new(|| panic!("the test's panic"));
    test.anonymous("GET", "/v1/health")
        .send()
        .await
        .error(500, "internal");
    test.get("/v1/drop").await.is(200);
}
