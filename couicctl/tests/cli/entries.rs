//! `drop` and `ignore`: add, delete, list, inspect.

use std::process::Stdio;

use couic_common::unix_seconds;
use couic_testkit::{Reply, StandIn};
use serde_json::json;

use crate::{TOKEN, bare, command, config, couicctl};

const ENTRY: &str = r#"{"creation":7,"cidr":"192.0.2.7/32","tag":"scan","expiration":0}"#;
const NOTHING: &str =
    r#"{"ip":"192.0.2.7","verdict":"pass","decided_by":null,"also_covered_by":[]}"#;
const TABLE: &str = "drop\t192.0.2.7/32\tscan\tnever\n";

#[test]
fn add_sends_one_entry_and_shows_it() {
    let daemon = StandIn::always(201, ENTRY);
    let before = unix_seconds();
    let shown = couicctl(
        &daemon,
        &["drop", "add", "192.0.2.7", "-t", "scan", "-e", "1h30m"],
    );
    assert_eq!(shown.done(), TABLE);
    // Then it looks up what happens to the address; an answer that it cannot read changes nothing.
    let seen = daemon.requests();
    assert_eq!(seen[1].line(), "GET /v1/lookup/192.0.2.7");
    let seen = &seen[0];
    assert_eq!(seen.line(), "POST /v1/drop");
    assert_eq!(
        seen.header("authorization"),
        Some(&*format!("Bearer {TOKEN}"))
    );
    let body = seen.json();
    assert_eq!(body["cidr"], "192.0.2.7/32");
    assert_eq!(body["tag"], "scan");
    assert_eq!(body["ttl"], 5_400, "right also where the clocks differ");
    let expiration = body["expiration"].as_u64().unwrap();
    assert!(
        (before + 5_400..=unix_seconds() + 5_401).contains(&expiration),
        "{body}"
    );
}

#[test]
fn add_without_duration_never_expires_and_ignore_asks_for_the_guard_rails() {
    let daemon = StandIn::always(201, ENTRY);
    let shown = couicctl(&daemon, &["ignore", "add", "2001:DB8::1/32", "--json"]).json();
    assert_eq!(
        shown,
        serde_json::from_str::<serde_json::Value>(ENTRY).unwrap()
    );
    assert_eq!(daemon.only().line(), "POST /v1/ignore");
    assert_eq!(
        daemon.only().json(),
        json!({"cidr": "2001:db8::/32", "expiration": 0, "guard": {"protect": []}})
    );
}

#[test]
fn adding_an_existing_entry_suggests_renew() {
    let daemon = StandIn::always(
        409,
        r#"{"code":"conflict","message":"192.0.2.7/32 is in drop already","errors":{}}"#,
    );
    let error = couicctl(&daemon, &["drop", "add", "192.0.2.7"]).failed(1);
    assert_eq!(
        error,
        "error: 192.0.2.7/32 is in drop already\nhint: to add a claim of your own, or to change its expiration, use --renew, or --longer so that it is never made shorter\n"
    );
}

#[test]
fn renew_uses_the_batch_route() {
    let daemon = StandIn::unix(|seen| match seen.line() {
        "POST /v1/drop/batch" => Reply::json(
            200,
            r#"{"added":0,"updated":1,"unchanged":0,"removed":0,"failed":0,"failures":[]}"#,
        ),
        "GET /v1/drop/192.0.2.7/32" => Reply::json(200, ENTRY),
        "GET /v1/lookup/192.0.2.7" => Reply::json(200, NOTHING),
        other => panic!("{other}"),
    });
    let shown = couicctl(
        &daemon,
        &["drop", "add", "192.0.2.7", "--renew", "-t", "scan"],
    );
    assert_eq!(shown.done(), TABLE);
    let jobs = daemon.requests()[0].json();
    assert_eq!(jobs[0]["action"], "add");
    assert_eq!(jobs[0]["entry"]["cidr"], "192.0.2.7/32");
}

#[test]
fn a_rejected_renew_is_a_failure() {
    let daemon = StandIn::always(
        200,
        r#"{"added":0,"updated":0,"unchanged":0,"removed":0,"failed":1,"failures":
            [{"index":0,"cidr":"192.0.2.7/32","code":"processing","message":"the table is full"}]}"#,
    );
    let error = couicctl(&daemon, &["drop", "add", "192.0.2.7", "--renew"]).failed(1);
    assert_eq!(error, "error: the table is full\n");
}

#[test]
fn delete_by_cidr_and_by_tag() {
    let daemon = StandIn::unix(|seen| match seen.line() {
        "DELETE /v1/drop/192.0.2.0/24" => Reply::json(204, ""),
        "GET /v1/lookup/192.0.2.0" => Reply::json(200, NOTHING),
        "DELETE /v1/ignore?tag=ssh-*%2Cuntagged&guard=" => Reply::json(200, r#"{"removed":3}"#),
        other => panic!("{other}"),
    });
    let masked = couicctl(&daemon, &["drop", "delete", "192.0.2.7/24"]);
    assert_eq!(masked.done(), "192.0.2.0/24 deleted from drop.\n");
    let shown = couicctl(&daemon, &["drop", "delete", "192.0.2.7/24", "--json"]).json();
    assert_eq!(
        shown,
        json!({"policy": "drop", "cidr": "192.0.2.0/24", "deleted": true})
    );
    let shown = couicctl(&daemon, &["ignore", "delete", "-t", "ssh-*,untagged"]);
    assert_eq!(shown.done(), "3 entries deleted from ignore.\n");
}

/// A lookup that finds this rule.
fn decided_by(policy: &str, cidr: &str) -> String {
    json!({"ip": "192.0.2.7", "verdict": "pass", "also_covered_by": [],
        "decided_by": {"policy": policy, "creation": 7, "cidr": cidr, "tag": "feed", "expiration": 0}})
    .to_string()
}

#[test]
fn an_add_that_an_ignore_covers_says_that_it_never_acts() {
    let daemon = StandIn::unix(|seen| match seen.line() {
        "POST /v1/drop" => Reply::json(201, ENTRY),
        "GET /v1/lookup/192.0.2.7" => Reply::json(200, decided_by("ignore", "192.0.2.0/24")),
        other => panic!("{other}"),
    });
    let shown = couicctl(&daemon, &["drop", "add", "192.0.2.7"]).done();
    let told = "192.0.2.7/32 is not dropped: ignore 192.0.2.0/24 (tag feed) beats drop. See couicctl check 192.0.2.7.\n";
    assert_eq!(shown, format!("{TABLE}{told}"));
}

#[test]
fn a_delete_says_what_now_happens_to_the_address() {
    let daemon = StandIn::unix(|seen| match seen.line() {
        "DELETE /v1/drop/192.0.2.7/32" => Reply::json(204, ""),
        "GET /v1/lookup/192.0.2.7" => Reply::json(200, decided_by("drop", "192.0.2.0/24")),
        other => panic!("{other}"),
    });
    let shown = couicctl(&daemon, &["drop", "delete", "192.0.2.7"]).done();
    let told = "192.0.2.7/32 is still dropped: drop 192.0.2.0/24 (tag feed) covers it.\n";
    assert_eq!(shown, format!("192.0.2.7/32 deleted from drop.\n{told}"));
}

#[test]
fn a_delete_names_who_still_holds_the_entry() {
    let held = r#"[{"kind":"client","name":"f2b","tag":"long","expiration":0}]"#;
    let daemon = StandIn::unix(move |seen| match seen.line() {
        "DELETE /v1/drop/192.0.2.7/32?tag=sshd" => Reply::json(204, "").with("couic-held-by", held),
        "DELETE /v1/drop/192.0.2.7/32?all_owners=true" => Reply::json(204, ""),
        "DELETE /v1/drop?tag=s*&all_owners=true" => {
            Reply::json(200, r#"{"removed":1,"released":2}"#)
        }
        "GET /v1/lookup/192.0.2.7" => Reply::json(200, NOTHING),
        other => panic!("{other}"),
    });
    let by_tag = ["drop", "delete", "192.0.2.7", "-t", "sshd"];
    let shown = couicctl(&daemon, &by_tag).done();
    assert_eq!(
        shown,
        "192.0.2.7/32 released, and still in drop: held by client f2b (tag long) without end.\n"
    );
    let shown = couicctl(&daemon, &[&by_tag[..], &["--json"]].concat()).json();
    assert_eq!(shown["deleted"], false);
    let shown = couicctl(&daemon, &["drop", "delete", "192.0.2.7", "--all-owners"]).done();
    assert_eq!(shown, "192.0.2.7/32 deleted from drop.\n");
    let shown = couicctl(&daemon, &["drop", "delete", "-t", "s*", "--all-owners"]).done();
    assert_eq!(
        shown,
        "1 entry deleted from drop.\n2 entries released that other claims hold: still in drop.\n"
    );
}

#[test]
fn an_unban_after_the_ban_has_ended_succeeds_with_if_exists() {
    let refusal = |code: &str, message: &str| {
        json!({"code": code, "message": message, "errors": {}}).to_string()
    };
    let daemon = StandIn::unix(move |seen| match seen.line() {
        "DELETE /v1/drop/192.0.2.7/32?tag=sshd" => Reply::json(
            404,
            refusal("not_found", "you have no claim with the tag sshd"),
        ),
        "DELETE /v1/drop/192.0.2.7/32" => Reply::json(
            422,
            refusal("processing", "it is held by a: send ?all_owners=true"),
        ),
        "GET /v1/lookup/192.0.2.7" => Reply::json(200, NOTHING),
        other => panic!("{other}"),
    });
    let unban = ["drop", "delete", "192.0.2.7", "-t", "sshd"];
    let told = "error: you have no claim with the tag sshd\n";
    assert_eq!(couicctl(&daemon, &unban).failed(1), told);
    let shown = couicctl(&daemon, &[&unban[..], &["--if-exists"]].concat()).done();
    assert_eq!(
        shown,
        "Nothing to delete: you have no claim with the tag sshd.\n"
    );
    // Without a tag, a ban that others hold is an error all the same.
    let refused = couicctl(&daemon, &["drop", "delete", "192.0.2.7", "--if-exists"]);
    assert_eq!(
        refused.failed(1),
        "error: it is held by a: use --all-owners\n"
    );
}

/// As `couicctl drop delete <ip> --tag PATTERN --if-exists`.
#[test]
fn claims_of_one_network_are_released_by_pattern() {
    let owner = |name: &str, tag: &str| json!({"kind": "client", "name": name, "tag": tag, "expiration": 0});
    let mut entry: serde_json::Value = serde_json::from_str(ENTRY).unwrap();
    entry["owners"] = json!([
        owner("couicctl", "ssh-a"),
        owner("other", "ssh-b"),
        owner("couicctl", "web"),
    ]);
    let missing = json!({"code": "not_found", "message": "not yours", "errors": {}}).to_string();
    let daemon = StandIn::unix(move |seen| match seen.line() {
        "GET /v1/drop/192.0.2.7/32?owners=true" => Reply::json(200, entry.to_string()),
        "DELETE /v1/drop/192.0.2.7/32?tag=ssh-a" => Reply::json(204, ""),
        "DELETE /v1/drop/192.0.2.7/32?tag=ssh-b" => Reply::json(404, missing.as_str()),
        "GET /v1/lookup/192.0.2.7" => Reply::json(200, NOTHING),
        "DELETE /v1/drop?tag=x*" => Reply::json(200, r#"{"removed":0}"#),
        other => panic!("{other}"),
    });
    let by = |pattern| ["drop", "delete", "192.0.2.7", "-t", pattern];
    let shown = couicctl(&daemon, &by("ssh-*")).done();
    assert_eq!(shown, "192.0.2.7/32 deleted from drop.\n");
    let none = "you have no claim with a tag like x* on drop 192.0.2.7/32";
    let told = couicctl(&daemon, &by("x*")).failed(1);
    assert_eq!(told, format!("error: {none}\n"));
    let shown = couicctl(&daemon, &[&by("x*")[..], &["--if-exists"]].concat()).done();
    assert_eq!(shown, format!("Nothing to delete: {none}.\n"));
    let by_tag = ["drop", "delete", "-t", "x*", "--if-exists"];
    assert_eq!(
        couicctl(&daemon, &by_tag).done(),
        "0 entries deleted from drop.\n"
    );
}

/// As `couicctl drop add <ip> -t <name> --until "<time>+<bantime>" --longer` of fail2ban's action is called.
#[test]
fn a_ban_until_a_time_is_never_made_shorter() {
    let batch = r#"{"added":0,"updated":0,"unchanged":1,"removed":0,"failed":0,"failures":[]}"#;
    let daemon = StandIn::unix(move |seen| match seen.line() {
        "POST /v1/drop/batch" => Reply::json(200, batch),
        _ => Reply::json(200, ENTRY),
    });
    for (until, end) in [
        ("4000000000.25+600", 4_000_000_601_u64),
        ("4000000000.25+-1", 0),
        ("2096-10-02T07:06:40Z", 4_000_000_000),
    ] {
        let ban = ["drop", "add", "192.0.2.7", "--longer", "--until", until];
        couicctl(&daemon, &ban).done();
        let seen = daemon.requests();
        let sent = (seen.iter().rev()).find(|seen| seen.line().ends_with("batch"));
        let job = &sent.unwrap().json()[0]["entry"];
        assert_eq!(job["expiration"], end, "{job}");
        assert_eq!((&job["longer"], &job["ttl"]), (&json!(true), &json!(null)));
    }
}

#[test]
fn inspect_shows_one() {
    let daemon = StandIn::always(200, ENTRY);
    assert_eq!(
        couicctl(&daemon, &["drop", "inspect", "192.0.2.7"]).done(),
        TABLE
    );
    let line = "GET /v1/drop/192.0.2.7/32?owners=true";
    assert_eq!(daemon.only().line(), line);
    let shown = couicctl(&daemon, &["drop", "inspect", "192.0.2.7", "--json"]).json();
    assert_eq!(shown["creation"], 7);
}

fn listing() -> StandIn {
    let lines = format!(
        "{ENTRY}\n{}\n",
        ENTRY.replace("192.0.2.7/32", "2001:db8::/32")
    );
    StandIn::unix(move |_| Reply::text(200, "application/x-ndjson", lines.as_str()))
}

#[test]
fn list_in_its_three_forms() {
    let daemon = listing();
    let table = couicctl(&daemon, &["drop", "list", "-t", "scan*"]).done();
    assert_eq!(daemon.only().line(), "GET /v1/drop?tag=scan*&owners=true");
    assert!(
        table.ends_with("drop\t2001:db8::/32\tscan\tnever\n"),
        "{table}"
    );
    assert_eq!(table.lines().count(), 2);
    let quiet = couicctl(&daemon, &["drop", "list", "-q"]).done();
    assert_eq!(quiet, "192.0.2.7/32\n2001:db8::/32\n");
    let all = couicctl(&daemon, &["drop", "list", "--json"]).json();
    assert_eq!(all[1]["cidr"], "2001:db8::/32");
    let cidrs = couicctl(&daemon, &["drop", "list", "-q", "--json"]).json();
    assert_eq!(cidrs, json!(["192.0.2.7/32", "2001:db8::/32"]));
}

#[test]
fn an_incomplete_list_prints_no_partial_table() {
    let daemon = StandIn::unix(|_| {
        Reply::text(
            200,
            "application/x-ndjson",
            format!("{ENTRY}\n{{\"creation\":"),
        )
    });
    let error = couicctl(&daemon, &["drop", "list"]).failed(3);
    assert!(error.contains("is not an entry"), "{error}");
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let line = format!("{ENTRY}\n");
    let daemon =
        StandIn::unix(move |_| Reply::text(200, "application/x-ndjson", line.repeat(20_000)));
    let config = config(&daemon);
    for args in [
        &["drop", "list"][..],
        &["drop", "list", "-q"],
        &["drop", "list", "--json"],
    ] {
        let mut child = command(&config, args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), error.as_str()),
            (Some(0), ""),
            "{args:?}"
        );
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let daemon = listing();
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        println!("skipped: there is no /dev/full");
        return;
    };
    let output = command(&config(&daemon), &["drop", "list"])
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("the output cannot be written"), "{error}");
}

#[test]
fn wrong_values_are_usage_errors_and_nothing_is_sent() {
    let daemon = StandIn::always(201, ENTRY);
    let config = config(&daemon);
    for args in [
        &["drop", "add", "192.0.2.7/33"][..],
        &["drop", "add", "192.0.2"],
        &["drop", "add"],
        &["drop", "add", "192.0.2.7", "-t", ""],
        &["drop", "add", "192.0.2.7", "-t", "x.couic"],
        &["drop", "add", "192.0.2.7", "-e", "soon"],
        &["drop", "add", "192.0.2.7", "-e", "0s"],
        &["ignore", "add", "192.0.2.7", "--force=x"],
        &["drop", "delete"],
        &["drop", "add", "192.0.2.7", "--until", "soon"],
        &["drop", "add", "192.0.2.7", "--until", "never", "-e", "1h"],
        &["drop", "delete", "--if-exists"],
        &["drop", "delete", "-t", ""],
        &["drop", "delete", "-t", "a,,b"],
        &["Drop", "list"],
        &["drop"],
    ] {
        let output = bare().arg("-c").arg(&config).args(args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "{args:?}"
        );
    }
    assert!(daemon.requests().is_empty());
}

/// As `couicctl drop add <ip> -t <name> -e <bantime> --renew` of fail2ban's action is called.
#[test]
fn values_of_host_programs_are_mapped() {
    let batch = r#"{"added":1,"updated":0,"unchanged":0,"removed":0,"failed":0,"failures":[]}"#;
    let daemon = StandIn::unix(move |seen| match seen.line() {
        "POST /v1/drop/batch" => Reply::json(200, batch),
        _ => Reply::json(200, ENTRY),
    });
    for (name, time, tag, forever) in [
        ("sshd", "600", "sshd", false),
        ("www.example.org", "-1", "www_example_org", true),
        ("a jail", "-1s", "a_jail", true),
        ("sshd", "4733510400", "sshd", true),
        ("sshd", "never", "sshd", true),
        ("sshd", "600.5", "sshd", false),
    ] {
        let args = [
            "drop",
            "add",
            "192.0.2.7",
            "-t",
            name,
            "-e",
            time,
            "--renew",
        ];
        couicctl(&daemon, &args).done();
        let seen = daemon.requests();
        let sent = seen
            .iter()
            .rev()
            .find(|seen| seen.line().ends_with("batch"));
        let job = &sent.unwrap().json()[0]["entry"];
        assert_eq!(job["tag"], tag);
        assert_eq!(job["expiration"] == 0, forever, "{time}: {job}");
    }
    couicctl(&daemon, &["drop", "add", "192.0.2.7", "-e", "soon"]).failed(2);
}

#[test]
fn lists_are_sorted_limited_and_asked_about_an_address() {
    let entry = |n: u64, hits: u64, tag: Option<&str>| {
        json!({"creation": n, "cidr": format!("10.0.0.{n}/32"), "tag": tag, "expiration": 0, "hits": hits, "last_seen": 0}).to_string()
    };
    let lines = [
        entry(1, 5, Some("b")),
        entry(2, 9, None),
        entry(3, 7, Some("a")),
    ]
    .join("\n");
    let daemon = StandIn::unix(move |seen| match seen.line() {
        line if line.starts_with("GET /v1/drop") => {
            Reply::text(200, "application/x-ndjson", lines.as_str())
        }
        "GET /v1/lookup/10.0.0.0" => Reply::json(200, NOTHING),
        other => panic!("{other}"),
    });
    let listed =
        |args: &[&str]| couicctl(&daemon, &[&["drop", "list", "-q"], args].concat()).done();
    assert_eq!(
        listed(&["--sort", "hits", "--limit", "2"]),
        "10.0.0.2/32\n10.0.0.3/32\n"
    );
    assert_eq!(
        listed(&["--sort", "tag"]),
        "10.0.0.3/32\n10.0.0.1/32\n10.0.0.2/32\n"
    );
    assert_eq!(listed(&["-n", "1"]), "10.0.0.1/32\n");
    assert_eq!(
        daemon.requests().last().unwrap().line(),
        "GET /v1/drop?limit=1"
    );
    assert_eq!(
        listed(&["--address", "10.0.0.0/8", "-t", "a"]),
        "10.0.0.3/32\n"
    );
    let row = couicctl(&daemon, &["drop", "list", "--sort", "created", "-n1"]).done();
    assert_eq!(row, "drop\t10.0.0.3/32\ta\tnever\t7\tnever\n");
    let json = couicctl(&daemon, &["drop", "list", "--sort", "hits", "--json"]).json();
    assert_eq!(json[0]["hits"], 9);
    couicctl(&daemon, &["drop", "list", "-n", "0"]).failed(2);
    couicctl(&daemon, &["drop", "list", "--sort", "colour"]).failed(2);
}

#[test]
fn hits_that_are_not_counted_cannot_sort() {
    let error = couicctl(&listing(), &["drop", "list", "--sort", "hits"]).failed(1);
    assert!(error.contains("\nhint: set per_rule = true"), "{error}");
}

#[test]
fn an_empty_list_is_no_output_for_programs() {
    let daemon = StandIn::unix(|_| Reply::text(200, "application/x-ndjson", ""));
    assert_eq!(couicctl(&daemon, &["drop", "list"]).done(), "");
    assert_eq!(
        couicctl(&daemon, &["drop", "list", "--json"]).json(),
        json!([])
    );
}

#[test]
fn a_reason_is_sent_as_metadata_and_shown() {
    let entry = r#"{"creation":7,"cidr":"192.0.2.7/32","tag":null,"expiration":0,"reason":"ticket 4711: a very long story about an address"}"#;
    let daemon = StandIn::always(201, entry);
    let args = ["ban", "192.0.2.7", "--reason", "ticket 4711"];
    let shown = couicctl(&daemon, &args).done();
    assert!(
        shown.contains("\tticket 4711: a very long story about an address\n"),
        "{shown}"
    );
    let metadata = &daemon.requests()[0].json()["metadata"];
    assert_eq!(
        *metadata,
        json!({"kind": "couicctl", "detail": "ticket 4711"})
    );

    let daemon = StandIn::always(200, entry);
    let shown = couicctl(&daemon, &["drop", "inspect", "192.0.2.7"]).done();
    let whole = "\tticket 4711: a very long story about an address\n";
    assert!(
        shown.ends_with(whole) && shown.lines().count() == 1,
        "{shown}"
    );

    let daemon = StandIn::always(204, "");
    couicctl(
        &daemon,
        &["unban", "192.0.2.7", "--reason", "a false positive"],
    )
    .done();
    let line = daemon.requests()[0].line().to_owned();
    assert_eq!(line, "DELETE /v1/drop/192.0.2.7/32?reason=a+false+positive");
}

#[test]
fn check_says_why() {
    let rule = json!({"policy": "drop", "creation": 7, "cidr": "192.0.2.7/32", "tag": "sshd", "expiration": 0, "reason": "5 failures"});
    let lookup =
        json!({"ip": "192.0.2.7", "verdict": "drop", "decided_by": rule, "also_covered_by": []});
    let daemon = StandIn::always(200, &lookup.to_string());
    let shown = couicctl(&daemon, &["why", "192.0.2.7"]).done();
    assert!(
        shown.ends_with("\nReason of drop 192.0.2.7/32: 5 failures\n"),
        "{shown}"
    );
}
