//! Requests to a test API, and the common checks of every response.

use std::sync::Arc;

use couic::api::routes;
use couic_common::Group;
use serde_json::Value;
use uuid::Uuid;
use warp::{
    http::{HeaderMap, Method, StatusCode, header},
    test::RequestBuilder,
};

use super::TestApi;

/// A response.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        let body = String::from_utf8_lossy(&self.body);
        assert_eq!(self.status.as_u16(), status, "{body}");
        self
    }

    /// Asserts an error with this status and code. Returns the names of its details.
    #[track_caller]
    pub(crate) fn error(self, status: u16, code: &str) -> Vec<String> {
        let reply = self.is(status);
        let json = reply.json();
        assert_eq!(json["code"], code, "{json}");
        json["errors"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    }
}

/// A request under construction.
pub(crate) struct Asked<'a> {
    test: &'a TestApi,
    method: Method,
    builder: RequestBuilder,
}

impl TestApi {
    pub(crate) fn token(&self, group: Group) -> Uuid {
        self.token_of(group.as_str())
    }

    /// A request without a token.
    pub(crate) fn anonymous(&self, method: &str, path: &str) -> Asked<'_> {
        let method: Method = method.parse().unwrap();
        let builder = warp::test::request().method(method.as_str()).path(path);
        Asked {
            test: self,
            method,
            builder,
        }
    }

    pub(crate) fn as_group(&self, group: Group, method: &str, path: &str) -> Asked<'_> {
        let bearer = format!("Bearer {}", self.token(group));
        self.anonymous(method, path)
            .header("authorization", &bearer)
    }

    pub(crate) fn ask(&self, method: &str, path: &str) -> Asked<'_> {
        self.as_group(Group::Admin, method, path)
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path).send().await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.ask("DELETE", path).send().await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Reply {
        self.ask("POST", path).json(body).send().await
    }

    pub(crate) async fn put(&self, path: &str, body: &Value) -> Reply {
        self.ask("PUT", path).json(body).send().await
    }

    /// Adds an entry that never expires.
    pub(crate) async fn add(&self, policy: &str, cidr: &str, tag: Option<&str>) {
        let body = serde_json::json!({"cidr": cidr, "expiration": 0, "tag": tag});
        self.post(&format!("/v1/{policy}"), &body).await.is(201);
    }
}

impl Asked<'_> {
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.builder = self.builder.header(name, value);
        self
    }

    pub(crate) fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.builder = self.builder.body(body);
        self
    }

    /// A body with the content type of JSON.
    pub(crate) fn text(self, body: &str) -> Self {
        self.header("content-type", "application/json").body(body)
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.text(&body.to_string())
    }

    pub(crate) async fn send(self) -> Reply {
        let filter = routes(Arc::clone(&self.test.api));
        let response = self.builder.reply(&filter).await;
        let reply = Reply {
            status: response.status(),
            headers: response.headers().clone(),
            body: response.body().to_vec(),
        };
        check(&self.method, &reply);
        reply
    }
}

/// The invariants of every response.
fn check(method: &Method, reply: &Reply) {
    let kind = reply.headers.get(header::CONTENT_TYPE);
    let kind = kind.map(|value| value.to_str().unwrap());
    let status = reply.status.as_u16();
    if *method == Method::HEAD || status == 204 {
        assert!(reply.body.is_empty(), "unexpected body: {reply:?}");
        return;
    }
    match status {
        // NDJSON may be empty.
        200 if kind == Some("application/x-ndjson") => {}
        200 | 201 => assert!(kind.is_some() && !reply.body.is_empty(), "{reply:?}"),
        503 if reply.json()["interfaces"].is_array() => {}
        _ => check_error(status, kind, reply),
    }
}

fn check_error(status: u16, kind: Option<&str>, reply: &Reply) {
    assert_eq!(kind, Some("application/json"), "{reply:?}");
    let error: Value = reply.json();
    let keys: Vec<&String> = error.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "message", "errors"], "{error}");
    let codes: &[&str] = match status {
        400 | 408 | 413 | 415 => &["bad_request"],
        401 => &["unauthorized"],
        403 => &["forbidden"],
        404 => &["not_found", "peering_off"],
        405 => &["not_implemented"],
        409 => &["conflict"],
        422 => &["invalid", "processing", "bad_request"],
        429 => &["rate_limited"],
        500 | 503 => &["internal"],
        other => panic!("{other} is not a status of the contract: {error}"),
    };
    assert!(
        codes.contains(&error["code"].as_str().unwrap()),
        "{status} {error}"
    );
    assert!(!error["message"].as_str().unwrap().is_empty(), "{error}");
    for (field, detail) in error["errors"].as_object().unwrap() {
        // A refusal by a guard rail names it.
        let keys = detail.as_object().unwrap().keys();
        let keys: Vec<&String> = keys.filter(|key| *key != "rail").collect();
        assert_eq!(keys, ["code", "message"], "{field} in {error}");
        assert!(
            detail["code"].is_string() && detail["message"].is_string(),
            "{error}"
        );
    }
    assert_eq!(status == 405, reply.headers.contains_key(header::ALLOW));
    assert_eq!(
        status == 401,
        reply.headers.contains_key(header::WWW_AUTHENTICATE)
    );
}
