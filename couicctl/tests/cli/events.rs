//! `events`: what is kept, and following over a restart of the daemon.

use couic_testkit::{Reply, StandIn, script};

use crate::{command, config};

fn change(id: &str, cidr: &str) -> String {
    format!(
        "id: {id}\ndata: {{\"at\":1795248000,\"action\":\"added\",\"policy\":\"drop\",\"cidr\":\"{cidr}\",\"tag\":\"ssh\",\"expiration\":1795251601,\"creation\":1795248000,\"reason\":\"5 failures\",\"owner\":{{\"kind\":\"client\",\"name\":\"web\"}},\"actor\":{{\"kind\":\"client\",\"name\":\"web\"}}}}\n\n"
    )
}

fn events(text: impl Into<String>) -> Reply {
    Reply::text(200, "text/event-stream", text)
}

#[test]
fn kept_changes_are_shown_as_in_the_audit_log() {
    let text = change("00000000000000ab-1", "192.0.2.7/32");
    let daemon = StandIn::unix(script([], events(text)));
    let config = config(&daemon);
    let shown = command(&config, &["events", "--policy", "drop", "-t", "ss*"]);
    let output = { shown }.output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "2026-11-21T08:00:00Z  client web added drop 192.0.2.7/32 (tag ssh) for 1h: 5 failures\n"
    );
    assert!(output.status.success());
    let asked = &daemon.requests()[0];
    assert_eq!(
        asked.line(),
        "GET /v1/events?policy=drop&tag=ss*&follow=false"
    );
    let output = command(&config, &["events", "--json"]).output().unwrap();
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(line["cidr"], "192.0.2.7/32");
}

#[test]
fn nothing_kept_is_no_failure() {
    let daemon = StandIn::unix(script([], events(":\nid: 00000000000000ab-0\n\n")));
    let output = command(&config(&daemon), &["events"]).output().unwrap();
    assert!(output.status.success());
    assert!(output.stdout.is_empty());
}

#[test]
fn following_survives_a_restart_and_says_what_is_missing() {
    let restarted = format!(
        "event: gap\nid: 00000000000000cd-0\ndata: {{\"missed\":null}}\n\n{}",
        change("00000000000000cd-1", "192.0.2.8/32")
    );
    let refusal = r#"{"code":"unauthorized","message":"no","errors":{}}"#;
    let replies = [
        events(change("00000000000000ab-1", "192.0.2.7/32")),
        Reply::Close,
        events(restarted),
    ];
    let daemon = StandIn::unix(script(replies, Reply::json(401, refusal)));
    let output = command(&config(&daemon), &["events", "-f"])
        .output()
        .unwrap();
    let (told, errors) = (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    );
    assert_eq!(output.status.code(), Some(1), "{errors}");
    for cidr in ["192.0.2.7/32", "192.0.2.8/32"] {
        assert_eq!(told.matches(cidr).count(), 1, "{told}");
    }
    for words in [
        "warning: cannot reach couic",
        "hint: waiting for it to answer again",
        "warning: the daemon has been restarted: ",
        "error: no",
    ] {
        assert!(errors.contains(words), "{errors}");
    }
    let after = |id: &str| format!("GET /v1/events?after={id}");
    let asked: Vec<String> = daemon
        .requests()
        .iter()
        .map(|r| r.line().to_owned())
        .collect();
    assert_eq!(
        asked,
        [
            "GET /v1/events",
            &after("00000000000000ab-1"),
            &after("00000000000000ab-1"),
            &after("00000000000000cd-1")
        ]
    );
}
