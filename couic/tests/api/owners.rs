//! Claims of several clients on one rule: who ends what, and what the answers say.

use couic_common::Group;
use serde_json::{Value, json};

use crate::support::{NOW, Reply, TestApi, start};

const RULE: &str = "/v1/drop/192.0.2.7/32";

/// Renews the rule as a client of this group, whose name is that of the group.
async fn renew(test: &TestApi, group: Group, tag: &str, expiration: u64) -> Value {
    let entry = json!({"cidr": "192.0.2.7/32", "tag": tag, "expiration": expiration});
    let jobs = json!([{"action": "add", "entry": entry}]);
    let asked = test.as_group(group, "POST", "/v1/drop/batch").json(&jobs);
    let reply = asked.send().await.is(200).json();
    assert_eq!(reply["failed"], 0, "{reply}");
    reply
}

async fn delete(test: &TestApi, group: Group, query: &str) -> Reply {
    let path = format!("{RULE}{query}");
    test.as_group(group, "DELETE", &path).send().await
}

/// Owners, as `kind name tag expiration`.
fn owners(entry: &Value) -> Vec<String> {
    let all = entry["owners"].as_array().cloned().unwrap_or_default();
    let text = |o: &Value| {
        let of = |key: &str| o[key].as_str().unwrap_or("-").to_owned();
        let expiration = o["expiration"].as_u64().unwrap();
        format!("{} {} {} {expiration}", of("kind"), of("name"), of("tag"))
    };
    all.iter().map(text).collect()
}

fn held_by(reply: &Reply) -> Vec<String> {
    let header = reply.headers.get("couic-held-by");
    let list = header.map_or(json!([]), |value| {
        serde_json::from_slice(value.as_bytes()).unwrap()
    });
    owners(&json!({"owners": list}))
}

fn message(reply: &Reply) -> String {
    reply.json()["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn one_client_sees_what_couic_1_showed() {
    let test = start();
    let body = json!({"cidr": "192.0.2.7/32", "expiration": NOW + 60, "tag": "ssh"});
    let entry = format!(
        r#"{{"creation":{NOW},"cidr":"192.0.2.7/32","tag":"ssh","expiration":{}}}"#,
        NOW + 60
    );
    let made = test.post("/v1/drop", &body).await.is(201);
    assert_eq!(made.body, entry.as_bytes());
    test.post("/v1/drop", &body).await.error(409, "conflict");
    assert_eq!(test.get(RULE).await.is(200).body, entry.as_bytes());
    let list = format!("[{entry}]");
    assert_eq!(test.get("/v1/drop").await.is(200).body, list.as_bytes());
    let gone = test.delete(RULE).await.is(204);
    assert!(gone.body.is_empty() && !gone.headers.contains_key("couic-held-by"));
    test.delete(RULE).await.error(404, "not_found");
    // Another client's is refused as before, and adds no claim.
    test.add("drop", "192.0.2.7/32", None).await;
    let asked = test.as_group(Group::ClientRw, "POST", "/v1/drop");
    asked.json(&body).send().await.error(409, "conflict");
    test.delete(RULE).await.is(204);
    test.get(RULE).await.error(404, "not_found");
}

#[tokio::test]
async fn two_jails_with_one_token_do_not_end_each_others_bans() {
    let test = start();
    renew(&test, Group::ClientRw, "long", NOW + 3_600).await;
    let outcome = renew(&test, Group::ClientRw, "sshd", NOW + 3).await;
    assert_eq!(outcome["updated"], 1);
    let entry = test.get(RULE).await.is(200).json();
    assert_eq!(
        entry["expiration"],
        NOW + 3_600,
        "when the rule really ends"
    );
    test.clock.advance(3);
    let unban = delete(&test, Group::ClientRw, "?tag=sshd").await;
    let text = message(&unban);
    assert!(text.contains("no claim with the tag sshd"), "{text}");
    assert!(
        text.contains("client clientrw (tag long) for 59m"),
        "{text}"
    );
    unban.error(404, "not_found");
    assert_eq!(test.plane.rules().len(), 1);
    let last = delete(&test, Group::ClientRw, "?tag=long").await.is(204);
    assert_eq!(held_by(&last), [""; 0]);
    assert!(test.plane.rules().is_empty());
}

#[tokio::test]
async fn an_answer_names_who_still_holds_the_rule_and_until_when() {
    let test = start();
    renew(&test, Group::ClientRw, "a", NOW + 600).await;
    renew(&test, Group::Admin, "b", NOW + 60).await;
    renew(&test, Group::Admin, "", 0).await;
    let entry = test
        .get(&format!("{RULE}?owners=true"))
        .await
        .is(200)
        .json();
    let all = [
        "client admin - 0".to_owned(),
        format!("client admin b {}", NOW + 60),
        format!("client clientrw a {}", NOW + 600),
    ];
    assert_eq!(
        (owners(&entry), &entry["expiration"]),
        (all.to_vec(), &json!(0))
    );
    let list = test.get("/v1/drop?owners=true").await.is(200).json();
    assert_eq!(list, json!([entry]));
    let lookup = test.get("/v1/lookup/192.0.2.7").await.is(200).json();
    assert_eq!(owners(&lookup["decided_by"]), all);
    assert!(
        test.get(RULE).await.json().get("owners").is_none(),
        "as in Couic 1.0"
    );

    let released = delete(&test, Group::Admin, "?tag=untagged").await.is(204);
    assert_eq!(held_by(&released), all[1..]);
    let released = delete(&test, Group::Admin, "").await.is(204);
    assert_eq!(held_by(&released), all[2..]);
    let refused = delete(&test, Group::Admin, "").await;
    let text = message(&refused);
    for part in [
        "client clientrw (tag a) for 10m",
        "stays in force",
        "?all_owners=true",
    ] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(refused.error(422, "processing"), ["cidr"]);
}

#[tokio::test]
async fn only_an_admin_ends_the_claims_of_all_owners() {
    let test = start();
    renew(&test, Group::Admin, "", 0).await;
    renew(&test, Group::ClientRw, "", 0).await;
    let batch = "/v1/drop/batch?all_owners=true";
    let remove = json!([{"action": "remove", "entry": {"cidr": "192.0.2.7/32"}}]);
    for reply in [
        delete(&test, Group::ClientRw, "?all_owners=true").await,
        (test.as_group(Group::ClientRw, "DELETE", "/v1/drop?tag=*&all_owners=true"))
            .send()
            .await,
        (test.as_group(Group::ClientRw, "POST", batch))
            .json(&remove)
            .send()
            .await,
    ] {
        assert!(message(&reply).contains("group admin"), "{reply:?}");
        reply.error(401, "unauthorized");
    }
    delete(&test, Group::Admin, "?all_owners=yes")
        .await
        .error(400, "bad_request");
    assert_eq!(test.plane.rules().len(), 1);
    delete(&test, Group::Admin, "?all_owners=true")
        .await
        .is(204);
    assert!(test.plane.rules().is_empty());
    renew(&test, Group::ClientRw, "", 0).await;
    let outcome = test.post(batch, &remove).await.is(200).json();
    assert_eq!(outcome["removed"], 1);
    // A set's claim is named as staying.
    let set = json!({"name": "office", "entries": ["192.0.2.7/32"]});
    test.post("/v1/sets/drop", &set).await.is(201);
    test.ask("POST", "/v1/sets/reload").send().await.is(201);
    renew(&test, Group::ClientRw, "", 0).await;
    let released = delete(&test, Group::Admin, "?all_owners=true")
        .await
        .is(204);
    assert_eq!(held_by(&released), ["set office office.couic 0"]);
}

#[tokio::test]
async fn batches_and_tags_release_own_claims_and_count_what_stays() {
    let test = start();
    renew(&test, Group::Admin, "x", 0).await;
    renew(&test, Group::ClientRw, "x", 0).await;
    renew(&test, Group::ClientRw, "y", 0).await;
    let remove = |tag: &str| json!([{"action": "remove", "entry": {"cidr": "192.0.2.7/32", "tag": tag, "expiration": 5}}]);
    let counts = |reply: &Value| {
        ["removed", "released", "unchanged", "failed"].map(|key| reply[key].as_u64().unwrap_or(0))
    };
    let admin = test
        .post("/v1/drop/batch", &remove("x"))
        .await
        .is(200)
        .json();
    assert_eq!(counts(&admin), [0, 1, 0, 0]);
    let again = test
        .post("/v1/drop/batch", &remove("x"))
        .await
        .is(200)
        .json();
    assert_eq!(
        counts(&again),
        [0, 0, 1, 0],
        "there is no such claim any more"
    );
    let plain = test
        .post("/v1/drop/batch", &remove(""))
        .await
        .is(200)
        .json();
    assert_eq!(counts(&plain), [0, 0, 0, 1]);
    let text = plain["failures"][0]["message"].as_str().unwrap();
    assert!(text.contains("held by client clientrw (tag y)"), "{text}");
    let by_tag = test.delete("/v1/drop?tag=*").await.is(200);
    assert_eq!(
        by_tag.json(),
        json!({"removed": 0}),
        "the field is as in before"
    );
    let asked = test.as_group(Group::ClientRw, "DELETE", "/v1/drop?tag=x");
    let released = asked.send().await.is(200).json();
    assert_eq!(released, json!({"removed": 0, "released": 1}));
    let asked = test.as_group(Group::ClientRw, "DELETE", "/v1/drop?tag=x,y");
    assert_eq!(asked.send().await.is(200).json(), json!({"removed": 1}));
    assert!(test.plane.rules().is_empty());
}

#[tokio::test]
async fn undoing_a_change_gives_each_owner_its_claim_back() {
    let test = start();
    renew(&test, Group::Admin, "x", 0).await;
    renew(&test, Group::ClientRw, "x", NOW + 600).await;
    renew(&test, Group::ClientRw, "y", NOW + 700).await;
    let path = format!("{RULE}?owners=true");
    let sorted = |entry: Value| {
        let mut owners = owners(&entry);
        owners.sort();
        owners
    };
    let before = sorted(test.get(&path).await.json());
    let all = format!("{RULE}?all_owners=true");
    let asked = test
        .ask("DELETE", &all)
        .header("couic-confirm-within", "60");
    asked.send().await.is(204);
    assert!(test.plane.rules().is_empty());
    test.clock.advance(61);
    test.api.confirmations.undo_due();
    assert_eq!(sorted(test.get(&path).await.json()), before);
    // And by tag, of one client.
    let asked = test.as_group(Group::ClientRw, "DELETE", "/v1/drop?tag=*");
    let asked = asked.header("couic-confirm-within", "60");
    assert_eq!(
        asked.send().await.is(200).json(),
        json!({"removed": 0, "released": 1})
    );
    assert_eq!(sorted(test.get(&path).await.json()), ["client admin x 0"]);
    test.clock.advance(61);
    test.api.confirmations.undo_due();
    assert_eq!(sorted(test.get(&path).await.json()), before);
}

#[tokio::test]
async fn longer_renews_and_never_shortens() {
    let test = start();
    let longer = |expiration: u64| json!({"cidr": "192.0.2.7/32", "tag": "a", "expiration": expiration, "longer": true});
    let batch = async |expiration: u64| {
        let jobs = json!([{"action": "add", "entry": longer(expiration)}]);
        let outcome = test.post("/v1/drop/batch", &jobs).await.is(200).json();
        let count = |key: &str| outcome[key].as_u64().unwrap();
        (count("added"), count("updated"), count("unchanged"))
    };
    assert_eq!(batch(NOW + 600).await, (1, 0, 0));
    assert_eq!(batch(NOW + 60).await, (0, 0, 1));
    assert_eq!(batch(NOW + 900).await, (0, 1, 0));
    // One alone is renewed as well, in place of a 409, and shown as it is now.
    let shown = test
        .post("/v1/drop", &longer(NOW + 60))
        .await
        .is(201)
        .json();
    assert_eq!(shown["expiration"], NOW + 900);
    let shown = test.post("/v1/drop", &longer(0)).await.is(201).json();
    assert_eq!(shown["expiration"], 0);
    assert_eq!(batch(NOW + 900).await, (0, 0, 1));
    // Without it a renewal shortens, as ever.
    renew(&test, Group::Admin, "a", NOW + 60).await;
    assert_eq!(test.get(RULE).await.is(200).json()["expiration"], NOW + 60);
    // What is past is refused, whatever is there.
    test.post("/v1/drop", &longer(NOW))
        .await
        .error(422, "invalid");
}

/// It cannot take away what an operator's address passes by.
#[tokio::test]
async fn a_protection_may_be_extended_by_less_than_it_lasts() {
    let test = start();
    let entry = |longer: bool, expiration: u64| json!({"cidr": "198.51.100.9/32", "expiration": expiration, "longer": longer, "guard": {"protect": ["198.51.100.9"]}});
    test.post("/v1/ignore", &entry(false, 0)).await.is(201);
    let drop = json!({"cidr": "198.51.100.0/24", "expiration": 0});
    test.post("/v1/drop", &drop).await.is(201);
    let jobs = |longer| json!([{"action": "add", "entry": entry(longer, NOW + 60)}]);
    let failed = async |longer| {
        let outcome = test.post("/v1/ignore/batch", &jobs(longer)).await;
        outcome.is(200).json()["failed"].as_u64().unwrap()
    };
    assert_eq!((failed(false).await, failed(true).await), (1, 0));
    test.post("/v1/ignore", &entry(true, NOW + 60))
        .await
        .is(201);
}
