//! Values of a new entry: accepted, normalized, or refused with all bad fields at once.

use serde_json::{Value, json};

use crate::support::{NOW, start};

#[tokio::test]
async fn an_add_returns_the_entry_with_its_network_address() {
    let test = start();
    let body = json!({"cidr": "192.168.1.100/24", "expiration": NOW + 60, "tag": "ssh"});
    let reply = test.post("/v1/drop", &body).await.is(201);
    let expected = format!(
        r#"{{"creation":{NOW},"cidr":"192.168.1.0/24","tag":"ssh","expiration":{}}}"#,
        NOW + 60
    );
    assert_eq!(String::from_utf8(reply.body).unwrap(), expected);
    assert_eq!(reply.headers["content-type"], "application/json");
    let policy = couic_common::Policy::Drop;
    let key = couic_common::RuleKey::new(policy, "192.168.1.0/24".parse().unwrap());
    assert!(test.plane.rules().contains_key(&key));
}

#[tokio::test]
async fn requests_may_be_positional_and_have_unknown_fields() {
    let test = start();
    let object = r#"{"cidr":"1.0.0.0/8","expiration":0,"colour":"red","deep":{"a":[1]}}"#;
    test.ask("POST", "/v1/ignore")
        .text(object)
        .send()
        .await
        .is(201);
    let array = r#"["2.0.0.0/8",0,"tag",{"kind":"k","detail":"d"}]"#;
    let reply = test
        .ask("POST", "/v1/ignore")
        .text(array)
        .send()
        .await
        .is(201);
    assert_eq!(reply.json()["tag"], "tag");
    assert_eq!(
        test.get("/v1/ignore")
            .await
            .is(200)
            .json()
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn an_empty_tag_means_none() {
    let test = start();
    for (cidr, tag) in [("1.0.0.0/8", json!("")), ("2.0.0.0/8", Value::Null)] {
        let body = json!({"cidr": cidr, "expiration": 0, "tag": tag});
        let reply = test.post("/v1/drop", &body).await.is(201);
        assert_eq!(reply.json()["tag"], Value::Null);
    }
}

#[tokio::test]
async fn metadata_reaches_the_event_unchanged() {
    let test = start();
    let events = test.api.firewall.subscribe(10);
    let metadata = json!({"kind": "fail2ban", "detail": "sshd", "extra": {"n": [1, {"x": null}]}});
    let body = json!({"cidr": "1.2.3.4/32", "expiration": 0, "metadata": metadata});
    test.post("/v1/drop", &body).await.is(201);
    let received = events.recv_timeout(std::time::Duration::from_secs(60));
    let heard = received
        .events
        .first()
        .unwrap()
        .origin
        .metadata
        .as_deref()
        .unwrap();
    assert_eq!(serde_json::to_value(heard).unwrap(), metadata);
    assert_eq!(
        received.events.first().unwrap().origin.actor.to_string(),
        "client admin"
    );
}

#[tokio::test]
async fn all_bad_values_are_reported_at_once() {
    let test = start();
    let body = json!({"cidr": "1.2.3.4", "expiration": NOW, "tag": "a b"});
    let fields = test.post("/v1/drop", &body).await.error(422, "invalid");
    assert_eq!(fields, ["cidr", "expiration", "tag"]);
}

#[tokio::test]
async fn invalid_cidrs_are_422() {
    let test = start();
    for cidr in [
        "",
        "1.2.3.4",
        "1.2.3.4/33",
        " 1.2.3.4/32",
        "1.2.3.4/32 ",
        "1.2.3.4//32",
        "1.2.3.4/-1",
        "::1/129",
        "fe80::1%eth0/64",
        "x/8",
        "1.2.3.4/32/",
        "256.0.0.0/8",
    ] {
        let body = json!({"cidr": cidr, "expiration": 0});
        let fields = test.post("/v1/drop", &body).await.error(422, "invalid");
        assert_eq!(fields, ["cidr"], "{cidr}");
    }
}

#[tokio::test]
async fn boundary_cidrs_are_accepted() {
    let test = start();
    for (cidr, shown) in [
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("255.255.255.255/32", "255.255.255.255/32"),
        ("::/0", "::/0"),
        ("::ffff:1.2.3.4/128", "::ffff:1.2.3.4/128"),
        ("::ffff:0:0/96", "::ffff:0.0.0.0/96"),
        ("FFFF::1/16", "ffff::/16"),
    ] {
        let body = json!({"cidr": cidr, "expiration": u64::MAX});
        let reply = test.post("/v1/ignore", &body).await.is(201).json();
        assert_eq!(reply["cidr"], shown);
        assert_eq!(reply["expiration"], u64::MAX);
    }
}

/// Programs on an IPv6 socket log `::ffff:198.51.100.7`; the host's packets are IPv4.
#[tokio::test]
async fn a_mapped_address_is_its_ipv4_host_at_every_door() {
    let test = start();
    let mapped = "::ffff:198.51.100.7/128";
    let body = json!({"cidr": mapped, "expiration": 0});
    // As with Couic 1.0, who asks in this form is answered in it.
    let reply = test.post("/v1/drop", &body).await.is(201).json();
    assert_eq!(reply["cidr"], mapped);
    assert_eq!(
        test.get("/v1/drop").await.json()[0]["cidr"],
        "198.51.100.7/32"
    );
    let one = test
        .get("/v1/drop/::ffff:198.51.100.7/128")
        .await
        .is(200)
        .json();
    assert_eq!(one["cidr"], mapped);
    let one = test.get("/v1/drop/198.51.100.7/32").await.is(200).json();
    assert_eq!(one["cidr"], "198.51.100.7/32");
    for ip in ["198.51.100.7", "::ffff:198.51.100.7"] {
        let lookup = test.get(&format!("/v1/lookup/{ip}")).await.is(200).json();
        assert_eq!(
            (&lookup["verdict"], &lookup["ip"]),
            (&json!("drop"), &json!("198.51.100.7"))
        );
    }
    test.post("/v1/drop", &body).await.error(409, "conflict");
    test.delete("/v1/drop/::ffff:198.51.100.7/128")
        .await
        .is(204);
    let job = |action: &str| json!([{"action": action, "entry": {"cidr": "::ffff:198.51.100.0/120", "expiration": 0}}]);
    test.post("/v1/drop/batch", &job("add")).await.is(200);
    assert_eq!(
        test.get("/v1/drop").await.json()[0]["cidr"],
        "198.51.100.0/24"
    );
    let removed = test
        .post("/v1/drop/batch", &job("remove"))
        .await
        .is(200)
        .json();
    assert_eq!(removed["removed"], 1);
    let job = |action: &str| json!([{"action": action, "entry": {"cidr": "::ffff:203.0.113.0/120", "expiration": 0}}]);
    test.post("/v1/drop/peer", &job("add")).await.is(201);
    test.get("/v1/drop/203.0.113.0/24").await.is(200);
    test.post("/v1/drop/peer", &job("remove")).await.is(201);
    let set = json!({"name": "s", "entries": ["::ffff:192.0.2.0/120"]});
    let written = test.post("/v1/sets/drop", &set).await.is(201).json();
    assert_eq!(written["entries"], json!(["192.0.2.0/24"]));
    assert!(test.plane.rules().is_empty());
}

#[tokio::test]
async fn an_expiration_in_milliseconds_is_refused_with_a_hint() {
    let test = start();
    for expiration in [
        1_795_916_369_000_u64,
        253_402_300_800,
        1_795_916_369_000_000_000,
    ] {
        let entry = json!({"cidr": "1.2.3.4/32", "expiration": expiration});
        let reply = test.post("/v1/drop", &entry).await;
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(
            message.contains("Unix seconds, not in milliseconds"),
            "{message}"
        );
        assert_eq!(reply.error(422, "invalid"), ["expiration"]);
        let jobs = json!([{"action": "add", "entry": entry}]);
        let reply = test.post("/v1/drop/batch", &jobs).await.is(200).json();
        assert_eq!(reply["failed"], 1);
        test.post("/v1/drop/peer", &jobs)
            .await
            .error(422, "invalid");
    }
    // The last second of the year 9999, and what programs send for "never".
    for (i, expiration) in [253_402_300_799, i64::MAX as u64, u64::MAX]
        .into_iter()
        .enumerate()
    {
        let body = json!({"cidr": format!("1.2.3.{i}/32"), "expiration": expiration});
        test.post("/v1/drop", &body).await.is(201);
    }
}

#[tokio::test]
async fn a_compressed_body_is_415_with_words_and_the_scheme_has_no_case() {
    let test = start();
    let body = r#"{"cidr":"1.0.0.0/8","expiration":0}"#;
    for path in ["/v1/drop", "/v1/drop/batch", "/v1/sets/drop"] {
        let asked = test.ask("POST", path).header("content-encoding", "gzip");
        let reply = asked.text(body).send().await;
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("compressed"), "{message}");
        reply.error(415, "bad_request");
    }
    let token = test.token(couic_common::Group::Admin);
    let asked = test
        .anonymous("POST", "/v1/drop")
        .header("content-encoding", "identity");
    let asked = asked.header("authorization", &format!("bearer {token}"));
    asked.text(body).send().await.is(201);
}

#[tokio::test]
async fn what_is_no_cidr_is_named_alike_by_body_path_and_batch() {
    let test = start();
    for (text, named) in [
        ("198.51.100.040/32", "a leading zero is ambiguous"),
        ("192.0.2.4:443/32", "an address with a port"),
        ("198.51.100.0/255.255.255.0", "a netmask"),
        ("198.51.100.1-198.51.100.9", "a range"),
        ("example.org/32", "a host name"),
        ("https://x.example/", "a URL"),
    ] {
        let entry = json!({"cidr": text, "expiration": 0});
        let reply = test.post("/v1/drop", &entry).await;
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(named), "{text}: {message}");
        reply.error(422, "invalid");
    }
    let reply = test.get("/v1/lookup/192.0.2.4:443").await;
    let message = reply.json()["message"].as_str().unwrap().to_owned();
    assert_eq!(
        message,
        "in the path: an address with a port: leave the port out, rules are about addresses"
    );
}

#[tokio::test]
async fn tags_are_validated() {
    let test = start();
    for (i, (tag, status)) in [
        ("x".repeat(64), 201),
        ("x".repeat(65), 422),
        ("a-Z_9".to_owned(), 201),
        ("a.b".to_owned(), 422),
        ("a b".to_owned(), 422),
        ("é".to_owned(), 422),
        ("set.couic".to_owned(), 422),
        ("untagged".to_owned(), 422),
        ("UNTagged".to_owned(), 422),
        ("untagged2".to_owned(), 201),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({"cidr": format!("1.2.3.{i}/32"), "expiration": 0, "tag": tag});
        let reply = test.post("/v1/drop", &body).await.is(status);
        if status == 422 {
            assert_eq!(reply.error(422, "invalid"), ["tag"], "{tag}");
        }
    }
}

#[tokio::test]
async fn expirations_must_be_in_the_future() {
    let test = start();
    for (i, (expiration, status)) in [
        (0, 201),
        (1, 422),
        (NOW - 1, 422),
        (NOW, 422),
        (NOW + 1, 201),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({"cidr": format!("1.2.3.{i}/32"), "expiration": expiration});
        test.post("/v1/drop", &body).await.is(status);
    }
}
