//! Reports to the webhook.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    harness::{Place, get},
    lifecycle::token,
};

/// Accepts one request. Returns its head in lower case, and its body.
fn take_one(listener: &TcpListener) -> (String, Value) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "{head}");
    }
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "));
    let mut body = vec![0; length.unwrap().parse().unwrap()];
    reader.read_exact(&mut body).unwrap();
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .unwrap();
    (head, serde_json::from_slice(&body).unwrap())
}

/// Status and body of a POST without a body.
fn post(place: &Place, path: &str) -> (u16, Value) {
    let mut stream = UnixStream::connect(place.socket()).unwrap();
    let token = token(place);
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: couic\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\
         Connection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap())
}

/// Failing notifiers do not affect filtering: health is degraded, but stays 200.
#[test]
fn failing_notifiers_degrade_health_without_503() {
    let mut place = Place::new();
    place.more = format!(
        "[reporting]\nenabled = true\n[[reporting.notifiers]]\nplugin = \"webhook\"\n\
         config = {{ url = \"http://127.0.0.1:8001/\", timeout_ms = 60000 }}\n\
         [[reporting.notifiers]]\nplugin = \"absent\"\n[plugins]\ndir = {:?}\n",
        place.path("plugins")
    );
    let Some(daemon) = place.start(&[&["ip", "link", "set", "lo", "up"]]) else {
        return;
    };
    let (status, health) = get(&place, "/v1/health", None);
    let health: Value = serde_json::from_str(&health).unwrap();
    assert_eq!((status, &health["status"]), (200, &json!("degraded")));
    let problem = &health["notifier_problems"][0];
    assert_eq!(problem["notifier"], "absent");
    let message = problem["message"].as_str().unwrap();
    assert!(message.contains("plugins/absent.so"), "{message}");

    let listener = daemon.listen(8001);
    let taken = std::thread::spawn(move || take_one(&listener));
    let (status, test) = post(&place, "/v1/notifiers/webhook/test");
    assert_eq!(status, 200, "{test}");
    assert_eq!(
        (&test["delivered"], &test["http_status"]),
        (&json!(true), &json!(200))
    );
    assert_eq!(taken.join().unwrap().1, json!([]));
    let (status, test) = post(&place, "/v1/notifiers/absent/test");
    assert_eq!((status, &test["outcome"]), (200, &json!("bad_config")));

    let (_, list) = get(&place, "/v1/notifiers", Some(&token(&place)));
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(
        (&list[0]["state"], &list[0]["mode"]),
        (&json!("ok"), &json!("builtin"))
    );
    assert_eq!(
        (&list[1]["state"], &list[1]["mode"]),
        (&json!("failed"), &json!(null))
    );
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
}

#[test]
fn a_change_is_posted_with_its_metadata_unchanged() {
    let mut place = Place::new();
    place.more =
        "[reporting]\nenabled = true\nname = \"FW 1\"\nwebhook = \"http://127.0.0.1:8000/v1/reports/s3cret\"\n"
            .into();
    let Some(daemon) = place.start(&[&["ip", "link", "set", "lo", "up"]]) else {
        return;
    };
    let listener = daemon.listen(8000);
    let metadata = json!({"kind": "sshd", "detail": "5 failures", "extra": {"user": ["root", 7]}});
    let entry =
        json!({"cidr": "192.0.2.7/32", "expiration": 0, "tag": "ssh", "metadata": metadata});
    let body = entry.to_string();
    let mut api = UnixStream::connect(place.socket()).unwrap();
    let (token, length) = (token(&place), body.len());
    write!(
        api,
        "POST /v1/drop HTTP/1.1\r\nHost: couic\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    api.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");

    let (head, reports) = take_one(&listener);
    assert!(
        head.starts_with("post /v1/reports/s3cret http/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains("user-agent: couic/2"), "{head}");
    assert!(head.contains("content-type: application/json"), "{head}");
    assert!(head.contains("couic-instance: fw 1\r\n"), "{head}");
    let report = &reports.as_array().unwrap()[0];
    assert_eq!(
        (&report["action"], &report["policy"]),
        (&json!("add"), &json!("drop"))
    );
    assert_eq!(report["entry"]["cidr"], "192.0.2.7/32");
    assert_eq!(report["metadata"], metadata);
    assert_eq!(daemon.end(Signal::SIGTERM), 0);
    assert!(!place.log().contains("s3cret"), "{}", place.log());
}
