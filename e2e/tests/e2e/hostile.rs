//! Hostile clients: filtering, the API and memory are not affected.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::{fs, time::Duration};

use couic_e2e::{Daemon, Frame, Lab, until};
use couic_testkit::Connection;

fn connect(daemon: &Daemon<'_>) -> Connection {
    Connection::unix(daemon.socket()).expect("connect")
}

/// Peak resident memory.
fn peak_mib(daemon: &Daemon<'_>) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).expect("status");
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"));
    let kib = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("VmHWM") / 1024
}

#[test]
fn a_thousand_idle_connections_do_not_block_others() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let idle: Vec<Connection> = (0..1000).map(|_| connect(&daemon)).collect();
    daemon.api().add("drop", "198.51.100.7/32", None, 0);
    assert!(!lab.wire().passes(&Frame::v4("198.51.100.7")));
    drop(idle);
    assert_eq!(daemon.api().health().0, 200);
}

#[test]
fn incomplete_requests_do_not_block_others() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let token = daemon.token();
    let head = format!(
        "POST /v1/drop HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{\"cidr\":"
    );
    let halves: Vec<Connection> = (0..100)
        .map(|n| {
            let mut stream = connect(&daemon);
            // Truncated anywhere: in the request line, in a header, in the body.
            let cut = head.len() * (n + 1) / 100;
            stream.send(&head.as_bytes()[..cut]);
            stream
        })
        .collect();
    daemon.api().add("drop", "198.51.100.7/32", None, 0);
    drop(halves);
    assert_eq!(
        daemon.api().stats().drop_cidr_count,
        1,
        "no incomplete request was applied"
    );
}

#[test]
fn a_body_of_100_mb_is_refused_and_does_not_fill_the_memory() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let before = peak_mib(&daemon);
    let token = daemon.token();
    for length in ["Content-Length: 104857600", "Transfer-Encoding: chunked"] {
        let mut stream = connect(&daemon);
        let head = format!(
            "POST /v1/drop HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\n{length}\r\n\r\n"
        );
        stream.send(head);
        let chunk = if length.starts_with('T') {
            [
                b"100000\r\n".to_vec(),
                vec![b' '; 1 << 20],
                b"\r\n".to_vec(),
            ]
            .concat()
        } else {
            vec![b' '; 1 << 20]
        };
        // Until the daemon closes the connection.
        let _ = (0..100).try_for_each(|_| stream.try_send(&chunk));
        assert_eq!(stream.head().0, 413, "{length}");
    }
    // One body up to the limit of 16 MiB, grown in place and freed. The rest is code that runs for the first time.
    let after = peak_mib(&daemon);
    assert!(
        after < before + 32,
        "{before} MiB before, {after} MiB after"
    );
    assert_eq!(daemon.api().stats().drop_cidr_count, 0);
}

#[test]
fn a_full_table_refuses_new_rules_and_keeps_existing_ones() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().config("[limits]\ndrop_entries = 2\n").start();
    let api = daemon.api();
    api.add("drop", "198.51.100.1/32", None, 0);
    api.add("drop", "198.51.100.2/32", None, 0);
    let body = r#"{"cidr":"198.51.100.3/32","expiration":0}"#;
    let refused = api.request("POST", "/v1/drop", Some(body)).expect(422);
    assert!(
        refused.body.contains("drop_entries"),
        "what to raise: {refused:?}"
    );
    // The other family and the other policy have tables of their own.
    api.add("drop", "2001:db8:7::/48", None, 0);
    api.add("ignore", "198.51.100.2/32", None, 0);
    let frames = ["198.51.100.1", "198.51.100.2", "198.51.100.3"].map(Frame::v4);
    assert_eq!(lab.wire().arrivals(&frames), [0, 1, 1]);
    api.remove("drop", "198.51.100.1/32");
    api.add("drop", "198.51.100.3/32", None, 0);
    assert_eq!(lab.wire().arrivals(&frames), [1, 1, 0]);
}

#[test]
fn a_rejected_token_is_not_in_the_log() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let token = "12345678-9abc-4def-8123-456789abcdef";
    let refused = daemon
        .api_as(token)
        .request("GET", "/v1/drop", None)
        .expect(401);
    assert!(!refused.body.contains(token), "{refused:?}");
    // A later change: once it is logged, the refusal would have been, too.
    daemon.api().add("drop", "198.51.100.7/32", None, 0);
    until("the change is logged", Duration::from_secs(60), || {
        daemon.output().contains("198.51.100.7").then_some(())
    });
    assert!(!daemon.output().contains(token));
    assert!(!daemon.output().contains(&daemon.token()));
}
