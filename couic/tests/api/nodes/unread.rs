//! Answers with registers that nobody reads.

use std::{io::Write, os::unix::net::UnixStream, sync::Mutex};

use couic_common::{Policy, Tag};
use couic_firewall::rules::{Actor, ClaimRequest, Job};
use couic_testkit::{Api, At};
use serde_json::json;

use super::{Node, cidr, until};

#[tokio::test(flavor = "multi_thread")]
async fn unread_answers_with_rules_are_few_for_each_client() {
    let node = Node::new(&["evil", "honest"]);
    // A page that no socket buffers.
    let job = |n| {
        let rule = ClaimRequest {
            cidr: cidr(n),
            tag: Tag::parse(&"t".repeat(60)).unwrap(),
            expiration: 0,
        };
        Job::Add(rule, None)
    };
    let actor = Actor::Client("c".parse().unwrap());
    let jobs = (0..4_000).map(job).collect();
    node.firewall().apply(Policy::Drop, jobs, &actor);
    node.test.api.peering.as_ref().unwrap().scan();
    let wall = u64::try_from(couic_common::unix_time().as_millis()).unwrap();
    let from = json!({"node": "000000aa00000001", "wall": wall, "protocol": 2});
    let body = json!({"from": from, "leaves": [[0, 65_535]]}).to_string();
    let token = |name: &str| node.test.token_of(name).to_string();
    let head = format!(
        "Authorization: Bearer {}\r\nContent-Type: application/json\r\n",
        token("evil")
    );
    let request = couic_testkit::request("POST", "/v1/drop/pull", &head, &body);
    let held = Mutex::new(Vec::new());
    let hold = || {
        let mut stream = UnixStream::connect(&node.socket).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        held.lock().unwrap().push(stream);
    };
    (0..50).for_each(|_| hold());
    let ask = |name: &str| {
        let api = Api::new(At::Unix(node.socket.clone()), Some(&token(name)));
        api.request("POST", "/v1/drop/pull", Some(&body)).status
    };
    // One more each time: an answer that is read has a place, too, which may have been the last.
    until("it has its share of them", || {
        hold();
        ask("evil") == 503
    });
    assert_eq!(ask("honest"), 200, "another has its own");
    drop(held);
    until("they are gone with their connections", || {
        ask("evil") == 200
    });
}
