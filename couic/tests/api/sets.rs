//! Set files over the API.

mod apply;
mod lists;
mod reload;

use std::fs;

use serde_json::json;

use crate::support::start;

#[tokio::test]
async fn a_set_is_written_and_read_with_network_addresses() {
    let test = start();
    let body = json!({"name": "office", "entries": ["10.1.2.3/8", "2001:db8::1/32", "10.0.0.0/8"]});
    let reply = test.post("/v1/sets/ignore", &body).await.is(201).json();
    assert_eq!(
        reply,
        json!({"name": "office", "entries": ["10.0.0.0/8", "2001:db8::/32"]})
    );
    assert_eq!(
        test.get("/v1/sets/ignore/office").await.is(200).json(),
        reply
    );
    let file = test.dir.path().join("sets/ignore/office.couic");
    let size = fs::metadata(file).unwrap().len();
    let listed = test.get("/v1/sets/ignore").await.is(200).json();
    assert_eq!(
        listed,
        json!([{"name": "office", "entry_count": 2, "file_size": size}])
    );
    assert_eq!(test.get("/v1/sets/drop").await.is(200).body, b"[]");
    assert!(test.plane.rules().is_empty(), "rules change at reload");
}

#[tokio::test]
async fn an_existing_set_is_a_conflict() {
    let test = start();
    test.post(
        "/v1/sets/drop",
        &json!({"name": "s", "entries": ["1.0.0.0/8"]}),
    )
    .await
    .is(201);
    let again = json!({"name": "s", "entries": []});
    test.post("/v1/sets/drop", &again)
        .await
        .error(409, "conflict");
    test.post("/v1/sets/ignore", &again).await.is(201);
    assert_eq!(
        test.get("/v1/sets/drop/s").await.json()["entries"],
        json!(["1.0.0.0/8"])
    );
}

#[tokio::test]
async fn put_replaces_and_keeps_the_name() {
    let test = start();
    let entries = json!({"entries": ["2.0.0.0/8"]});
    test.put("/v1/sets/drop/s", &entries)
        .await
        .error(404, "not_found");
    test.post(
        "/v1/sets/drop",
        &json!({"name": "s", "entries": ["1.0.0.0/8"]}),
    )
    .await
    .is(201);
    let reply = test.put("/v1/sets/drop/s", &entries).await.is(200).json();
    assert_eq!(reply, json!({"name": "s", "entries": ["2.0.0.0/8"]}));
    let named = json!({"name": "s", "entries": ["3.0.0.0/8"]});
    test.put("/v1/sets/drop/s", &named).await.is(200);
    let renamed = json!({"name": "t", "entries": ["4.0.0.0/8"]});
    assert_eq!(
        test.put("/v1/sets/drop/s", &renamed)
            .await
            .error(422, "invalid"),
        ["name"]
    );
    assert_eq!(
        test.get("/v1/sets/drop/s").await.json()["entries"],
        json!(["3.0.0.0/8"])
    );
}

#[tokio::test]
async fn every_bad_value_is_reported() {
    let test = start();
    let body = json!({"name": "../x", "entries": ["1.0.0.0/8", "bad", "1.2.3.4"]});
    let fields = test
        .post("/v1/sets/drop", &body)
        .await
        .error(422, "invalid");
    assert_eq!(fields, ["entries[1]", "entries[2]", "name"]);
    for name in ["", "a.b", "a/b", "é", &"x".repeat(49)] {
        let body = json!({"name": name, "entries": []});
        assert_eq!(
            test.post("/v1/sets/drop", &body)
                .await
                .error(422, "invalid"),
            ["name"]
        );
    }
    test.post(
        "/v1/sets/drop",
        &json!({"name": "x".repeat(48), "entries": []}),
    )
    .await
    .is(201);
    let put = json!({"entries": ["bad"]});
    let path = format!("/v1/sets/drop/{}", "x".repeat(48));
    assert_eq!(
        test.put(&path, &put).await.error(422, "invalid"),
        ["entries[0]"]
    );
}

#[tokio::test]
async fn malformed_sets_are_400() {
    let test = start();
    for body in [
        json!({"name": "s"}),
        json!({"entries": []}),
        json!({"name": 5, "entries": []}),
        json!({"name": "s", "entries": "1.0.0.0/8"}),
        json!({"name": "s", "entries": [5]}),
        json!([]),
    ] {
        test.post("/v1/sets/drop", &body)
            .await
            .error(400, "bad_request");
    }
    for body in [json!({}), json!({"name": "s"}), json!({"entries": [null]})] {
        test.put("/v1/sets/drop/s", &body)
            .await
            .error(400, "bad_request");
    }
    test.ask("POST", "/v1/sets/drop")
        .body("{\"name\":\"s\",\"entries\":[]}")
        .send()
        .await
        .error(400, "bad_request");
}

#[tokio::test]
async fn delete_reports_that_a_reload_is_required() {
    let test = start();
    test.post(
        "/v1/sets/drop",
        &json!({"name": "s", "entries": ["1.0.0.0/8"]}),
    )
    .await
    .is(201);
    let reply = test.delete("/v1/sets/drop/s").await.is(200).json();
    assert_eq!(reply, json!({"deleted": true, "reload_required": true}));
    for path in [
        "/v1/sets/drop/s",
        "/v1/sets/drop/a.b",
        "/v1/sets/drop/%2e%2e",
    ] {
        test.delete(path).await.error(404, "not_found");
        test.get(path).await.error(404, "not_found");
    }
}

/// 1.0 refused more than 5 MiB.
#[tokio::test]
async fn sets_of_more_than_5_mib_are_written_and_read() {
    let test = start();
    let cidr = |i: u32| format!("{}/32", std::net::Ipv4Addr::from(0x6400_0000 + i * 7));
    let entries: Vec<String> = (0..400_000).map(cidr).collect();
    let body = json!({"name": "big", "entries": entries});
    test.post("/v1/sets/drop", &body).await.is(201);
    let listed = test.get("/v1/sets/drop").await.is(200).json();
    assert_eq!(listed[0]["entry_count"], entries.len());
    assert!(listed[0]["file_size"].as_u64().unwrap() > 5 * 1024 * 1024);
    let read = test.get("/v1/sets/drop/big").await.is(200).json();
    assert_eq!(read["entries"].as_array().unwrap().len(), entries.len());
}

#[tokio::test]
async fn a_disk_error_is_a_500_without_a_path() {
    let test = start();
    fs::remove_dir(test.dir.path().join("sets/drop")).unwrap();
    let reply = test
        .post("/v1/sets/drop", &json!({"name": "s", "entries": []}))
        .await;
    let text = String::from_utf8_lossy(&reply.body).into_owned();
    assert!(!text.contains(test.dir.path().to_str().unwrap()), "{text}");
    reply.error(500, "internal");
}
