//! Why a rule is there: the detail of the metadata of the request that made it.

use couic_common::Group;
use serde_json::{Value, json};

use crate::support::{NOW, TestApi, start};

const RULE: &str = "/v1/drop/192.0.2.7/32";

/// Renews the rule, as a client of this group and under its tag.
async fn renew(test: &TestApi, group: Group, expiration: u64, detail: Option<&str>) -> Value {
    let tag = group.as_str();
    let mut entry = json!({"cidr": "192.0.2.7/32", "tag": tag, "expiration": expiration});
    if let Some(detail) = detail {
        entry["metadata"] = json!({"kind": "fail2ban", "detail": detail});
    }
    let jobs = json!([{"action": "add", "entry": entry}]);
    let asked = test.as_group(group, "POST", "/v1/drop/batch").json(&jobs);
    asked.send().await.is(200).json()
}

#[tokio::test]
async fn the_detail_of_metadata_is_shown_wherever_the_rule_is() {
    let test = start();
    let detail = "sshd: 5 \"failures\"\u{1b}[2J\\";
    let shown = "sshd: 5 \"failures\"?[2J\\";
    let body = json!({
        "cidr": "192.0.2.7/32", "expiration": 0, "metadata": {"kind": "fail2ban", "detail": detail},
    });
    let made = test.post("/v1/drop", &body).await.is(201).json();
    assert_eq!(made["reason"], shown);
    let lookup = test.get("/v1/lookup/192.0.2.7").await.is(200).json();
    assert_eq!(lookup["decided_by"]["reason"], shown);
    assert_eq!(lookup["decided_by"]["owners"][0]["reason"], shown);
    assert_eq!(test.get(RULE).await.is(200).json()["reason"], shown);
    let list = test.get("/v1/drop?owners=true").await.is(200).json();
    assert_eq!(list[0]["reason"], shown);
    // None is given, or one that is blank.
    for metadata in [json!(null), json!({"kind": "k", "detail": " \n"})] {
        let body = json!({"cidr": "192.0.2.8/32", "expiration": 0, "metadata": metadata});
        let made = test.post("/v1/drop", &body).await.is(201);
        assert!(made.json().get("reason").is_none());
        test.delete("/v1/drop/192.0.2.8/32").await.is(204);
    }
}

#[tokio::test]
async fn a_long_reason_is_cut_where_it_is_stored() {
    let test = start();
    let detail = "é".repeat(300);
    let body = json!({
        "cidr": "192.0.2.7/32", "expiration": 0, "metadata": {"kind": "k", "detail": detail},
    });
    let made = test.post("/v1/drop", &body).await.is(201).json();
    assert_eq!(made["reason"], "é".repeat(100));
}

#[tokio::test]
async fn a_renewal_keeps_the_reason_unless_it_gives_another() {
    let test = start();
    let reason = || async { test.get(RULE).await.is(200).json()["reason"].clone() };
    renew(&test, Group::ClientRw, NOW + 60, Some("sshd")).await;
    renew(&test, Group::ClientRw, NOW + 90, None).await;
    assert_eq!(reason().await, "sshd");
    let outcome = renew(&test, Group::ClientRw, NOW + 90, Some("postfix")).await;
    assert_eq!(
        (outcome["updated"].clone(), reason().await),
        (json!(1), json!("postfix"))
    );
    let outcome = renew(&test, Group::ClientRw, NOW + 90, Some("postfix")).await;
    assert_eq!(outcome["unchanged"], 1);
    // The claim that is shown first is the last one of a client.
    renew(&test, Group::Admin, 0, None).await;
    let entry = test
        .get(&format!("{RULE}?owners=true"))
        .await
        .is(200)
        .json();
    assert!(entry.get("reason").is_none());
    assert_eq!(entry["owners"][1]["reason"], "postfix");
    // A header has no room for reasons, and takes only ASCII.
    let left = test.as_group(Group::Admin, "DELETE", RULE).send().await;
    let held_by = left.is(204).headers["couic-held-by"].clone();
    assert!(!held_by.to_str().unwrap().contains("postfix"));
    assert_eq!(reason().await, "postfix");
}

#[tokio::test]
async fn plain_jobs_of_a_peer_have_reasons_too() {
    let test = start();
    let jobs = json!([{"action": "add", "entry": {
        "cidr": "192.0.2.7/32", "expiration": 0, "metadata": {"kind": "couic", "detail": "sshd"},
    }}]);
    let asked = test
        .as_group(Group::Peering, "POST", "/v1/drop/peer")
        .json(&jobs);
    asked.send().await.is(201);
    assert_eq!(test.get(RULE).await.is(200).json()["reason"], "sshd");
}

#[tokio::test]
async fn a_deletion_tells_its_reason_to_reports() {
    let test = start();
    let events = test.api.firewall.subscribe(10);
    for cidr in ["192.0.2.7/32", "192.0.2.8/32"] {
        let body = json!({"cidr": cidr, "expiration": 0, "tag": "t", "metadata": {"kind": "k", "detail": "sshd"}});
        test.post("/v1/drop", &body).await.is(201);
    }
    test.delete(&format!("{RULE}?reason=a%20false%20positive"))
        .await
        .is(204);
    test.delete("/v1/drop?tag=t&reason=the%20jail%20is%20gone")
        .await
        .is(200);
    let received = events.recv_timeout(std::time::Duration::ZERO);
    let told: Vec<(String, String)> = received
        .events
        .iter()
        .map(|event| {
            let detail = event.origin.metadata.as_ref().unwrap().detail.clone();
            (detail, event.entry.reason.as_ref().unwrap().to_string())
        })
        .collect();
    let expected = [
        ("sshd", "sshd"),
        ("sshd", "sshd"),
        ("a false positive", "sshd"),
        ("the jail is gone", "sshd"),
    ];
    let expected = expected.map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(told, expected);
}
