//! Batches, as a JSON array and as NDJSON.

use serde_json::{Value, json};

use crate::support::{NOW, Reply, TestApi, start, start_with};

async fn lines(test: &TestApi, text: &str) -> Reply {
    let asked = test.ask("POST", "/v1/drop/batch");
    asked
        .header("content-type", "application/x-ndjson")
        .body(text)
        .send()
        .await
}

fn add(cidr: &str) -> Value {
    json!({"action": "add", "entry": {"cidr": cidr}})
}

fn remove(cidr: &str) -> Value {
    json!({"action": "remove", "entry": {"cidr": cidr}})
}

fn counts(reply: &Reply) -> [u64; 5] {
    let json = reply.json();
    ["added", "updated", "unchanged", "removed", "failed"].map(|key| json[key].as_u64().unwrap())
}

#[tokio::test]
async fn each_job_is_validated_on_its_own_in_both_forms() {
    let jobs = [
        add("1.0.0.0/8"),
        add("1.0.0.0/8"),
        json!({"action": "add", "entry": {"cidr": "1.0.0.0/8", "expiration": NOW + 9}}),
        json!({"action": "add", "entry": {"cidr": "bad", "tag": "a b"}}),
        json!({"action": "add", "entry": {"cidr": "2.0.0.0/8", "expiration": NOW}}),
        json!({"action": "add", "entry": ["3.0.0.0/8", 0, "positional"]}),
        remove("3.0.0.0/8"),
        remove("4.0.0.0/8"),
    ];
    let text: String = jobs.iter().map(|job| format!("{job}\n")).collect();
    for form in ["array", "lines"] {
        let test = start();
        let reply = match form {
            "array" => test.post("/v1/drop/batch", &json!(jobs)).await,
            _ => lines(&test, &text).await,
        };
        assert_eq!(counts(&reply), [2, 1, 2, 1, 2], "{form}: {}", reply.json());
        let reply = reply.is(200).json();
        let failures = reply["failures"].as_array().unwrap();
        assert_eq!(failures[0]["index"], 3);
        assert_eq!(failures[0]["cidr"], "bad");
        assert_eq!(failures[0]["code"], "invalid");
        assert!(failures[0]["message"].as_str().unwrap().contains("cidr"));
        assert_eq!(failures[1]["index"], 4);
        assert_eq!(failures[1]["cidr"], "2.0.0.0/8");
        let entry = test.get("/v1/drop/1.0.0.0/8").await.is(200).json();
        assert_eq!(entry["expiration"], NOW + 9, "the later one wins");
    }
}

#[tokio::test]
async fn a_job_is_an_object() {
    let test = start();
    let job = json!(["add", {"cidr": "1.0.0.0/8"}]);
    let asked = test.post("/v1/drop/batch", &json!([job])).await;
    asked.error(400, "bad_request");
    let reply = lines(&test, &format!("{job}\n")).await.is(200);
    assert_eq!(counts(&reply), [0, 0, 0, 0, 1]);
    assert!(test.plane.rules().is_empty());
}

#[tokio::test]
async fn removes_ignore_expired_expirations() {
    let test = start();
    test.add("drop", "1.0.0.0/8", None).await;
    let job =
        json!([{"action": "remove", "entry": {"cidr": "1.0.0.0/8", "expiration": 5, "tag": ""}}]);
    let reply = test.post("/v1/drop/batch", &job).await.is(200);
    assert_eq!(counts(&reply), [0, 0, 0, 1, 0]);
}

#[tokio::test]
async fn an_empty_batch_does_nothing() {
    let test = start();
    assert_eq!(
        counts(&test.post("/v1/drop/batch", &json!([])).await.is(200)),
        [0; 5]
    );
    for text in ["", "\n", "\n\n  \r\n"] {
        assert_eq!(
            counts(&lines(&test, text).await.is(200)),
            [0; 5],
            "{text:?}"
        );
    }
}

#[tokio::test]
async fn a_bad_line_is_one_failed_job() {
    let test = start();
    let long = "x".repeat(70_000);
    let text = format!(
        "{}\nnonsense\n\n{{\"action\":\"explode\",\"entry\":{{\"cidr\":\"1.0.0.0/8\"}}}}\n{long}\n{}\r\n{{\"action\"",
        add("1.0.0.0/8"),
        add("2.0.0.0/8")
    );
    let reply = lines(&test, &text).await.is(200);
    assert_eq!(counts(&reply), [2, 0, 0, 0, 4]);
    let failures = reply.json()["failures"].clone();
    let indices: Vec<u64> = failures
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["index"].as_u64().unwrap())
        .collect();
    assert_eq!(indices, [1, 2, 3, 5]);
    assert!(
        failures
            .as_array()
            .unwrap()
            .iter()
            .all(|f| f["code"] == "bad_request" && f["cidr"].is_null())
    );
    assert!(failures[2]["message"].as_str().unwrap().contains("64 KiB"));
}

#[tokio::test]
async fn a_bad_array_changes_nothing() {
    let test = start();
    for body in [
        json!([add("1.0.0.0/8"), {"action": "add"}]),
        json!([add("1.0.0.0/8"), {"action": "explode", "entry": {"cidr": "1.0.0.0/8"}}]),
        json!([add("1.0.0.0/8"), 5]),
        json!(add("1.0.0.0/8")),
        json!({"jobs": [add("1.0.0.0/8")]}),
    ] {
        test.post("/v1/drop/batch", &body)
            .await
            .error(400, "bad_request");
    }
    let cut = format!("[{},", add("1.0.0.0/8"));
    test.ask("POST", "/v1/drop/batch")
        .text(&cut)
        .send()
        .await
        .error(400, "bad_request");
    let asked = test
        .ask("POST", "/v1/drop/batch")
        .header("content-type", "text/plain");
    asked
        .body(add("1.0.0.0/8").to_string())
        .send()
        .await
        .error(400, "bad_request");
    assert!(test.plane.rules().is_empty());
}

#[tokio::test]
async fn ndjson_may_exceed_the_body_limit() {
    let test = start();
    let filler = "y".repeat(1000);
    let text: String = (0..20_000_u32)
        .map(|i| {
            let detail = json!({"kind": "k", "detail": filler});
            let cidr = format!("10.0.{}.{}/32", i >> 8 & 255, i & 255);
            format!(
                "{}\n",
                json!({"action": "add", "entry": {"cidr": cidr, "metadata": detail}})
            )
        })
        .collect();
    assert!(text.len() > 16 * 1024 * 1024);
    assert_eq!(
        counts(&lines(&test, &text).await.is(200)),
        [20_000, 0, 0, 0, 0]
    );
    assert_eq!(test.plane.rules().len(), 20_000);
}

#[tokio::test]
async fn the_first_thousand_failures_are_reported_in_order() {
    let test = start();
    let text: String = (0..3000)
        .map(|i| match i % 3 {
            0 => "nonsense\n".to_owned(),
            1 => format!("{}\n", json!({"action": "add", "entry": {"cidr": "x"}})),
            _ => format!("{}\n", add("1.0.0.0/8")),
        })
        .collect();
    let reply = lines(&test, &text).await.is(200);
    assert_eq!(counts(&reply), [1, 0, 999, 0, 2000]);
    let reported: Vec<u64> = reply.json()["failures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| failure["index"].as_u64().unwrap())
        .collect();
    let expected: Vec<u64> = (0..3000).filter(|i| i % 3 != 2).take(1000).collect();
    assert_eq!(reported, expected);
}

#[tokio::test]
async fn a_full_table_fails_the_jobs_that_do_not_fit() {
    let limits = couic_firewall::dataplane::Limits {
        drop_entries: 3,
        ignore_entries: 1,
    };
    let test = start_with(limits, false);
    let jobs: Vec<Value> = (1..=5).map(|i| add(&format!("{i}.0.0.0/8"))).collect();
    let reply = test
        .post("/v1/drop/batch", &Value::Array(jobs))
        .await
        .is(200);
    assert_eq!(counts(&reply), [3, 0, 0, 0, 2]);
    assert_eq!(reply.json()["failures"][0]["code"], "processing");
    assert_eq!(reply.json()["failures"][0]["cidr"], "4.0.0.0/8");
    assert_eq!(test.plane.rules().len(), 3);
}

#[tokio::test]
async fn a_failing_data_plane_fails_the_job_without_details() {
    let test = start();
    test.plane.fail_put_after(1);
    let jobs: Vec<Value> = (1..=3).map(|i| add(&format!("{i}.0.0.0/8"))).collect();
    let reply = test
        .post("/v1/drop/batch", &Value::Array(jobs))
        .await
        .is(200);
    assert_eq!(counts(&reply), [2, 0, 0, 0, 1]);
    let failure = reply.json()["failures"][0].clone();
    assert_eq!(
        (&failure["index"], &failure["code"]),
        (&json!(1), &json!("internal"))
    );
    assert!(
        !failure["message"].as_str().unwrap().contains("memory"),
        "{failure}"
    );
}

#[tokio::test]
async fn rules_of_sets_are_not_removed() {
    let test = start();
    test.post(
        "/v1/sets/drop",
        &json!({"name": "s", "entries": ["1.0.0.0/8"]}),
    )
    .await
    .is(201);
    test.ask("POST", "/v1/sets/reload").send().await.is(201);
    let reply = test
        .post("/v1/drop/batch", &json!([remove("1.0.0.0/8")]))
        .await
        .is(200);
    assert_eq!(counts(&reply), [0, 0, 0, 0, 1]);
    assert_eq!(reply.json()["failures"][0]["code"], "processing");
    test.get("/v1/drop/1.0.0.0/8").await.is(200);
}

#[tokio::test]
async fn events_name_the_client() {
    let test = start();
    let events = test.api.firewall.subscribe(10);
    test.post("/v1/drop/batch", &json!([add("1.0.0.0/8")]))
        .await
        .is(200);
    let received = events.recv_timeout(std::time::Duration::from_secs(60));
    assert_eq!(
        received.events.first().unwrap().origin.actor.to_string(),
        "client admin"
    );
}

#[tokio::test]
async fn a_job_takes_what_a_list_takes() {
    let test = start();
    let jobs = [
        add("1.2.3.4"),
        add("198.51.100.0/255.255.255.0"),
        add("203.0.113.1-203.0.113.4"),
        add("192.0.2.9-192.0.2.1"),
        add("198.51.100.040"),
    ];
    let reply = test.post("/v1/drop/batch", &json!(jobs)).await.is(200);
    assert_eq!(counts(&reply), [5, 0, 0, 0, 2]);
    let failures = reply.json()["failures"].clone();
    assert_eq!(
        (&failures[0]["index"], &failures[1]["index"]),
        (&json!(3), &json!(4))
    );
    let gone = remove("203.0.113.1-203.0.113.4");
    let reply = test.post("/v1/drop/batch", &json!([gone])).await.is(200);
    assert_eq!(counts(&reply), [0, 0, 0, 3, 0]);
}
