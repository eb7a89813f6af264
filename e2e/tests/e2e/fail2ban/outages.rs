//! Couic is restarted, is away, or takes the token away: no ban is lost.

use std::{fs, time::Duration};

use couic_e2e::until;
use couic_testkit::{LONG, patient};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use super::{Form, JAILS, OFFENDER, VISITOR, begin, claims, until_tagged};
use crate::couicmon::crowded;

#[test]
fn changes_wait_while_the_daemon_is_away() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some((daemon, server)) = begin(&lab, dir.path(), Form::Python, &JAILS) else {
        return;
    };
    server.fail("sshd", [VISITOR]);
    until_tagged(&daemon, VISITOR, &["sshd"]);
    let daemon = daemon.ended_by(Signal::SIGKILL);
    let many: Vec<String> = (0..200).map(|n| format!("198.51.100.{n}")).collect();
    server.fail("sshd", many.iter().map(String::as_str));
    server.fail("www.example.org", [OFFENDER]);
    until("fail2ban has banned all", LONG, || {
        (server.said(&[" Ban ", "198.51.100."]) == many.len() + 1).then_some(())
    });
    // The last change of an address counts.
    server.client(&format!("set sshd unbanip {VISITOR}"));
    server.client("set sshd unbanip 198.51.100.7");
    until("fail2ban says that couic does not answer", LONG, || {
        (server.said(&["[www.example.org] couic does not answer"]) > 0).then_some(())
    });
    let daemon = daemon.restart();
    let (_, took) = until("all bans are made", LONG, || {
        let list = daemon.api().get("/v1/drop?tag=sshd");
        let count = list.as_array().map_or(0, Vec::len);
        (count == many.len() - 1).then_some(())
    });
    assert!(took < patient(Duration::from_secs(5)), "{took:?}");
    until_tagged(&daemon, OFFENDER, &["sshd", "www_example_org"]);
    until_tagged(&daemon, "198.51.100.7", &[]);
    until_tagged(&daemon, VISITOR, &[]);
    for jail in ["[sshd]", "[www.example.org]"] {
        until("that is said, too", LONG, || {
            (server.said(&[jail, "couic answers again"]) == 1).then_some(())
        });
        assert_eq!(server.said(&[jail, "does not answer"]), 1);
    }
    server.stop();
}

/// While nothing answers, a stop does not wait for it; the next start has fail2ban's bans all the same.
#[test]
fn a_stop_without_the_daemon_is_soon_over_and_its_bans_come_with_the_next_start() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some((daemon, server)) = begin(&lab, dir.path(), Form::Python, &JAILS) else {
        return;
    };
    let daemon = daemon.ended_by(Signal::SIGKILL);
    server.fail("sshd", [OFFENDER]);
    until("it is banned", LONG, || {
        (server.said(&[" Ban ", OFFENDER]) > 0).then_some(())
    });
    let begun = std::time::Instant::now();
    server.stop();
    let took = begun.elapsed();
    assert!(took < patient(Duration::from_secs(5)), "{took:?}");
    let daemon = daemon.restart();
    assert!(claims(&daemon, OFFENDER).is_empty());
    let server = super::Server::start(&lab, dir.path());
    assert_eq!(server.said(&["[sshd] 1 change was not made"]), 1);
    until_tagged(&daemon, OFFENDER, &["sshd"]);
}

#[test]
fn a_new_token_is_read_without_a_restart() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some((daemon, server)) = begin(&lab, dir.path(), Form::Python, &JAILS) else {
        return;
    };
    let file = dir.path().join("token");
    let old = fs::read_to_string(&file).expect("the token");
    let path = file.to_str().expect("UTF-8");
    daemon.ctl_ok(&[
        "clients",
        "rotate",
        "fail2ban",
        "--grace",
        "0",
        "--token-file",
        path,
    ]);
    let new = fs::read_to_string(&file).expect("the token");
    fs::write(&file, old).expect("write");
    server.fail("sshd", [OFFENDER]);
    until("it says that the token is refused", LONG, || {
        (server.said(&["the token in", "is refused"]) > 0).then_some(())
    });
    assert!(claims(&daemon, OFFENDER).is_empty());
    fs::write(&file, new).expect("write");
    until_tagged(&daemon, OFFENDER, &["sshd"]);
    assert_eq!(server.said(&["is refused"]), 1, "{}", server.log());
}

/// A source that goes on although fail2ban has banned it is banned again.
#[test]
fn a_rule_that_is_missing_is_made_when_its_source_goes_on() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some((daemon, server)) = begin(&lab, dir.path(), Form::Python, &JAILS) else {
        return;
    };
    server.fail("sshd", [OFFENDER]);
    until_tagged(&daemon, OFFENDER, &["sshd"]);
    daemon.ctl_ok(&["drop", "delete", OFFENDER, "--all-owners"]);
    // fail2ban looks at it if it fails more than three seconds after its ban.
    until("it is banned again", LONG, || {
        std::thread::sleep(Duration::from_millis(500));
        server.fail("sshd", [OFFENDER]);
        claims(&daemon, OFFENDER).contains_key("sshd").then_some(())
    });
}

/// In the ini form, a ban and those behind it wait for the daemon.
#[test]
fn the_ini_form_waits_for_a_daemon_that_is_restarted() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some((daemon, server)) = begin(&lab, dir.path(), Form::Ini, &JAILS) else {
        return;
    };
    let daemon = daemon.ended_by(Signal::SIGKILL);
    server.fail("sshd", [OFFENDER, VISITOR]);
    until("the check has failed", LONG, || {
        (server.said(&["Invariant check failed"]) > 0).then_some(())
    });
    let daemon = daemon.restart();
    for source in [OFFENDER, VISITOR] {
        until_tagged(&daemon, source, &["sshd"]);
    }
    assert_eq!(server.said(&["Failed to execute ban"]), 0);
}

/// The queue of a jail is bounded: what does not fit is said, and comes with a restart of the jail.
#[test]
fn what_the_queue_cannot_hold_is_said_and_can_be_made_up_for() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some((daemon, server)) = begin(&lab, dir.path(), Form::Python, &JAILS) else {
        return;
    };
    let jails = dir.path().join("f2b/jail.conf");
    let text = fs::read_to_string(&jails).expect("the jails");
    let text = text.replace("token_file=", "queue=\"50\", sokcet=\"x\", token_file=");
    fs::write(&jails, text).expect("write");
    server.client("reload");
    assert!(server.said(&["[sshd] couic.py has no option sokcet"]) > 0);
    let daemon = daemon.ended_by(Signal::SIGKILL);
    let many: Vec<String> = (0..200).map(|n| format!("198.51.100.{n}")).collect();
    server.fail("sshd", many.iter().map(String::as_str));
    until("fail2ban has banned all", LONG, || {
        (server.said(&[" Ban ", "198.51.100."]) == many.len()).then_some(())
    });
    assert_eq!(server.said(&["further ones are not kept"]), 1);
    let daemon = daemon.restart();
    until("what came through is said", LONG, || {
        (server.said(&["[sshd]", "reload --restart sshd"]) == 1).then_some(())
    });
    let count = || daemon.api().get("/v1/drop").as_array().map_or(0, Vec::len);
    until("those that waited are made", LONG, || {
        (count() >= 50).then_some(())
    });
    assert!(count() < many.len());
    until("fail2ban has stored all", LONG, || {
        (server.stored() == many.len()).then_some(())
    });
    server.client("reload --restart sshd");
    until("all are made", LONG, || {
        (count() == many.len()).then_some(())
    });
}
