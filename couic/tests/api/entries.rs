//! Single entries: conflicts, reads, deletions, lookups. Their values are in `values`.

use serde_json::{Value, json};

use crate::support::{NOW, start, start_counting, start_with};

#[tokio::test]
async fn an_existing_entry_is_a_conflict() {
    let test = start();
    test.add("drop", "1.2.3.0/24", None).await;
    let again = json!({"cidr": "1.2.3.99/24", "expiration": NOW + 5, "tag": "other"});
    test.post("/v1/drop", &again).await.error(409, "conflict");
    test.post("/v1/ignore", &again).await.is(201);
    let entry = test.get("/v1/drop/1.2.3.0/24").await.is(200).json();
    assert_eq!(entry["expiration"], 0, "a refused add changed the entry");
}

#[tokio::test]
async fn entries_are_read_and_deleted_regardless_of_host_bits() {
    let test = start();
    test.add("drop", "10.1.2.0/24", Some("t")).await;
    test.add("drop", "2001:db8::/32", None).await;
    let entry = test.get("/v1/drop/10.1.2.77/24").await.is(200).json();
    assert_eq!(entry["cidr"], "10.1.2.0/24");
    for path in [
        "/v1/drop/2001:db8::5/32",
        "/v1/drop/2001%3Adb8%3a%3A/32",
        "/v1/drop/2001:DB8::/32/",
    ] {
        assert_eq!(test.get(path).await.is(200).json()["cidr"], "2001:db8::/32");
    }
    let gone = test.delete("/v1/drop/10.1.2.200/24").await.is(204);
    assert!(gone.headers.get("content-type").is_none());
    test.get("/v1/drop/10.1.2.0/24")
        .await
        .error(404, "not_found");
    test.delete("/v1/drop/10.1.2.0/24")
        .await
        .error(404, "not_found");
    test.get("/v1/ignore/2001:db8::/32")
        .await
        .error(404, "not_found");
}

#[tokio::test]
async fn an_expired_entry_is_removed_and_can_be_added_again() {
    let test = start();
    let body = json!({"cidr": "1.2.3.4/32", "expiration": NOW + 1});
    test.post("/v1/drop", &body).await.is(201);
    test.clock.advance(1);
    test.get("/v1/drop/1.2.3.4/32")
        .await
        .error(404, "not_found");
    let body = json!({"cidr": "1.2.3.4/32", "expiration": NOW + 2});
    assert_eq!(
        test.post("/v1/drop", &body).await.is(201).json()["creation"],
        NOW + 1
    );
}

/// A ban of an hour lasts an hour, whatever time it is for the client.
#[tokio::test]
async fn a_ttl_counts_from_the_daemons_clock() {
    let test = start();
    let wrong_clock = NOW - 300;
    for (cidr, body) in [
        ("1.0.0.1/32", json!({"ttl": 60})),
        ("1.0.0.2/32", json!({"ttl": 60, "expiration": wrong_clock})),
        ("1.0.0.3/32", json!({"ttl": 60, "expiration": 0})),
    ] {
        let mut body = body;
        body["cidr"] = cidr.into();
        let entry = test.post("/v1/drop", &body).await.is(201).json();
        assert_eq!(entry["expiration"], NOW + 61, "{body}");
    }
    let job = json!([{"action": "add", "entry": {"cidr": "1.0.0.1/32", "ttl": 120}}]);
    let outcome = test.post("/v1/drop/batch", &job).await.is(200).json();
    assert_eq!(outcome["updated"], 1);
    let entry = test.get("/v1/drop/1.0.0.1/32").await.is(200).json();
    assert_eq!(entry["expiration"], NOW + 121);
    let none = json!({"cidr": "1.0.0.4/32", "ttl": 0});
    test.post("/v1/drop", &none).await.error(422, "invalid");
    let neither = json!({"cidr": "1.0.0.4/32"});
    test.post("/v1/drop", &neither)
        .await
        .error(400, "bad_request");
}

#[tokio::test]
async fn rules_of_sets_cannot_be_deleted() {
    let test = start();
    let set = json!({"name": "office", "entries": ["10.0.0.0/8"]});
    test.post("/v1/sets/ignore", &set).await.is(201);
    test.ask("POST", "/v1/sets/reload").send().await.is(201);
    let reply = test.delete("/v1/ignore/10.0.0.0/8").await;
    assert_eq!(reply.error(422, "processing"), ["cidr"]);
    let body = json!({"cidr": "10.0.0.0/8", "expiration": 0});
    test.post("/v1/ignore", &body).await.error(409, "conflict");
    assert_eq!(
        test.get("/v1/ignore/10.0.0.0/8").await.json()["tag"],
        "office.couic"
    );
}

#[tokio::test]
async fn a_full_table_refuses_and_changes_nothing() {
    let limits = couic_firewall::dataplane::Limits {
        drop_entries: 2,
        ignore_entries: 1,
    };
    let test = start_with(limits, false);
    test.add("drop", "1.0.0.0/8", None).await;
    test.add("drop", "2.0.0.0/8", None).await;
    let body = json!({"cidr": "3.0.0.0/8", "expiration": 0, "tag": "new"});
    let reply = test.post("/v1/drop", &body).await;
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert!(
        message.contains("drop") && message.contains("IPv4") && message.contains('2'),
        "{message}"
    );
    reply.error(422, "processing");
    assert_eq!(test.plane.rules().len(), 2);
    assert_eq!(
        test.get("/v1/drop").await.json().as_array().unwrap().len(),
        2
    );
    test.add("drop", "::/0", None).await;
    test.add("ignore", "3.0.0.0/8", None).await;
}

#[tokio::test]
async fn a_failing_data_plane_is_a_500_without_details() {
    let test = start();
    test.plane.fail_put_after(0);
    let body = json!({"cidr": "3.0.0.0/8", "expiration": 0});
    let reply = test.post("/v1/drop", &body).await;
    assert!(
        !String::from_utf8_lossy(&reply.body).contains("memory"),
        "{reply:?}"
    );
    reply.error(500, "internal");
    test.get("/v1/drop/3.0.0.0/8").await.error(404, "not_found");
    test.add("drop", "3.0.0.0/8", None).await;
}

#[tokio::test]
async fn entries_are_deleted_by_tag() {
    let test = start();
    for (cidr, tag) in [
        ("1.0.0.0/8", Some("ssh")),
        ("2.0.0.0/8", Some("sshd")),
        ("3.0.0.0/8", None),
    ] {
        test.add("drop", cidr, tag).await;
    }
    test.add("ignore", "1.0.0.0/8", Some("ssh")).await;
    for path in [
        "/v1/drop",
        "/v1/drop?tag=",
        "/v1/drop?tag=ssh,",
        "/v1/drop?tag=%20",
        "/v1/drop?Tag=ssh",
    ] {
        test.delete(path).await.error(400, "bad_request");
    }
    assert_eq!(
        test.delete("/v1/drop?tag=none").await.is(200).json(),
        json!({"removed": 0})
    );
    assert_eq!(
        test.delete("/v1/drop?tag=ssh*").await.is(200).json(),
        json!({"removed": 2})
    );
    assert_eq!(
        test.delete("/v1/drop?tag=untagged").await.is(200).json(),
        json!({"removed": 1})
    );
    assert_eq!(
        test.get("/v1/ignore")
            .await
            .json()
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn lookup_returns_verdict_and_reason() {
    let test = start();
    test.add("drop", "10.0.0.0/8", Some("wide")).await;
    test.add("drop", "10.1.0.0/16", Some("narrow")).await;
    let found = test.get("/v1/lookup/10.1.2.3").await.is(200).json();
    assert_eq!(found["ip"], "10.1.2.3");
    assert_eq!(found["verdict"], "drop");
    let owner = json!({"kind": "client", "name": "admin", "tag": "narrow", "expiration": 0});
    let decided = json!({"policy": "drop", "creation": NOW, "cidr": "10.1.0.0/16", "tag": "narrow", "expiration": 0,
        "owners": [owner]});
    assert_eq!(found["decided_by"], decided);
    assert_eq!(found["also_covered_by"][0]["tag"], "wide");
    test.add("ignore", "10.0.0.0/8", None).await;
    let found = test.get("/v1/lookup/10.1.2.3").await.json();
    assert_eq!(
        (&found["verdict"], &found["decided_by"]["policy"]),
        (&json!("pass"), &json!("ignore"))
    );
    let found = test.get("/v1/lookup/2001%3Adb8::1").await.is(200).json();
    assert_eq!(
        found,
        json!({"ip": "2001:db8::1", "verdict": "pass", "decided_by": null, "also_covered_by": []})
    );
    for path in [
        "/v1/lookup/10.1.2",
        "/v1/lookup/x",
        "/v1/lookup/10.1.2.3%2F8",
    ] {
        test.get(path).await.error(400, "bad_request");
    }
}

#[tokio::test]
async fn hits_are_shown_in_every_view_if_hits_are_counted() {
    let test = start_counting();
    test.add("drop", "198.51.100.0/24", None).await;
    test.add("drop", "198.51.100.7/32", None).await;
    for source in ["198.51.100.7", "198.51.100.7", "198.51.100.8"] {
        test.plane.packet(source.parse().unwrap(), 100);
    }
    let hits = |entry: &Value| entry["hits"].as_u64();
    let one = test.get("/v1/drop/198.51.100.7/32").await.is(200).json();
    assert_eq!(hits(&one), Some(2), "{one}");
    let list = test.get("/v1/drop").await.is(200).json();
    let all: Vec<_> = list.as_array().unwrap().iter().map(hits).collect();
    assert_eq!(all, [Some(1), Some(2)]);
    let lookup = test.get("/v1/lookup/198.51.100.7").await.is(200).json();
    assert_eq!(hits(&lookup["decided_by"]), Some(2), "{lookup}");
    assert_eq!(hits(&lookup["also_covered_by"][0]), Some(1), "{lookup}");

    let test = start();
    test.add("drop", "198.51.100.7/32", None).await;
    let one = test.get("/v1/drop/198.51.100.7/32").await.is(200).json();
    assert!(
        one.get("hits").is_none() && one.get("last_seen").is_none(),
        "{one}"
    );
}
