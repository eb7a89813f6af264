//! Statuses common to all routes: 401, their order, 500 and 503.

use couic_common::{Group, HealthStatus};
use serde_json::json;
use uuid::Uuid;

use crate::support::{healthy, start};

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
    // The case of the scheme does not matter (RFC 9110).
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let good = format!("{scheme} {token}");
        asked().header("authorization", &good).send().await.is(200);
    }
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
