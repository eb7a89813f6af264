//! The words that people type: several networks, a network where an address is asked for, short commands.

use couic_testkit::{Reply, StandIn};
use serde_json::json;

use crate::couicctl;

fn entry(cidr: &str) -> String {
    json!({"creation": 7, "cidr": cidr, "tag": null, "expiration": 0}).to_string()
}

/// Adds and deletes everything but 192.0.2.8.
fn daemon() -> StandIn {
    StandIn::unix(|seen| {
        let refused =
            r#"{"code":"conflict","message":"drop 192.0.2.8/32 is there already","errors":{}}"#;
        if seen.line().starts_with("DELETE ") {
            return match seen.line() {
                "DELETE /v1/drop/192.0.2.8/32" => {
                    Reply::json(404, refused.replace("conflict", "not_found"))
                }
                _ => Reply::json(204, ""),
            };
        }
        match seen.json()["cidr"].as_str() {
            Some("192.0.2.8/32") => Reply::json(409, refused),
            cidr => Reply::json(201, entry(cidr.unwrap())),
        }
    })
}

#[test]
fn several_networks_are_added_and_deleted_whatever_one_of_them_meets() {
    let daemon = daemon();
    let table = couicctl(&daemon, &["drop", "add", "192.0.2.7", "198.51.100.0/24"]).done();
    assert_eq!(table.lines().count(), 2, "{table}");
    let shown = couicctl(&daemon, &["drop", "add", "192.0.2.8", "192.0.2.9"]);
    assert_eq!(shown.code, 1);
    assert!(shown.out.contains("192.0.2.9/32") && shown.err.contains("192.0.2.8/32 is there"));
    let range = couicctl(&daemon, &["drop", "add", "192.0.2.10-192.0.2.12", "--json"]).json();
    assert_eq!(range[0]["cidr"], "192.0.2.10/31");
    assert_eq!(range[1]["cidr"], "192.0.2.12/32");
    let shown = couicctl(
        &daemon,
        &["drop", "delete", "192.0.2.7", "192.0.2.8", "192.0.2.9"],
    );
    assert_eq!(shown.code, 1);
    assert_eq!(
        shown.out,
        "192.0.2.7/32 deleted from drop.\n192.0.2.9/32 deleted from drop.\n"
    );
    let both = couicctl(&daemon, &["drop", "delete", "192.0.2.7", "::1", "--json"]).json();
    assert_eq!(
        both[1],
        json!({"policy": "drop", "cidr": "::1/128", "deleted": true})
    );
}

#[test]
fn short_commands_do_what_the_long_ones_do() {
    let lookup = r#"{"ip":"192.0.2.7","verdict":"pass","decided_by":null,"also_covered_by":[]}"#;
    for (short, long, answer) in [
        (
            &["ban", "192.0.2.7"][..],
            &["drop", "add", "192.0.2.7"][..],
            entry("192.0.2.7/32"),
        ),
        (
            &["unban", "192.0.2.7"],
            &["drop", "delete", "192.0.2.7"],
            String::new(),
        ),
        (
            &["unban", "-t", "x"],
            &["drop", "delete", "-t", "x"],
            r#"{"removed":3}"#.into(),
        ),
        (
            &["reload"],
            &["sets", "reload"],
            r#"{"reload_status":"OK"}"#.into(),
        ),
        (
            &["why", "192.0.2.7"],
            &["check", "192.0.2.7"],
            lookup.into(),
        ),
    ] {
        let daemon = StandIn::always(200, &answer);
        let (a, b) = (couicctl(&daemon, short), couicctl(&daemon, long));
        assert_eq!(a.done(), b.done(), "{short:?}");
        let requests = daemon.requests();
        let lines: Vec<_> = requests.iter().map(|r| (r.line(), &r.body)).collect();
        let (a, b) = lines.split_at(lines.len() / 2);
        assert_eq!(a, b, "{short:?}");
    }
}

/// Lists for 192.0.2.0/24: one that covers it, one within, one behind.
fn rules() -> StandIn {
    StandIn::unix(|seen| match seen.line() {
        "GET /v1/lookup/192.0.2.0" => Reply::json(
            200,
            r#"{"ip":"192.0.2.0","verdict":"drop","decided_by":{"policy":"drop","creation":7,"cidr":"192.0.0.0/16","tag":"wide","expiration":0},
                "also_covered_by":[{"policy":"drop","creation":7,"cidr":"192.0.2.0/32","tag":null,"expiration":0}]}"#,
        ),
        "GET /v1/drop?after=192.0.2.0%2F24&owners=true" => {
            let lines = [
                entry("192.0.2.0/32"),
                entry("192.0.2.7/32"),
                entry("192.0.3.0/24"),
            ];
            Reply::text(200, "application/x-ndjson", lines.join("\n"))
        }
        "GET /v1/ignore?after=192.0.2.0%2F24&owners=true" => {
            Reply::text(200, "application/x-ndjson", entry("192.0.2.9/32"))
        }
        other => panic!("{other}"),
    })
}

#[test]
fn a_network_can_be_checked_and_lists_can_be_asked_about_one() {
    let daemon = rules();
    let told = couicctl(&daemon, &["check", "192.0.2.0/24"]).done();
    let sentence = "192.0.2.0/24 is dropped by drop 192.0.0.0/16, except for 1 rule of policy ignore within.\n";
    assert!(told.starts_with(sentence), "{told}");
    assert!(
        told.contains("192.0.2.7/32") && !told.contains("192.0.3.0"),
        "{told}"
    );
    let json = couicctl(&daemon, &["check", "192.0.2.0/24", "--json"]).json();
    assert_eq!(
        (&json["cidr"], json["rules"].as_array().unwrap().len()),
        (&json!("192.0.2.0/24"), 4)
    );
    let listed = couicctl(&daemon, &["drop", "list", "192.0.2.0/24", "-q"]).done();
    assert_eq!(listed, "192.0.0.0/16\n192.0.2.0/32\n192.0.2.7/32\n");
}

#[test]
fn an_ipv4_host_in_its_mapped_form_is_that_host() {
    let daemon = daemon();
    couicctl(&daemon, &["ban", "::ffff:192.0.2.7"]).done();
    assert_eq!(daemon.only().json()["cidr"], "192.0.2.7/32");
    let lookup = r#"{"ip":"192.0.2.7","verdict":"pass","decided_by":null,"also_covered_by":[]}"#;
    let daemon = StandIn::always(200, lookup);
    couicctl(&daemon, &["check", "::ffff:192.0.2.7"]).done();
    assert_eq!(daemon.only().line(), "GET /v1/lookup/192.0.2.7");
}

#[test]
fn what_is_no_network_is_named() {
    let daemon = StandIn::always(200, "{}");
    for (text, named) in [
        ("198.51.100.040", "a leading zero is ambiguous"),
        ("fe80::1%eth0", "a zone"),
        ("[2001:db8::1]", "in brackets"),
        ("192.0.2.4:443", "with a port"),
        ("example.org", "a host name"),
        ("https://example.org/x", "a URL"),
    ] {
        for args in [
            &["drop", "add", text][..],
            &["check", text],
            &["unban", text],
        ] {
            let error = couicctl(&daemon, args).failed(2);
            assert!(error.contains(named), "{args:?}: {error}");
        }
    }
    assert!(daemon.requests().is_empty());
}

#[test]
fn a_reload_names_the_files_that_it_passed_over() {
    let daemon = StandIn::always(
        200,
        r#"{"reload_status":"OK","skipped":[{"policy":"drop","file":"a b.couic","line":null,"message":"sets/drop/a b.couic is not read: rename it"}]}"#,
    );
    let shown = couicctl(&daemon, &["sets", "reload"]);
    assert_eq!(
        (shown.code, &*shown.err),
        (0, "warning: sets/drop/a b.couic is not read: rename it\n")
    );
}
