//! One test for each door.

use couic_common::Group;

use super::*;

/// What a client with limits may not do at all, whether or not its limits would fit: no door is forgotten.
#[tokio::test]
async fn every_operation_that_is_no_read_asks_for_the_limits_or_is_closed() {
    // A limit that allows everything that is asked for here.
    let scoped = Scoped::new(json!({"widest_ipv4": 0})).await;
    let document = scoped.test.get("/v1/openapi.json").await.json();
    let (mut asked, mut closed) = (0, 0);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if method == "get" {
                continue;
            }
            asked += 1;
            let id = operation["operationId"].as_str().unwrap();
            let open = [
                "create_entry",
                "delete_entry",
                "delete_entries",
                "batch",
                "confirm",
                "confirm_all",
                "undo",
            ];
            let path = path.replace("{policy}", "drop").replace("{set}", "s");
            let path = path.replace("{ip}", "192.0.2.1").replace("{prefix}", "32");
            let path = path
                .replace("{client}", "couicctl")
                .replace("{notifier}", "n");
            let path = path.replace("{confirmation}", "00000000");
            let reply = scoped.send(&method.to_uppercase(), &path, &json!({})).await;
            let status = reply.status.as_u16();
            assert_eq!(
                open.contains(&id),
                !matches!(status, 401 | 403),
                "{id}: {status}"
            );
            closed += usize::from(status == 403);
            let documented = operation["responses"].as_object().unwrap();
            assert!(
                documented.contains_key(&status.to_string()) || status < 300,
                "{id}: {status}"
            );
        }
    }
    assert!(asked > 20 && closed >= 4, "{asked} {closed}");
    assert_eq!(scoped.rules(), 0);
}

#[tokio::test]
async fn a_single_rule() {
    let scoped = Scoped::new(limits()).await;
    for (policy, cidr, tag, expiration, field) in [
        ("ignore", "192.0.2.7/32", "mon-a", NOW + 60, "policy"),
        ("drop", "192.0.0.0/23", "mon-a", NOW + 60, "cidr"),
        ("drop", "::ffff:192.0.0.0/119", "mon-a", NOW + 60, "cidr"),
        ("drop", "2001:db8::/47", "mon-a", NOW + 60, "cidr"),
        ("drop", "192.0.2.7/32", "sshd", NOW + 60, "tag"),
        ("drop", "192.0.2.7/32", "", NOW + 60, "tag"),
        ("drop", "192.0.2.7/32", "mon-a", 0, "expiration"),
        (
            "drop",
            "192.0.2.7/32",
            "mon-a",
            NOW + WEEK + 61,
            "expiration",
        ),
        ("drop", "192.0.2.7/32", "mon-a", u64::MAX, "expiration"),
    ] {
        let body = entry(cidr, tag, expiration);
        let reply = scoped.send("POST", &format!("/v1/{policy}"), &body).await;
        assert!(
            message(&reply).starts_with("the client mon may "),
            "{reply:?}"
        );
        assert_eq!(reply.error(403, "forbidden"), [field], "{policy} {body}");
    }
    assert_eq!(scoped.rules(), 0);
    let ttl = json!({"cidr": "192.0.2.7/32", "tag": "mon-a", "expiration": 0, "ttl": WEEK});
    scoped.send("POST", "/v1/drop", &ttl).await.is(201);
    let body = entry("2001:db8::/48", "mon-b", NOW + WEEK);
    scoped.send("POST", "/v1/drop", &body).await.is(201);
    // A right that the group does not have is a 401, as ever.
    scoped
        .send("POST", "/v1/drop/peer", &json!([]))
        .await
        .is(401);
    scoped
        .send("PUT", "/v1/panic", &json!({"on": true}))
        .await
        .is(401);
    // A value that is wrong in itself comes first.
    let body = entry("192.0.2.7/33", "sshd", NOW + 60);
    scoped
        .send("POST", "/v1/drop", &body)
        .await
        .error(422, "invalid");
}

#[tokio::test]
async fn a_batch_in_both_forms() {
    let remove = |cidr: &str, tag: Option<&str>| json!({"action": "remove", "entry": {"cidr": cidr, "tag": tag}});
    let add =
        |cidr: &str, tag: &str, end: u64| json!({"action": "add", "entry": entry(cidr, tag, end)});
    let jobs = [
        add("192.0.2.1", "mon-a", NOW + 60),
        add("192.0.2.1", "sshd", NOW + 60),
        add("192.0.0.0/16", "mon-a", NOW + 60),
        // A range within which one network is too wide.
        add("198.51.100.255-198.51.105.0", "mon-a", NOW + 60),
        add("192.0.2.2", "mon-a", 0),
        add("192.0.2.2", "mon-a", NOW + WEEK + 61),
        remove("192.0.2.1", Some("sshd")),
        remove("192.0.2.1", Some("untagged")),
        remove("192.0.2.1", Some("mon-a")),
    ];
    for form in ["array", "lines"] {
        let scoped = Scoped::new(limits()).await;
        let outcome = match form {
            "array" => scoped
                .send("POST", "/v1/drop/batch", &json!(jobs))
                .await
                .is(200)
                .json(),
            _ => scoped.lines(&jobs).await,
        };
        let failures = outcome["failures"].as_array().unwrap();
        let failed: Vec<u64> = failures
            .iter()
            .map(|f| f["index"].as_u64().unwrap())
            .collect();
        assert_eq!(failed, [1, 2, 3, 4, 5, 6, 7], "{form}: {outcome}");
        assert!(
            failures.iter().all(|f| f["code"] == "forbidden"),
            "{outcome}"
        );
        assert_eq!(
            (&outcome["added"], &outcome["removed"]),
            (&json!(1), &json!(1))
        );
        assert_eq!(scoped.rules(), 0);
        let other = scoped.send("POST", "/v1/ignore/batch", &json!(jobs)).await;
        assert_eq!(other.error(403, "forbidden"), ["policy"]);
        let all = scoped
            .send("POST", "/v1/drop/batch?all_owners=true", &json!([]))
            .await;
        all.error(401, "unauthorized");
    }
}

/// Claims that a client of that name made while it had no limits, and those of unknown clients.
async fn with_a_past() -> Scoped {
    let test = start();
    test.create_client("mon", Group::ClientRw);
    let old = format!("Bearer {}", test.token_of("mon"));
    for (cidr, tag) in [
        ("192.0.2.1/32", "sshd"),
        ("192.0.2.2/32", "mon-a"),
        ("192.0.2.3/32", ""),
    ] {
        let asked = test.anonymous("POST", "/v1/drop");
        let asked = asked.header("authorization", &old);
        asked.json(&entry(cidr, tag, 0)).send().await.is(201);
    }
    test.delete("/v1/client/mon").await.is(204);
    let body = json!({"name": "mon", "group": "clientrw", "limits": limits()});
    let made = test.post("/v1/client", &body).await.is(201).json();
    let bearer = bearer(&made);
    Scoped { test, bearer }
}

#[tokio::test]
async fn a_deletion_releases_claims_under_own_tags_only() {
    let scoped = with_a_past().await;
    for (path, told) in [
        ("192.0.2.1/32", "not sshd"),
        ("192.0.2.1/32?tag=sshd", "not sshd"),
        ("192.0.2.3/32", "not without a tag"),
        ("192.0.2.3/32?tag=untagged", "not without a tag"),
    ] {
        let path = format!("/v1/drop/{path}");
        let reply = scoped.send("DELETE", &path, &Value::Null).await;
        assert!(message(&reply).ends_with(told), "{path}: {reply:?}");
        assert_eq!(reply.error(403, "forbidden"), ["tag"]);
    }
    let jobs = json!([{"action": "remove", "entry": {"cidr": "192.0.2.1/32"}}]);
    let outcome = scoped.send("POST", "/v1/drop/batch", &jobs).await.json();
    assert_eq!(outcome["failures"][0]["code"], "forbidden", "{outcome}");
    assert_eq!(scoped.rules(), 3);
    scoped
        .send("DELETE", "/v1/drop/192.0.2.2/32", &Value::Null)
        .await
        .is(204);
    let ignore = scoped
        .send("DELETE", "/v1/ignore/192.0.2.2/32", &Value::Null)
        .await;
    assert_eq!(ignore.error(403, "forbidden"), ["policy"]);
    // Rules of others are not its own under any tag, as for clients without limits.
    scoped.test.add("drop", "192.0.2.9/32", Some("mon-a")).await;
    let others = scoped
        .send("DELETE", "/v1/drop/192.0.2.9/32", &Value::Null)
        .await;
    others.error(422, "processing");
    scoped
        .send("DELETE", "/v1/drop/192.0.2.99/32", &Value::Null)
        .await
        .is(404);
}

#[tokio::test]
async fn a_deletion_by_tag_is_narrowed_to_own_tags() {
    let scoped = with_a_past().await;
    for tag in ["sshd", "mon-a,sshd", "untagged"] {
        let path = format!("/v1/drop?tag={tag}");
        let reply = scoped.send("DELETE", &path, &Value::Null).await;
        assert_eq!(reply.error(403, "forbidden"), ["tag"], "{tag}");
    }
    scoped
        .send("DELETE", "/v1/ignore?tag=*", &Value::Null)
        .await
        .error(403, "forbidden");
    assert_eq!(scoped.rules(), 3);
    let removed = scoped.send("DELETE", "/v1/drop?tag=*", &Value::Null).await;
    assert_eq!(removed.is(200).json()["removed"], 1);
    assert_eq!(scoped.rules(), 2);
}

#[tokio::test]
async fn set_files_are_closed() {
    let scoped = Scoped::new(json!({"policies": ["drop"]})).await;
    let set = json!({"name": "s", "entries": ["192.0.2.0/24"]});
    scoped.test.post("/v1/sets/drop", &set).await.is(201);
    for (method, path) in [
        ("POST", "/v1/sets/drop"),
        ("PUT", "/v1/sets/drop/s"),
        ("DELETE", "/v1/sets/drop/s"),
        ("POST", "/v1/sets/reload"),
    ] {
        let reply = scoped.send(method, path, &set).await;
        assert!(message(&reply).contains("has limits"), "{reply:?}");
        reply.error(403, "forbidden");
    }
    scoped
        .send("GET", "/v1/sets/drop/s", &Value::Null)
        .await
        .is(200);
    assert_eq!(scoped.rules(), 0);
}

/// Of a client that keeps feeds.
#[tokio::test]
async fn sets_that_are_named_are_open_with_their_rules_only() {
    let limits =
        json!({"policies": ["drop"], "sets": ["feed-*"], "widest_ipv4": 16, "longest": 60});
    let scoped = Scoped::new(limits).await;
    let put = async |path: &str, list: &str| {
        let asked = scoped.test.anonymous("PUT", path);
        let asked = asked.header("authorization", &scoped.bearer);
        let asked = asked.header("content-type", "text/plain");
        asked.body(list).send().await
    };
    let list = "192.0.2.7\n2001:db8::/32\n198.51.100.7\n";
    let feed = "/v1/sets/drop/feed-tor?apply=true";
    let made = put(feed, list).await.is(201).json();
    assert_eq!(
        (&made["added"], &made["refused_count"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(scoped.rules(), 2);
    for (path, field) in [
        ("/v1/sets/drop/feed-tor", "apply"),
        ("/v1/sets/drop/feed-tor?apply=false", "apply"),
        ("/v1/sets/drop/tor?apply=true", "set"),
        ("/v1/sets/ignore/feed-tor?apply=true", "policy"),
    ] {
        let reply = put(path, list).await;
        assert_eq!(reply.error(403, "forbidden"), [field], "{path}");
        let reply = scoped.send("DELETE", path, &Value::Null).await;
        assert_eq!(reply.error(403, "forbidden"), [field], "{path}");
        let json = json!({"entries": ["192.0.2.9/32"]});
        let reply = scoped.send("PUT", path, &json).await;
        assert_eq!(reply.error(403, "forbidden"), [field], "{path}");
    }
    let reply = put(feed, "192.0.2.7\n10.0.0.0/15\n").await;
    assert!(
        message(&reply).contains("/16 at widest: 10.0.0.0/15"),
        "{reply:?}"
    );
    assert_eq!(reply.error(403, "forbidden"), ["cidr"]);
    let json = json!({"entries": ["10.0.0.0/15"]});
    scoped
        .send("PUT", feed, &json)
        .await
        .error(403, "forbidden");
    let forced = put(&format!("{feed}&force=true"), list).await;
    assert_eq!(forced.error(403, "forbidden"), ["force"]);
    let body = json!({"name": "feed-b", "entries": ["192.0.2.9/32"]});
    for path in ["/v1/sets/drop?apply=true", "/v1/sets/reload"] {
        let reply = scoped.send("POST", path, &body).await;
        reply.error(403, "forbidden");
    }
    assert_eq!(scoped.rules(), 2);
    scoped.send("DELETE", feed, &Value::Null).await.is(200);
    assert_eq!(scoped.rules(), 0);
}

#[tokio::test]
async fn guard_rails_are_not_gone_over() {
    let scoped = Scoped::new(limits()).await;
    let ban = |extra: Value| {
        let mut body = entry("198.51.100.7/32", "mon-a", NOW + 60);
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        body
    };
    for extra in [
        json!({"force": true}),
        json!({"guard": {"protect": [], "lift": ["host"]}}),
    ] {
        let reply = scoped.send("POST", "/v1/drop", &ban(extra.clone())).await;
        assert_eq!(reply.error(403, "forbidden"), ["force"], "{extra}");
        let jobs = json!([{"action": "add", "entry": ban(extra)}]);
        let outcome = scoped.send("POST", "/v1/drop/batch", &jobs).await.json();
        assert_eq!(outcome["failures"][0]["code"], "forbidden", "{outcome}");
    }
    for path in [
        "/v1/drop/192.0.2.1/32?force=true",
        "/v1/drop/192.0.2.1/32?lift=host",
        "/v1/drop?tag=mon-a&force=true",
    ] {
        let reply = scoped.send("DELETE", path, &Value::Null).await;
        assert_eq!(reply.error(403, "forbidden"), ["force"], "{path}");
    }
    // It may ask for them, and they refuse as they do for all.
    let asked = ban(json!({"guard": {"protect": []}}));
    let reply = scoped.send("POST", "/v1/drop", &asked).await;
    reply.error(422, "processing");
}

#[tokio::test]
async fn a_change_to_confirm_has_the_limits_of_any_other() {
    let scoped = Scoped::new(limits()).await;
    let send = async |body: &Value| {
        let asked = scoped.test.anonymous("POST", "/v1/drop");
        let asked = asked.header("authorization", &scoped.bearer);
        let asked = asked.header("couic-confirm-within", "60");
        asked.json(body).send().await
    };
    send(&entry("192.0.2.1/32", "sshd", NOW + 60))
        .await
        .error(403, "forbidden");
    let made = send(&entry("192.0.2.1/32", "mon-a", NOW + 600))
        .await
        .is(201);
    let id = made.headers["couic-confirm-id"].to_str().unwrap();
    let path = format!("/v1/confirm/{id}");
    scoped.send("DELETE", &path, &Value::Null).await.is(200);
    assert_eq!(scoped.rules(), 0);
    send(&entry("192.0.2.2/32", "mon-a", NOW + 600))
        .await
        .is(201);
    scoped
        .send("POST", "/v1/confirm", &Value::Null)
        .await
        .is(200);
    assert_eq!(scoped.rules(), 1);
}
