//! Event streams of a real daemon: real expiry, a restart, and a flood that readers do not follow.

#![expect(clippy::unwrap_used, reason = "a panic fails the test")]

use std::{fmt::Write as _, fs};

use couic_e2e::{Daemon, Lab, until};
use couic_testkit::{Connection, LONG, Program, admin_token};
use nix::{sys::signal::Signal, unistd::Pid};

/// `couicctl events -f` and what it prints.
fn follow(lab: &Lab, daemon: &Daemon<'_>, args: &[&str]) -> Program {
    let home = daemon.working_dir().parent().unwrap().to_owned();
    let mut command = lab.host.command(lab.binary("couicctl"));
    command
        .arg("-c")
        .arg(home.join("couicctl.toml"))
        .args(["events", "-f"])
        .args(args);
    let program = Program::start(command, &home.join("events"));
    until("the stream is open", LONG, || {
        let metrics = daemon.ctl_ok(&["metrics"]);
        metrics.contains("\ncouic_event_streams 1\n").then_some(())
    });
    program
}

#[test]
fn bans_expiries_and_a_restart_are_followed() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut events = follow(&lab, &daemon, &["--policy", "drop", "-t", "ssh*"]);
    daemon.ctl_ok(&["drop", "add", "192.0.2.7", "-t", "sshd", "-e", "2s"]);
    daemon.ctl_ok(&["drop", "add", "192.0.2.9", "-t", "web", "-e", "2s"]);
    let of = |words: &str| format!("{words} drop 192.0.2.7/32 (tag sshd)");
    events.until_printed(&of("client couicctl added")).unwrap();
    let expired = events.until_printed(&of("expiry removed")).unwrap();
    assert!(!expired.contains("192.0.2.9"), "{expired}");
    // What is kept has both.
    let kept = daemon.ctl_ok(&["events"]);
    until("the other one has expired", LONG, || {
        let kept = daemon.ctl_ok(&["events"]);
        kept.contains("expiry removed drop 192.0.2.9/32")
            .then_some(())
    });
    assert!(kept.contains("added drop 192.0.2.9/32 (tag web)"), "{kept}");

    let daemon = daemon.ended_by(Signal::SIGTERM).restart();
    events
        .until_printed("warning: the daemon has been restarted")
        .unwrap();
    daemon.ctl_ok(&["drop", "add", "192.0.2.8", "-t", "sshd"]);
    let all = events.until_printed("added drop 192.0.2.8/32").unwrap();
    assert_eq!(all.matches("has been restarted").count(), 1, "{all}");
    assert_eq!(events.end(Signal::SIGINT), -(Signal::SIGINT as i32));
}

fn resident(pid: Pid) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.unwrap().trim().parse::<u64>().unwrap() << 10
}

/// Rules at a time.
const RULES: u32 = 100_000;

/// Adds rules and removes them again.
fn churn(daemon: &Daemon<'_>) {
    let [mut adds, mut removes] = [String::new(), String::new()];
    for n in 0..RULES {
        let [_, b, c, d] = n.to_be_bytes();
        for (text, action) in [(&mut adds, "add"), (&mut removes, "remove")] {
            let _ = writeln!(
                text,
                r#"{{"action":"{action}","entry":{{"cidr":"10.{b}.{c}.{d}/32"}}}}"#
            );
        }
    }
    for (jobs, done) in [(adds, "added"), (removes, "removed")] {
        let reply = daemon.api().request("POST", "/v1/drop/batch", Some(&jobs));
        assert_eq!(reply.expect(200).json()[done], RULES);
    }
}

/// A stream costs what its sockets and buffers hold, whatever happens, and the ring is bounded.
#[test]
fn a_million_changes_cost_readers_that_do_not_read_no_memory() {
    const READERS: u64 = 16;
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    (0..2).for_each(|_| churn(&daemon));
    let before = resident(daemon.pid());
    let token = admin_token(&daemon.working_dir());
    let mut readers: Vec<Connection> = Vec::new();
    for _ in 0..READERS {
        let mut reader = Connection::unix(daemon.socket()).unwrap();
        reader.send(format!(
            "GET /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
        ));
        assert_eq!(reader.head().0, 200);
        readers.push(reader);
    }
    (0..5).for_each(|_| churn(&daemon));
    let after = resident(daemon.pid());
    println!(
        "{} changes: {} KiB, with {READERS} streams that nobody reads {} KiB",
        10 * RULES,
        before >> 10,
        after >> 10
    );
    assert!(
        after <= before + READERS * (512 << 10) + (16 << 20),
        "{before} {after}"
    );
    let kept = daemon.api().get("/v1/live");
    assert_eq!(kept["live"], true);
    let begun = std::time::Instant::now();
    let _daemon = daemon.ended_by(Signal::SIGTERM);
    assert!(begun.elapsed().as_secs() < 5, "streams held up the end");
}
