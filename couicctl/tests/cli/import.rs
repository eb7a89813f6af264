//! `import`: many entries in one call.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::Stdio,
};

use couic_testkit::{Reply, Request, StandIn, script};
use serde_json::{Value, json};

use crate::{command, config, couicctl, live::interrupt, run};

const DONE: &str = r#"{"added":2,"updated":1,"unchanged":0,"removed":0,"failed":0,"failures":[]}"#;

fn jobs(seen: &Request) -> Vec<Value> {
    assert_eq!(seen.header("content-type"), Some("application/x-ndjson"));
    let lines = serde_json::Deserializer::from_slice(&seen.body).into_iter();
    lines.collect::<Result<_, _>>().unwrap()
}

#[test]
fn from_a_file() {
    let daemon = StandIn::always(200, DONE);
    let file = daemon.dir.path().join("list.txt");
    fs::write(
        &file,
        "# bad ones\n192.0.2.7\n10.1.2.3/8 # all of it\n\n2001:db8::1\n",
    )
    .unwrap();
    let args = ["drop", "import", file.to_str().unwrap(), "-t", "list"];
    let shown = couicctl(&daemon, &args).done();
    assert_eq!(shown, "drop: 2 added, 1 updated, 0 unchanged, 0 failed\n");
    let seen = daemon.only();
    assert_eq!(seen.line(), "POST /v1/drop/batch");
    let jobs = jobs(&seen);
    let cidrs: Vec<&Value> = jobs.iter().map(|j| &j["entry"]["cidr"]).collect();
    assert_eq!(cidrs, ["192.0.2.7/32", "10.0.0.0/8", "2001:db8::1/128"]);
    assert!(
        jobs.iter()
            .all(|j| j["action"] == "add" && j["entry"]["tag"] == "list")
    );
}

#[test]
fn from_standard_input_into_ignore() {
    let daemon = StandIn::always(200, DONE);
    let command = command(&config(&daemon), &["ignore", "import", "-", "--json"]);
    let shown = run(command, "192.0.2.7\n").json();
    assert_eq!(shown["updated"], 1);
    assert_eq!(
        jobs(&daemon.only()),
        [
            json!({"action": "add", "entry": {"cidr": "192.0.2.7/32", "expiration": 0, "guard": {"protect": []}}})
        ]
    );
}

#[test]
fn an_invalid_line_rejects_the_whole_file() {
    let daemon = StandIn::always(200, DONE);
    let command = command(&config(&daemon), &["drop", "import", "-"]);
    let error = run(command, "192.0.2.7\n192.0.2.256\n").failed(2);
    assert_eq!(
        error,
        "error: standard input is not usable, nothing was changed\n  \
         line 2: \"192.0.2.256\": not an IPv4 or IPv6 address\n"
    );
    assert!(daemon.requests().is_empty());
}

#[test]
fn a_missing_file() {
    let daemon = StandIn::always(200, DONE);
    let error = couicctl(&daemon, &["drop", "import", "/nonexistent/list"]).failed(2);
    assert!(
        error.contains("/nonexistent/list cannot be read: No such file"),
        "{error}"
    );
}

#[test]
fn rejected_entries_are_listed_with_exit_code_1() {
    let daemon = StandIn::unix(|_| {
        Reply::json(
            200,
            r#"{"added":1,"updated":0,"unchanged":0,"removed":0,"failed":1,"failures":
                [{"index":1,"cidr":"10.0.0.0/8","code":"processing","message":"it covers 10.0.0.1 of eth0"}]}"#,
        )
    });
    let shown = run(
        command(&config(&daemon), &["drop", "import", "-"]),
        "192.0.2.7\n10.0.0.0/8\n",
    );
    assert_eq!(shown.code, 1);
    assert_eq!(
        shown.out,
        "drop: 1 added, 0 updated, 0 unchanged, 1 failed\n"
    );
    assert_eq!(
        shown.err,
        "error: 1 was rejected:\n  10.0.0.0/8: it covers 10.0.0.1 of eth0\n"
    );
}

#[test]
fn many_thousands() {
    let daemon = StandIn::always(200, DONE);
    let list: String = (0..30_000u32)
        .map(|n| format!("{}\n", std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)))
        .collect();
    run(command(&config(&daemon), &["drop", "import", "-"]), &list).done();
    let parts: Vec<usize> = daemon.requests().iter().map(|r| jobs(r).len()).collect();
    assert_eq!(parts, [2_000; 15]);
    let once = ["drop", "import", "-", "--confirm-within", "60s"];
    let daemon = StandIn::always(200, DONE);
    run(command(&config(&daemon), &once), &list);
    assert_eq!(jobs(&daemon.only()).len(), 30_000, "one change to confirm");
}

/// A proxy in between fails, after two parts were taken.
#[test]
fn an_import_that_breaks_says_what_was_done_and_how_to_go_on() {
    let parts = [Reply::json(200, DONE), Reply::json(200, DONE)];
    let daemon = StandIn::unix(script(parts, Reply::text(502, "text/html", "bad gateway")));
    let list: String = (0..5_000u32)
        .map(|n| format!("{}\n", std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)))
        .collect();
    let error = run(command(&config(&daemon), &["drop", "import", "-"]), &list).failed(3);
    for says in [
        "502",
        "4000 of 5000 networks are done: 4 added, 2 updated, 0 unchanged, 0 failed; of the next 1000, some may be in force",
        "run the same again",
    ] {
        assert!(error.contains(says), "{error}");
    }
}

#[test]
fn behind_a_proxy_with_a_small_limit_the_parts_are_smaller() {
    let daemon = StandIn::unix(|request| match request.body.len() {
        0..50_000 => Reply::json(200, DONE),
        _ => Reply::text(413, "text/html", "too large"),
    });
    let list: String = (0..3_000u32)
        .map(|n| format!("{}\n", std::net::Ipv4Addr::from_bits(0x0a00_0000 + n)))
        .collect();
    run(command(&config(&daemon), &["drop", "import", "-"]), &list).done();
    let taken = daemon.exchanges().into_iter();
    let taken = taken.filter(|(request, _)| request.body.len() < 50_000);
    let taken: usize = taken.map(|(request, _)| jobs(&request).len()).sum();
    assert_eq!(taken, 3_000);
}

#[test]
fn an_empty_list_is_refused() {
    let daemon = StandIn::always(200, DONE);
    for text in ["", "# nothing today\r\n\n; nor yesterday\n"] {
        let command = command(&config(&daemon), &["drop", "import", "-"]);
        let error = run(command, text).failed(2);
        assert_eq!(
            error,
            "error: standard input contains no CIDR, nothing was changed\n"
        );
    }
    assert!(daemon.requests().is_empty());
}

#[test]
fn ranges_netmasks_mapped_addresses_and_json_become_cidrs() {
    let sent = |args: &[&str], text: &str| -> Vec<Value> {
        let daemon = StandIn::always(200, DONE);
        let mut all = vec!["drop", "import", "-"];
        all.extend(args);
        run(command(&config(&daemon), &all), text).done();
        let jobs = jobs(&daemon.only());
        jobs.iter()
            .map(|job| job["entry"]["cidr"].clone())
            .collect()
    };
    let text = "198.51.100.1-198.51.100.4\n198.51.100.0/255.255.255.0;x\n::ffff:192.0.2.7\n";
    let cidrs = sent(&[], text);
    let expected = [
        "198.51.100.1/32",
        "198.51.100.2/31",
        "198.51.100.4/32",
        "198.51.100.0/24",
        "192.0.2.7/32",
    ];
    assert_eq!(cidrs, expected);
    let json = r#"{"prefixes":[{"ip_prefix":"3.4.12.4/32"}],"ipv6_prefixes":[{"ipv6_prefix":"2600:1f14::/36"}]}"#;
    let fields = ["--field", "ip_prefix", "--field", "ipv6_prefix"];
    assert_eq!(sent(&fields, json), ["3.4.12.4/32", "2600:1f14::/36"]);
    let daemon = StandIn::always(200, DONE);
    let error = run(command(&config(&daemon), &["drop", "import", "-"]), json).failed(2);
    assert_eq!(
        error,
        "error: standard input is JSON, nothing was changed\n\
         hint: name the fields with the networks: --field ip_prefix --field ipv6_prefix\n"
    );
}

#[test]
fn what_was_exported_is_imported_with_tags_and_expirations() {
    let soon = couic_common::unix_seconds() + 600;
    let owners = json!([
        {"kind": "client", "name": "f2b", "tag": "sshd", "expiration": soon},
        {"kind": "client", "name": "ops", "tag": null, "expiration": 0},
        {"kind": "peer", "name": "b", "tag": "x", "expiration": 0},
    ]);
    let entry = json!({"creation": 7, "cidr": "192.0.2.7/32", "tag": "sshd", "expiration": 0, "owners": owners});
    let of = |kind: &str| {
        json!({"creation": 7, "cidr": "198.51.100.0/24", "tag": "s", "expiration": 0,
        "owners": [{"kind": kind, "name": "s", "tag": "s", "expiration": 0}]})
    };
    let lines = format!("{entry}\n{}\n{}\n", of("set"), of("peer"));
    let daemon = StandIn::unix(move |_| Reply::text(200, "application/x-ndjson", lines.as_str()));
    let exported = couicctl(&daemon, &["drop", "export"]);
    assert_eq!(exported.code, 0, "{exported:?}");
    assert!(
        exported
            .err
            .contains("warning: 1 rule of sets left out\nhint: "),
        "{exported:?}"
    );
    assert!(
        exported.err.contains("warning: 1 rule of peers left out"),
        "{exported:?}"
    );
    let tagged = couicctl(&daemon, &["drop", "export", "-t", "ssh*"]).done();
    assert_eq!(tagged.lines().count(), 1, "{tagged}");

    let daemon = StandIn::always(200, DONE);
    let import = |policy| command(&config(&daemon), &[policy, "import", "-"]);
    run(import("drop"), &exported.out).done();
    let guard = json!({"protect": []});
    assert_eq!(
        jobs(&daemon.only()),
        [
            json!({"action": "add", "entry": {"cidr": "192.0.2.7/32", "tag": "sshd", "expiration": soon, "guard": guard}}),
            json!({"action": "add", "entry": {"cidr": "192.0.2.7/32", "expiration": 0, "guard": guard}}),
        ]
    );
    let error = run(import("ignore"), &exported.out).failed(2);
    assert!(
        error.contains("is not an entry of policy ignore"),
        "{error}"
    );
}

#[test]
fn of_a_list_as_json_the_expired_and_those_of_sets_are_left_out() {
    let list = r#"[{"creation":7,"cidr":"192.0.2.7/32","tag":null,"expiration":0,"owners":[]},
        {"creation":7,"cidr":"192.0.2.8/32","tag":"a","expiration":5},
        {"creation":7,"cidr":"192.0.2.9/32","tag":"bad.couic","expiration":0}]"#;
    let daemon = StandIn::always(200, DONE);
    let done = run(command(&config(&daemon), &["drop", "import", "-"]), list);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.err.contains("1 entry left out, expired meanwhile"),
        "{done:?}"
    );
    assert!(done.err.contains("1 entry left out, of sets"), "{done:?}");
    let sent = jobs(&daemon.only());
    assert_eq!(
        (sent.len(), &sent[0]["entry"]["cidr"]),
        (1, &json!("192.0.2.7/32"))
    );
    let daemon = StandIn::always(200, DONE);
    let all = ["drop", "import", "-", "-t", "own", "-e", "1h"];
    run(command(&config(&daemon), &all), list).done();
    let sent = jobs(&daemon.only());
    assert!(
        sent.len() == 3
            && sent
                .iter()
                .all(|job| job["entry"]["tag"] == "own" && job["entry"]["ttl"] == 3_600)
    );
}

#[test]
fn a_dry_run_compares_and_sends_nothing() {
    let line = |cidr: &str, tag: &str| {
        let owners = json!([{"kind": "client", "name": "f2b", "tag": tag, "expiration": 0}]);
        json!({"creation": 7, "cidr": cidr, "tag": tag, "expiration": 0, "owners": owners})
            .to_string()
    };
    let lines = [line("192.0.2.1/32", "a"), line("192.0.2.2/32", "b")].join("\n");
    let daemon = StandIn::unix(move |_| Reply::text(200, "application/x-ndjson", lines.as_str()));
    let args = ["drop", "import", "-", "-t", "a", "--dry-run"];
    let dry = |more: &[&str]| {
        let command = command(&config(&daemon), &[&args, more].concat());
        run(command, "192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.4\n")
    };
    let told = dry(&[]).done();
    assert!(
        told.starts_with("drop: 2 would be added, 1 updated, 1 unchanged; nothing was sent."),
        "{told}"
    );
    let expected = json!({"dry_run": true, "added": 2, "updated": 1, "unchanged": 1});
    assert_eq!(dry(&["--json"]).json(), expected);
    assert!(
        daemon
            .requests()
            .iter()
            .all(|seen| seen.line().starts_with("GET "))
    );
}

#[test]
fn an_interrupted_export_says_that_the_list_is_not_complete() {
    // More than all buffers between the two hold: the export is at work as long as nobody reads.
    let line = |n: u32| {
        let cidr = std::net::Ipv4Addr::from(0x0100_0000 + n);
        format!(r#"{{"creation":7,"cidr":"{cidr}/32","tag":null,"expiration":0}}"#)
    };
    let body = (0..200_000).map(line).collect::<Vec<_>>().join("\n");
    let daemon = StandIn::unix(move |_| Reply::text(200, "application/x-ndjson", body.as_str()));
    let mut child = command(&config(&daemon), &["drop", "export"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("1.0.0.0/32"));
    interrupt(&child);
    assert!(lines.count() < 199_999);
    let done = child.wait_with_output().unwrap();
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{error}");
    assert!(
        error.starts_with("error: interrupted after reading ")
            && error.ends_with("entries; nothing was changed\nhint: the list written so far is not complete: export it again\n"),
        "{error}"
    );
}
