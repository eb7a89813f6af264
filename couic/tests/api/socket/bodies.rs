//! Request bodies: too large, unauthorized, with 100-continue, chunked, truncated.

use couic::api::ServeSettings;
use serde_json::json;

use super::run;

#[test]
fn bodies_of_100_mb_are_413_even_if_the_client_writes_before_reading() {
    let server = run(ServeSettings::default());
    let announced = server.head(
        "POST",
        "/v1/drop",
        "content-type: application/json\r\ncontent-length: 104857600\r\n",
    );
    let chunked = server.head(
        "POST",
        "/v1/drop",
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n",
    );
    for (head, chunk) in [
        (announced, vec![b' '; 1 << 20]),
        (chunked, {
            let mut chunk = b"100000\r\n".to_vec();
            chunk.extend(std::iter::repeat_n(b' ', 1 << 20));
            chunk.extend(b"\r\n");
            chunk
        }),
    ] {
        let mut client = server.connect();
        client.send(head);
        for mib in 0..100 {
            // The server drains the body for some seconds, so that the client gets to read the error.
            let sent = client.try_send(&chunk);
            assert!(sent.is_ok() || mib > 24, "cut off after {mib} MiB");
        }
        let answer = client.answer();
        assert_eq!(answer.status, 413);
        assert_eq!(answer.json()["code"], "bad_request");
        assert!(
            answer.header("connection") == Some("close"),
            "{}",
            answer.head
        );
        assert!(client.is_closed());
    }
    // With a Content-Length, the body is refused before it is sent.
    let mut client = server.connect();
    let head = server.head(
        "POST",
        "/v1/drop",
        "content-type: application/json\r\ncontent-length: 104857600\r\n",
    );
    assert_eq!(client.ask(head).status, 413);
}

#[test]
fn a_big_body_without_a_token_is_401_and_the_client_can_read_it() {
    let server = run(ServeSettings::default());
    let mut client = server.connect();
    client.send("POST /v1/drop HTTP/1.1\r\nhost: x\r\ncontent-length: 8388608\r\n\r\n");
    for _ in 0..8 {
        client.send(vec![b' '; 1 << 20]);
    }
    assert_eq!(client.answer().status, 401);
}

#[test]
fn expect_100_continue_gets_it_or_the_error_at_once() {
    let server = run(ServeSettings::default());
    let body = json!({"cidr": "1.0.0.0/8", "expiration": 0}).to_string();
    let more = format!(
        "content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {}\r\n",
        body.len()
    );
    let mut client = server.connect();
    client.send(server.head("POST", "/v1/drop", &more));
    assert_eq!(client.head().0, 100);
    assert_eq!(client.ask(&body).status, 201);
    let mut client = server.connect();
    assert_eq!(
        client.ask(server.head("POST", "/v1/DROP", &more)).status,
        400
    );
}

#[test]
fn a_batch_takes_effect_while_it_is_received() {
    let server = run(ServeSettings::default());
    let mut client = server.connect();
    let more = "content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n";
    client.send(server.head("POST", "/v1/drop/batch", more));
    for i in 0..1024_u32 {
        let line = format!(
            "{{\"action\":\"add\",\"entry\":{{\"cidr\":\"10.0.{}.{}/32\"}}}}\n",
            i >> 8,
            i & 255
        );
        // Chunks that end in the middle of lines.
        let (a, b) = line.split_at(20);
        client.send(format!("{:x}\r\n{a}\r\n{:x}\r\n{b}\r\n", a.len(), b.len()));
    }
    server.until_rules(1024);
    let answer = client.ask("0\r\n\r\n");
    assert_eq!(
        (answer.status, &answer.json()["added"]),
        (200, &json!(1024))
    );
}

#[test]
fn a_batch_that_breaks_off_answers_with_what_was_done() {
    let server = run(ServeSettings::default());
    let mut client = server.connect();
    let more = "content-type: application/x-ndjson\r\ncontent-length: 100000\r\n";
    client.send(server.head("POST", "/v1/drop/batch", more));
    let job = |cidr: &str| json!({"action": "add", "entry": {"cidr": cidr}}).to_string() + "\n";
    let half = "{\"action\":\"add\",\"entry\":{\"cid";
    client.send(job("1.0.0.0/8") + &job("bad") + &job("2.0.0.0/8") + half);
    client.shutdown();
    let answer = client.answer();
    assert_eq!(answer.status, 400, "{}", answer.head);
    let json = answer.json();
    let message = json["message"].as_str().unwrap();
    assert!(
        message.contains("3 jobs came before that and stay applied (2 added, 0 updated, 0 unchanged, 0 removed, 1 failed)"),
        "{message}"
    );
    assert_eq!(
        (
            &json["outcome"]["added"],
            &json["outcome"]["failures"][0]["index"]
        ),
        (&json!(2), &json!(1))
    );
    assert_eq!(server.rules(), 2);
}

/// As Python's http.client does: the head, then the body in a write of its own, long after the answer was made.
#[test]
fn a_small_body_that_comes_after_the_refusal_fails_no_write() {
    let server = run(ServeSettings::default());
    let refused = "POST /v1/drop HTTP/1.1\r\nhost: x\r\ncontent-length: 40\r\n\r\n".to_owned();
    let unknown = server.head("PUT", "/v1/drop/nothing", "content-length: 40\r\n");
    for (head, status) in [(refused, 401), (unknown, 404)] {
        for _ in 0..20 {
            let mut client = server.connect();
            client.send(&head);
            let answer = client.answer();
            assert_eq!(answer.status, status);
            for _ in 0..2 {
                client
                    .try_send([b' '; 20])
                    .expect("the connection is still there");
            }
        }
    }
}

#[test]
fn jobs_applied_before_a_batch_breaks_off_stay() {
    let server = run(ServeSettings::default());
    let mut client = server.connect();
    let more = "content-type: application/x-ndjson\r\ncontent-length: 100000\r\n";
    client.send(server.head("POST", "/v1/drop/batch", more));
    client.send("{\"action\":\"add\",\"entry\":{\"cidr\":\"1.0.0.0/8\"}}\n{\"action\":\"add\",\"entry\":{\"cid");
    drop(client);
    server.until_rules(1);
}
