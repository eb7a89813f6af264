//! Bans of several owners on one address, with frames.
#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::time::Duration;

use couic_e2e::{Daemon, Frame, Lab, unix_now, until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const BANNED: &str = "198.51.100.7";

/// A token of a new client that may write rules.
fn client(daemon: &Daemon<'_>, name: &str) -> String {
    let made = daemon.ctl_ok(&["clients", "add", "-n", name, "-g", "clientrw", "--json"]);
    let made: Value = serde_json::from_str(&made).expect("a client");
    made["token"].as_str().expect("a token").to_owned()
}

fn renew(daemon: &Daemon<'_>, token: &str, tag: &str, expiration: u64) {
    let entry = json!({"cidr": "198.51.100.7/32", "tag": tag, "expiration": expiration});
    let job = json!({"action": "add", "entry": entry});
    let outcome = daemon.api_as(token).batch("drop", &[job]);
    assert_eq!(outcome["failed"], 0, "{outcome}");
}

fn owners(daemon: &Daemon<'_>) -> Vec<String> {
    let entry = daemon.api().get("/v1/drop/198.51.100.7/32?owners=true");
    let owners = entry["owners"].as_array().expect("owners");
    let text = |o: &Value| format!("{} {}", o["name"], o["tag"]);
    owners.iter().map(text).collect()
}

#[test]
fn a_ban_ends_when_its_last_owner_releases_it_also_over_kill_9() {
    let Some(lab) = Lab::quiet() else { return };
    let mut daemon = lab.daemon().start();
    let (f2b, waf) = (client(&daemon, "f2b"), client(&daemon, "waf"));
    let soon = unix_now() as u64 + 3;
    renew(&daemon, &f2b, "long", soon + 3_600);
    renew(&daemon, &waf, "long", 0);
    renew(&daemon, &f2b, "sshd", soon);
    let frame = [Frame::v4(BANNED)];
    assert_eq!(lab.wire().arrivals(&frame), [0]);
    let all = owners(&daemon);
    assert_eq!(
        all,
        [r#""f2b" "sshd""#, r#""waf" "long""#, r#""f2b" "long""#]
    );
    daemon.signal(Signal::SIGKILL);
    let _ = daemon.exit_code();
    let daemon = daemon.restart();
    until("the short ban has ended", Duration::from_secs(20), || {
        (owners(&daemon) == all[1..]).then_some(())
    });
    assert_eq!(lab.wire().arrivals(&frame), [0]);
    let delete = |token: &str, query: &str| {
        let path = format!("/v1/drop/198.51.100.7/32{query}");
        daemon.api_as(token).request("DELETE", &path, None)
    };
    // The unban of the ban that has ended.
    let _ = delete(&f2b, "?tag=sshd").expect(404);
    assert_eq!(lab.wire().arrivals(&frame), [0]);
    let _ = delete(&waf, "").expect(204);
    let refused = delete(&waf, "").expect(422);
    assert!(
        refused.body.contains("client f2b (tag long)"),
        "{refused:?}"
    );
    assert_eq!(lab.wire().arrivals(&frame), [0]);
    let shown = daemon.ctl_ok(&["drop", "delete", BANNED, "--all-owners"]);
    assert_eq!(shown, "198.51.100.7/32 deleted from drop.\n");
    assert_eq!(lab.wire().arrivals(&frame), [1]);
}

#[test]
fn couicctl_says_what_now_happens_to_the_address() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    daemon.api().add("drop", "198.51.100.0/24", Some("feed"), 0);
    daemon.ctl_ok(&["drop", "add", BANNED]);
    let shown = daemon.ctl_ok(&["drop", "delete", BANNED]);
    assert!(
        shown.ends_with(
            "198.51.100.7/32 is still dropped: drop 198.51.100.0/24 (tag feed) covers it.\n"
        ),
        "{shown}"
    );
    assert_eq!(lab.wire().arrivals(&[Frame::v4(BANNED)]), [0]);
    daemon.api().add("ignore", "198.51.100.7/32", None, 0);
    let shown = daemon.ctl_ok(&["drop", "add", BANNED, "-e", "1h"]);
    assert!(
        shown.contains("is not dropped: ignore 198.51.100.7/32 beats drop."),
        "{shown}"
    );
    assert_eq!(lab.wire().arrivals(&[Frame::v4(BANNED)]), [1]);
    let shown = daemon.ctl_ok(&["ignore", "delete", BANNED]);
    assert!(
        shown.contains("198.51.100.7/32 is dropped now: drop 198.51.100.7/32 covers it."),
        "{shown}"
    );
    assert_eq!(lab.wire().arrivals(&[Frame::v4(BANNED)]), [0]);
}
