//! A Couic 1.0 node, which knows plain jobs only.

use std::sync::{Arc, Mutex};

use couic_client::Token;
use couic_common::PeerState;
use couic_firewall::rules::SystemClock;
use couic_testkit::{Reply, StandIn};
use serde_json::json;

use super::{Node, cidr, client, until};

/// A Couic 1.0 node: accepts plain jobs only, and refuses a whole request for a single conflict.
fn old_node(rules: Arc<Mutex<Vec<(String, u64)>>>) -> StandIn {
    let error = |status, code| {
        let body = json!({"code": code, "message": "no", "errors": {}});
        Reply::json(status, body.to_string())
    };
    StandIn::unix(move |request| {
        if request.line() != "POST /v1/drop/peer" {
            return error(404, "not_found");
        }
        let jobs = request.json();
        let mut rules = rules.lock().unwrap();
        for job in jobs.as_array().unwrap() {
            let cidr = job["entry"]["cidr"].as_str().unwrap();
            let there = rules.iter().position(|(c, _)| c == cidr);
            match (job["action"].as_str(), there) {
                (Some("add"), None) => {
                    let until = job["entry"]["expiration"].as_u64().unwrap();
                    rules.push((cidr.to_owned(), until));
                }
                (Some("remove"), Some(at)) => {
                    rules.remove(at);
                }
                _ => return error(409, "conflict"),
            }
        }
        Reply::json(201, jobs.to_string())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_couic_1_node_receives_plain_jobs() {
    let mut node = Node::new(&["old"]);
    node.add(0..50);
    let rules = Arc::<Mutex<Vec<(String, u64)>>>::default();
    // One of them exists already.
    rules.lock().unwrap().push((cidr(7).to_string(), 0));
    let token: Token = "00000000-0000-0000-0000-000000000000".parse().unwrap();
    let old = old_node(Arc::clone(&rules));
    node.talk_to(vec![client(&old.socket, token)]);
    let count = || rules.lock().unwrap().len();
    until("it has all existing rules", || count() == 50);
    assert_eq!(node.peer(0).state, PeerState::Plain);
    node.add(50..60);
    until("it has the added rules, too", || count() == 60);
    node.test.delete("/v1/drop/10.0.0.3/32").await.is(204);
    until("the deleted rule is gone", || count() == 59);
    // Renewals are sent, too.
    let until_then = couic_firewall::rules::Clock::now(&SystemClock) + 1_000;
    let renewed =
        json!([{"action": "add", "entry": {"cidr": "10.0.0.4/32", "expiration": until_then}}]);
    node.test.post("/v1/drop/batch", &renewed).await.is(200);
    until("the renewed rule has its expiration", || {
        let rules = rules.lock().unwrap();
        rules.contains(&("10.0.0.4/32".to_owned(), until_then))
    });
    assert_eq!(count(), 59);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_peering_is_no_couic_1_and_receives_nothing() {
    let mut node = Node::new(&["later"]);
    node.add(0..50);
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&asked);
    let later = StandIn::unix(move |request| {
        seen.lock().unwrap().push(request.line());
        let body = json!({"code": "peering_off", "message": "no", "errors": {}});
        Reply::json(404, body.to_string())
    });
    let token: Token = "00000000-0000-0000-0000-000000000000".parse().unwrap();
    node.talk_to(vec![client(&later.socket, token)]);
    until("it is asked again and again", || {
        asked.lock().unwrap().len() > 3
    });
    let peer = node.peer(0);
    assert_eq!(peer.state, PeerState::NotEnabled);
    let problem = peer.last_error.unwrap().message;
    assert!(
        problem.starts_with("peering is not enabled there"),
        "{problem}"
    );
    let asked = asked.lock().unwrap();
    assert!(
        asked.iter().all(|line| line == "POST /v1/drop/digest"),
        "{asked:?}"
    );
}
