//! Paths and methods: 404, 405, and `HEAD`.

use serde_json::json;

use crate::support::start;

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
    ("/v1/live", "GET, HEAD"),
    ("/v1/events?follow=false", "GET, HEAD"),
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

/// What balancers ask must not depend on the filter: the panic switch would take away the API that ends it.
#[tokio::test]
async fn the_api_is_live_without_a_token_and_under_the_panic_switch() {
    let test = start();
    for on in [false, true] {
        test.put("/v1/panic", &json!({"on": on})).await.is(200);
        for method in ["GET", "HEAD"] {
            let reply = test.anonymous(method, "/v1/live").send().await.is(200);
            assert_eq!(reply.headers.contains_key("couic-panic"), on);
        }
        let body = test.anonymous("GET", "/v1/live").send().await.json();
        assert_eq!(body, json!({"live": true}));
    }
}
