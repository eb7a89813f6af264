//! Event streams on the wire: when they come, when they end, and what they cost.

use std::time::{Duration, Instant};

use couic::api::ServeSettings;
use couic_common::Group;
use couic_testkit::Connection;
use serde_json::{Value, json};

use super::{LONG, Running, run, until};

/// A stream and what it has said so far.
struct Following {
    connection: Connection,
    text: String,
}

impl Running {
    fn follow(&self, query: &str, more: &str) -> Following {
        let token = self.test.token(Group::Admin).to_string();
        self.follow_as(&token, query, more)
    }

    fn follow_as(&self, token: &str, query: &str, more: &str) -> Following {
        let mut connection = self.connect();
        connection.send(format!(
            "GET /v1/events{query} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n{more}\r\n"
        ));
        let (status, head) = connection.head();
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert!(head.contains("cache-control: no-store"), "{head}");
        let mut following = Following {
            connection,
            text: String::new(),
        };
        following.until("\nid: ");
        following
    }
}

impl Following {
    /// Reads on until it has said that.
    fn until(&mut self, words: &str) -> &str {
        while !self.text.contains(words) {
            let all = self.connection.receive().unwrap();
            assert!(!all.is_empty(), "ended after {}", self.text);
            self.text = String::from_utf8_lossy(all).into_owned();
        }
        &self.text
    }

    /// Whether it ends as a body ends.
    fn ends(mut self) -> bool {
        self.until("\r\n0\r\n\r\n");
        true
    }

    fn last_id(&self) -> String {
        let lines = self.text.lines();
        let mut ids = lines.filter_map(|line| line.strip_prefix("id: "));
        ids.next_back().unwrap().to_owned()
    }

    fn changes(&self) -> Vec<Value> {
        let data = self.text.lines().filter_map(|l| l.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }
}

#[test]
fn changes_come_as_they_happen_and_a_stream_resumes() {
    let server = run(ServeSettings::default());
    let mut all = server.follow("", "");
    let mut of_ignore = server.follow("?policy=ignore&tag=web*", "");
    let mut client = server.connect();
    assert_eq!(client.ask(server.add("192.0.2.0/24")).status, 201);
    all.until("192.0.2.0/24");
    let body = json!({"cidr": "198.51.100.7/32", "expiration": crate::support::NOW + 60, "tag": "web-1",
        "metadata": {"kind": "x", "detail": "5 failures"}});
    let post = server.post("/v1/ignore", &body.to_string());
    assert_eq!(client.ask(post).status, 201);
    of_ignore.until("198.51.100.7");
    let changes = of_ignore.changes();
    assert_eq!(changes.len(), 1, "{changes:?}");
    let now = crate::support::NOW;
    let owner = json!({"kind": "client", "name": "admin"});
    let expected = json!({"at": now, "action": "added", "policy": "ignore", "cidr": "198.51.100.7/32",
        "tag": "web-1", "expiration": now + 60, "creation": now, "reason": "5 failures",
        "owner": owner, "actor": owner});
    assert_eq!(changes[0], expected);
    all.until("198.51.100.7");
    let id = all.last_id();
    drop(all);
    // Time does its part, too.
    server.test.clock.set(now + 61);
    assert_eq!(server.test.api.firewall.expire_due(), 1);
    for more in [
        server.follow("", &format!("last-event-id: {id}\r\n")),
        server.follow(&format!("?after={id}"), ""),
        // The header is the newer one.
        server.follow(
            "?after=0000000000000000-0",
            &format!("last-event-id: {id}\r\n"),
        ),
    ] {
        let mut more = more;
        more.until("removed");
        let changes = more.changes();
        assert_eq!(changes.len(), 1, "{}", more.text);
        assert_eq!(changes[0]["actor"], json!({"kind": "expiry"}));
        assert_eq!(changes[0]["owner"], owner);
    }
    let mut other = server.follow("?after=0000000000000000-1", "");
    other.until("removed");
    assert!(other.text.contains("event: gap\nid: "), "{}", other.text);
    assert_eq!(other.changes()[0], json!({"missed": null}));
    assert_eq!(other.changes().len(), 4, "{}", other.text);
}

#[test]
fn a_stream_ends_soon_after_its_token() {
    let server = run(ServeSettings::default());
    let name = "leaving".parse().unwrap();
    server.test.create_client("leaving", Group::ClientRo);
    let token = server.test.token_of("leaving").to_string();
    let deleted = server.follow_as(&token, "", "");
    server.test.api.clients.delete(&name).unwrap();
    assert!(deleted.ends());
    server.test.create_client("leaving", Group::ClientRo);
    let token = server.test.token_of("leaving").to_string();
    let rotated = server.follow_as(&token, "", "");
    let now = crate::support::NOW;
    server
        .test
        .api
        .clients
        .rotate(&name, Duration::ZERO, now)
        .unwrap();
    assert!(rotated.ends());
}

/// The deadline for requests in progress is not for streams: none of them holds up a restart.
#[test]
fn shutdown_ends_streams_at_once_even_those_that_are_not_read() {
    let mut server = run(ServeSettings {
        drain: 2 * LONG,
        ..ServeSettings::default()
    });
    let read = server.follow("", "");
    let unread = server.follow("", "");
    let mut client = server.connect();
    flood(&server, &mut client, 20_000);
    until("the reader is held up", LONG, || {
        let text = server.metric("couic_event_streams");
        (text == 2).then_some(())
    });
    let begun = Instant::now();
    server.signal();
    assert!(read.ends());
    let summary = server.ended();
    assert_eq!(summary.aborted, 0);
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    drop(unread);
}

impl Running {
    fn metric(&self, name: &str) -> u64 {
        let answer = self
            .connect()
            .ask(self.head("GET", "/v1/metrics?format=prometheus", ""));
        let mut lines = answer.body.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap().parse().unwrap()
    }
}

/// Adds so many rules.
fn flood(server: &Running, client: &mut Connection, count: u32) {
    let lines: String = (0..count)
        .map(|n| {
            let [_, b, c, d] = n.to_be_bytes();
            format!("{{\"action\":\"add\",\"entry\":{{\"cidr\":\"10.{b}.{c}.{d}/32\",\"tag\":\"flood\"}}}}\n")
        })
        .collect();
    let more = format!(
        "content-type: application/x-ndjson\r\ncontent-length: {}\r\n",
        lines.len()
    );
    let answer = client.ask(server.head("POST", "/v1/drop/batch", &more) + &lines);
    assert_eq!(answer.json()["added"], count);
}

#[test]
fn a_reader_that_stops_reading_is_overtaken_and_told_and_then_cut_off() {
    let server = run(ServeSettings {
        write: Duration::from_secs(1),
        ..ServeSettings::default()
    });
    let mut slow = server.follow("", "");
    let gone = server.follow("", "");
    let mut client = server.connect();
    flood(&server, &mut client, 80_000);
    // One that reads again within the time goes on; the other is cut off.
    until("the reader has the last", LONG, || {
        slow.until("10.1.56.127/32").len().checked_sub(1).map(drop)
    });
    assert!(slow.text.contains("event: gap\n"), "no gap");
    let missed: u64 = slow
        .changes()
        .iter()
        .filter_map(|c| c["missed"].as_u64())
        .sum();
    let had = slow
        .changes()
        .iter()
        .filter(|c| c["action"] == "added")
        .count();
    assert_eq!(missed + had as u64, 80_000);
    assert!(server.metric("couic_event_gaps_total") >= 1);
    until("the other is cut off", LONG, || {
        (server.metric("couic_event_streams") == 1).then_some(())
    });
    drop(gone);
}

/// A pipelined request waits for a stream, which goes on nevertheless.
#[test]
fn a_request_behind_a_stream_does_not_hold_it_up() {
    let server = run(ServeSettings::default());
    let mut both = server.connect();
    both.send(server.head("GET", "/v1/events", "") + &server.head("GET", "/v1/stats", ""));
    let (status, _) = both.head();
    assert_eq!(status, 200);
    assert_eq!(server.connect().ask(server.add("192.0.2.0/24")).status, 201);
    let mut following = Following {
        connection: both,
        text: String::new(),
    };
    following.until("192.0.2.0/24");
}
