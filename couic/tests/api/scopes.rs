//! Clients with limits, at every door through which rules change.

mod doors;

use serde_json::{Value, json};

use crate::support::{NOW, Reply, TestApi, start};

const WEEK: u64 = 7 * 86_400;

/// The limits that couicmon has.
fn limits() -> Value {
    json!({"policies": ["drop"], "tags": ["mon-*"], "widest_ipv4": 24, "widest_ipv6": 48, "longest": WEEK})
}

/// An API with a client `mon` of these limits.
struct Scoped {
    test: TestApi,
    bearer: String,
}

impl Scoped {
    async fn new(limits: Value) -> Self {
        let test = start();
        let body = json!({"name": "mon", "group": "clientrw", "limits": limits});
        let made = test.post("/v1/client", &body).await.is(201).json();
        assert_eq!(made["limits"], limits);
        let bearer = bearer(&made);
        Self { test, bearer }
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Reply {
        let asked = self.test.anonymous(method, path);
        let asked = asked.header("authorization", &self.bearer);
        asked.json(body).send().await
    }

    async fn lines(&self, jobs: &[Value]) -> Value {
        let text: String = jobs.iter().map(|job| format!("{job}\n")).collect();
        let asked = self.test.anonymous("POST", "/v1/drop/batch");
        let asked = asked.header("authorization", &self.bearer);
        let asked = asked.header("content-type", "application/x-ndjson");
        asked.body(text).send().await.is(200).json()
    }

    fn rules(&self) -> usize {
        self.test.plane.rules().len()
    }
}

fn bearer(made: &Value) -> String {
    format!("Bearer {}", made["token"].as_str().unwrap())
}

fn message(reply: &Reply) -> String {
    reply.json()["message"].as_str().unwrap().to_owned()
}

fn entry(cidr: &str, tag: &str, expiration: u64) -> Value {
    json!({"cidr": cidr, "tag": tag, "expiration": expiration})
}

#[tokio::test]
async fn limits_are_shown_and_those_that_cannot_be_are_422() {
    let scoped = Scoped::new(limits()).await;
    let test = &scoped.test;
    let shown = test.get("/v1/client/mon").await.is(200).json();
    assert_eq!(shown["limits"], limits());
    assert_eq!(shown.get("expires"), None);
    for (group, limits, field) in [
        ("admin", json!({"tags": ["x"]}), "limits"),
        ("peering", json!({"longest": 60}), "limits"),
        ("clientro", json!({"policies": ["drop"]}), "limits"),
        ("clientrw", json!({"tags": ["a,b"]}), "limits.tags"),
        ("clientrw", json!({"widest_ipv4": 33}), "limits.widest_ipv4"),
        ("clientrw", json!({"policies": []}), "limits.policies"),
    ] {
        let body = json!({"name": "new", "group": group, "limits": limits});
        let reply = test.post("/v1/client", &body).await;
        assert_eq!(reply.error(422, "invalid"), [field], "{body}");
    }
    for limits in [json!({"tag": ["x"]}), json!({"longest": "7d"}), json!([1])] {
        let body = json!({"name": "new", "group": "clientrw", "limits": limits});
        test.post("/v1/client", &body)
            .await
            .error(400, "bad_request");
    }
    test.get("/v1/client/new").await.is(404);
    // Of a client of 1.0, and of one that says that there are none.
    for (name, limits) in [("a", json!(null)), ("b", json!({}))] {
        let body = json!({"name": name, "group": "admin", "limits": limits});
        test.post("/v1/client", &body).await.is(201);
    }
}

#[tokio::test]
async fn a_token_ends_with_a_401_that_says_so_and_one_that_replaces_it_lives_as_long() {
    let scoped = Scoped::new(json!({"token_lifetime": 60})).await;
    let test = &scoped.test;
    let shown = test.get("/v1/client/mon").await.json();
    assert_eq!(shown["expires"], NOW + 60);
    test.clock.set(NOW + 59);
    scoped.send("GET", "/v1/drop", &Value::Null).await.is(200);
    test.clock.set(NOW + 3_660);
    let reply = scoped.send("GET", "/v1/drop", &Value::Null).await;
    let told =
        "the token of the client mon expired 1h ago: couicctl clients rotate mon makes a new one";
    assert_eq!(message(&reply), told);
    reply.error(401, "unauthorized");
    let grace = json!({"grace": 60});
    let rotated = test.post("/v1/client/mon/rotate", &grace).await;
    let rotated = rotated.is(200).json();
    assert_eq!(rotated["expires"], NOW + 3_720);
    // The grace does not bring an expired token back.
    scoped.send("GET", "/v1/drop", &Value::Null).await.is(401);
    let asked = test.anonymous("GET", "/v1/drop");
    let asked = asked.header("authorization", &bearer(&rotated));
    asked.send().await.is(200);
}

#[tokio::test]
async fn the_zeros_in_place_of_a_token_say_what_they_are() {
    let test = start();
    let zeros = "Bearer 00000000-0000-0000-0000-000000000000";
    let asked = test.anonymous("GET", "/v1/drop");
    let reply = asked.header("authorization", zeros).send().await;
    assert!(message(&reply).contains("is shown once"), "{reply:?}");
    reply.error(401, "unauthorized");
}

/// Rotation keeps limits, and the rate that is used up.
#[tokio::test]
async fn a_new_token_has_the_limits_of_the_old_one() {
    let scoped = Scoped::new(json!({"policies": ["drop"], "adds_per_minute": 1})).await;
    let add = |n: u8| entry(&format!("192.0.2.{n}/32"), "", 0);
    scoped.send("POST", "/v1/drop", &add(1)).await.is(201);
    let rotate = "/v1/client/mon/rotate";
    let rotated = scoped.test.post(rotate, &json!({})).await;
    let bearer = bearer(&rotated.is(200).json());
    let scoped = Scoped { bearer, ..scoped };
    scoped.send("POST", "/v1/ignore", &add(2)).await.is(403);
    scoped.send("POST", "/v1/drop", &add(2)).await.is(429);
}

#[tokio::test]
async fn too_many_adds_are_429_with_the_time_to_wait() {
    let scoped = Scoped::new(json!({"adds_per_minute": 2})).await;
    let add = |n: u8| entry(&format!("192.0.2.{n}/32"), "", 0);
    for n in [1, 2] {
        scoped.send("POST", "/v1/drop", &add(n)).await.is(201);
    }
    let reply = scoped.send("POST", "/v1/drop", &add(3)).await;
    let seconds: u64 = reply.headers["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=31).contains(&seconds), "{seconds}");
    assert!(message(&reply).contains("the client mon may add 2 rules a minute"));
    reply.error(429, "rate_limited");
    // Removals are free, and so is what is refused.
    for n in [1, 2] {
        let path = format!("/v1/drop/192.0.2.{n}/32");
        scoped.send("DELETE", &path, &Value::Null).await.is(204);
    }
    // No other client waits.
    scoped.test.add("drop", "192.0.2.9/32", None).await;
}

#[tokio::test]
async fn a_batch_beyond_the_rate_fails_job_by_job_with_a_code_of_its_own() {
    let scoped = Scoped::new(json!({"tags": ["mon-*"], "adds_per_minute": 3})).await;
    let add = |cidr: &str, tag: &str| json!({"action": "add", "entry": entry(cidr, tag, 0)});
    let jobs = json!([
        add("192.0.2.1/32", "sshd"),
        add("192.0.2.1/32", "mon-a"),
        add("192.0.2.2-192.0.2.4", "mon-a"),
        add("192.0.2.5/32", "mon-a"),
        add("bad", "mon-a"),
        json!({"action": "remove", "entry": {"cidr": "192.0.2.1/32"}}),
    ]);
    let outcome = scoped
        .send("POST", "/v1/drop/batch", &jobs)
        .await
        .is(200)
        .json();
    let failures = outcome["failures"].as_array().unwrap();
    let failed: Vec<_> = failures
        .iter()
        .map(|f| (f["index"].as_u64().unwrap(), f["code"].as_str().unwrap()))
        .collect();
    assert_eq!(
        failed,
        [(0, "forbidden"), (3, "rate_limited"), (4, "invalid")]
    );
    assert_eq!(
        (&outcome["added"], &outcome["removed"]),
        (&json!(3), &json!(1)),
        "{outcome}"
    );
}
