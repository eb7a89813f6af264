//! Debian's fail2ban bans through Couic: from lines of a log to packets that are dropped, by both actions of `config/fail2ban`.

mod outages;
mod restarts;
mod server;

use std::{collections::BTreeMap, path::Path};

use couic_common::unix_seconds;
use couic_e2e::{Daemon, HOST_V4, Lab, until};
use couic_testkit::LONG;
use serde_json::Value;
use server::{Form, Server, configure, is_installed};
use tempfile::TempDir;

use crate::couicmon::{crowded, until_dropped};

const OFFENDER: &str = "198.51.100.66";
const OFFENDER_V6: &str = "2001:db8:66::7";
const VISITOR: &str = "203.0.113.10";

/// A jail of ten minutes, and one for ever whose name is no tag.
const JAILS: [(&str, &str); 2] = [
    ("sshd", "bantime = 10m"),
    ("www.example.org", "bantime = -1"),
];

/// A lab, a daemon that works, and a server with jails of this form; None if something is missing.
fn begin<'lab>(
    lab: &'lab Lab,
    dir: &Path,
    form: Form,
    jails: &[(&str, &str)],
) -> Option<(Daemon<'lab>, Server<'lab>)> {
    if !is_installed() {
        return None;
    }
    let daemon = lab.daemon().start();
    configure(lab, &daemon, dir, form, jails);
    let server = Server::start(lab, dir);
    Some((daemon, server))
}

/// The expirations of a source's claims, by tag.
fn claims(daemon: &Daemon<'_>, source: &str) -> BTreeMap<String, u64> {
    let path = if source.contains(':') {
        format!("/v1/drop/{source}/128?owners=true")
    } else {
        format!("/v1/drop/{source}/32?owners=true")
    };
    let answer = daemon.api().request("GET", &path, None);
    if answer.status == 404 {
        return BTreeMap::new();
    }
    let rule: Value = answer.expect(200).json();
    let owners = rule["owners"].as_array().cloned().unwrap_or_default();
    let claim = |owner: &Value| {
        let tag = owner["tag"].as_str().unwrap_or_default().to_owned();
        (tag, owner["expiration"].as_u64().unwrap_or(u64::MAX))
    };
    owners.iter().map(claim).collect()
}

/// Waits until a source has claims with exactly these tags.
fn until_tagged(daemon: &Daemon<'_>, source: &str, tags: &[&str]) -> BTreeMap<String, u64> {
    let what = format!("{source} is held by {tags:?}");
    until(&what, LONG, || {
        let claims = claims(daemon, source);
        claims.keys().eq(tags.iter()).then_some(claims)
    })
    .0
}

/// Two jails hold an address: each by a claim of its own, for its own time. Both forms.
#[test]
fn jails_do_not_undo_each_other() {
    for form in [Form::Python, Form::Ini] {
        let Some(lab) = crowded() else { return };
        let dir = TempDir::new().unwrap();
        let Some((daemon, server)) = begin(&lab, dir.path(), form, &JAILS) else {
            return;
        };
        assert!(lab.ping_from(HOST_V4, Some(OFFENDER)));
        let before = unix_seconds();
        server.fail("www.example.org", [OFFENDER]);
        let claims = until_tagged(&daemon, OFFENDER, &["www_example_org"]);
        assert_eq!(claims["www_example_org"], 0, "{form:?}");
        until_dropped(&lab, OFFENDER);
        server.fail("sshd", [OFFENDER, OFFENDER_V6]);
        let claims = until_tagged(&daemon, OFFENDER, &["sshd", "www_example_org"]);
        let (from, to) = (before + 600, unix_seconds() + 601);
        assert!(
            (from..=to).contains(&claims["sshd"]),
            "{form:?}: {claims:?}"
        );
        until_tagged(&daemon, OFFENDER_V6, &["sshd"]);
        assert!(lab.ping_from(HOST_V4, Some(VISITOR)));
        let list = daemon.ctl_ok(&["drop", "inspect", OFFENDER]);
        assert!(list.contains("www.example.org: 2 failures"), "{list}");
        // The end of one leaves the other.
        server.client(&format!("set www.example.org unbanip {OFFENDER}"));
        until_tagged(&daemon, OFFENDER, &["sshd"]);
        assert!(!lab.ping_from(HOST_V4, Some(OFFENDER)));
        server.client(&format!("unban {OFFENDER}"));
        until_tagged(&daemon, OFFENDER, &[]);
        assert!(lab.ping_from(HOST_V4, Some(OFFENDER)));
        // An administrator who ends it in Couic, and fail2ban after that, is no error.
        daemon.ctl_ok(&["drop", "delete", OFFENDER_V6, "--all-owners"]);
        server.client(&format!("set sshd unbanip {OFFENDER_V6}"));
        assert_eq!(server.said(&["ERROR"]), 0, "{}", server.log());
        server.stop();
    }
}

/// A ban of this host's own address is refused, said once and not tried again; what is asked for beside it is done.
#[test]
fn what_couic_refuses_is_said_and_not_tried_again() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some((daemon, server)) = begin(&lab, dir.path(), Form::Python, &JAILS) else {
        return;
    };
    server.client(&format!(
        "set sshd banip {HOST_V4} {OFFENDER} 203.0.113.0/28"
    ));
    until_tagged(&daemon, OFFENDER, &["sshd"]);
    let refusal = [HOST_V4, "refused by the guard rail host"];
    until("it is said", LONG, || {
        (server.said(&refusal) > 0).then_some(())
    });
    // What comes later has passed it.
    server.client("set sshd banip 203.0.113.77");
    until_tagged(&daemon, "203.0.113.77", &["sshd"]);
    assert_eq!(server.said(&refusal), 1, "{}", server.log());
    let list = daemon.ctl_ok(&["drop", "list", "-q"]);
    assert!(
        list.contains("203.0.113.0/28") && !list.contains(HOST_V4),
        "{list}"
    );
}

/// With bantime.increment fail2ban makes a ban longer after it was made.
#[test]
fn bans_that_become_longer_last_longer() {
    for form in [Form::Python, Form::Ini] {
        let Some(lab) = crowded() else { return };
        let dir = TempDir::new().unwrap();
        let jail = "bantime = 3s\nbantime.increment = true\nbantime.formula = ban.Time * 1000";
        let Some((daemon, server)) = begin(&lab, dir.path(), form, &[("sshd", jail)]) else {
            return;
        };
        server.fail("sshd", [OFFENDER]);
        until_tagged(&daemon, OFFENDER, &["sshd"]);
        until("it has ended", LONG, || {
            (server.said(&["Unban", OFFENDER]) > 0).then_some(())
        });
        until_tagged(&daemon, OFFENDER, &[]);
        let least = unix_seconds() + 2_000;
        server.fail("sshd", [OFFENDER]);
        until(
            &format!("{form:?}: the second ban lasts longer"),
            LONG,
            || {
                let end = claims(&daemon, OFFENDER).get("sshd").copied();
                end.filter(|end| *end >= least)
            },
        );
    }
}
