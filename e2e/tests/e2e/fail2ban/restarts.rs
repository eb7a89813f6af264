//! Bans over the life of fail2ban: stops leave them, starts renew them for the time that is left, and only an administrator
//! ends them.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use couic_e2e::{Daemon, until};
use couic_testkit::{LONG, patient};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Form, JAILS, OFFENDER, Server, begin, until_tagged};
use crate::couicmon::crowded;

const MANY: u32 = 10_000;

/// Every rule and when it ends.
fn rules(daemon: &Daemon<'_>) -> BTreeMap<String, u64> {
    let list = daemon.api().get("/v1/drop");
    let list = list.as_array().cloned().unwrap_or_default();
    let rule = |rule: &serde_json::Value| {
        let cidr = rule["cidr"].as_str().unwrap_or_default().to_owned();
        (cidr, rule["expiration"].as_u64().unwrap_or_default())
    };
    list.iter().map(rule).collect()
}

/// User and system time of a process, and of those that it has started and that have ended.
fn cpu(pid: Pid) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("its figures");
    let fields = stat.rsplit(')').next().expect("behind the name");
    let ticks: u64 = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(4)
        .map(|field| field.parse::<u64>().expect("a number"))
        .sum();
    Duration::from_millis(ticks * 10)
}

/// Ends the reader, also if the test fails beside it.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Restarts beside a reader of the list, ten times a second. Returns the fewest rules that it saw.
fn fewest_while<T>(daemon: &Daemon<'_>, work: impl FnOnce() -> T) -> (usize, T) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let poller = scope.spawn(|| {
            let mut fewest = usize::MAX;
            while !done.load(Relaxed) {
                let begun = Instant::now();
                fewest = fewest.min(rules(daemon).len());
                thread::sleep(Duration::from_millis(100).saturating_sub(begun.elapsed()));
            }
            fewest
        });
        let ending = Done(&done);
        let result = work();
        drop(ending);
        (poller.join().expect("the poller"), result)
    })
}

#[test]
fn of_ten_thousand_bans_none_is_missing_at_any_time_of_a_restart() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let jails = [("sshd", "bantime = 1d")];
    let Some((daemon, server)) = begin(&lab, dir.path(), Form::Python, &jails) else {
        return;
    };
    let sources: Vec<String> = (0..MANY)
        .map(|n| format!("100.64.{}.{}", n / 256, n % 256))
        .collect();
    let before = cpu(server.pid());
    server.fail("sshd", sources.iter().map(String::as_str));
    until("all are banned", patient(LONG), || {
        (rules(&daemon).len() == MANY as usize).then_some(())
    });
    // All of fail2ban's work, from the line on.
    let each = (cpu(server.pid()) - before) / MANY;
    assert!(each < Duration::from_millis(1), "{each:?} of CPU a ban");
    until("all are stored", LONG, || {
        (server.stored() == MANY as usize).then_some(())
    });
    let banned = rules(&daemon);
    let restored = || server_restored(dir.path());
    let (fewest, (stop, start)) = fewest_while(&daemon, || {
        let begun = Instant::now();
        server.stop();
        let (stop, begun) = (begun.elapsed(), Instant::now());
        let server = Server::start(&lab, dir.path());
        until("all are restored", LONG, || {
            (restored() >= MANY as usize).then_some(())
        });
        let start = begun.elapsed();
        // A crash loses no more than a stop.
        server.kill();
        let server = Server::start(&lab, dir.path());
        until("all are restored again", LONG, || {
            (restored() >= 2 * MANY as usize).then_some(())
        });
        server.stop();
        (stop, start)
    });
    println!("{each:?} of CPU a ban; stop {stop:?}, start {start:?}");
    assert_eq!(fewest, MANY as usize);
    assert_eq!(rules(&daemon), banned, "neither longer nor shorter");
    assert!(stop < patient(Duration::from_secs(3)), "{stop:?}");
    assert!(start < patient(Duration::from_secs(10)), "{start:?}");
}

fn server_restored(dir: &std::path::Path) -> usize {
    let log = fs::read_to_string(dir.join("fail2ban.log")).unwrap_or_default();
    log.matches("Restore Ban").count()
}

/// The commands of fail2ban that stop something leave its rules; those that unban delete them.
#[test]
fn administrators_unban_and_stops_do_not() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some((daemon, server)) = begin(&lab, dir.path(), Form::Python, &JAILS) else {
        return;
    };
    server.fail("sshd", [OFFENDER, "198.51.100.67"]);
    server.fail("www.example.org", [OFFENDER, "198.51.100.68"]);
    let banned = || {
        until_tagged(&daemon, OFFENDER, &["sshd", "www_example_org"]);
        until_tagged(&daemon, "198.51.100.67", &["sshd"]);
        until_tagged(&daemon, "198.51.100.68", &["www_example_org"]);
        rules(&daemon)
    };
    let before = banned();
    let (fewest, ()) = fewest_while(&daemon, || {
        for command in [
            "reload",
            "reload sshd",
            "restart sshd",
            "reload --restart --all",
        ] {
            server.client(command);
        }
    });
    assert_eq!((fewest, banned()), (3, before.clone()));
    server.client("stop sshd");
    assert_eq!(rules(&daemon), before);
    server.client("reload --all");
    until("its bans are back in fail2ban", LONG, || {
        let banned = server.client("get sshd banned");
        banned.contains("198.51.100.67").then_some(())
    });
    server.client("reload --unban sshd");
    until_tagged(&daemon, "198.51.100.67", &[]);
    until_tagged(&daemon, OFFENDER, &["www_example_org"]);
    server.client("unban --all");
    until_tagged(&daemon, OFFENDER, &[]);
    until_tagged(&daemon, "198.51.100.68", &[]);
    // Other actions in place of this one: fail2ban bans with them, and Couic no more.
    server.fail("sshd", ["198.51.100.69"]);
    until_tagged(&daemon, "198.51.100.69", &["sshd"]);
    let jails = dir.path().join("f2b/jail.conf");
    let text = fs::read_to_string(&jails).expect("the jails");
    fs::write(&jails, text.replace("action = %(action_)s", "action =")).expect("write");
    server.client("reload");
    until_tagged(&daemon, "198.51.100.69", &[]);
}

/// The action in ini form: a stop leaves the rules at once, a start renews them for the time that is left.
#[test]
fn the_ini_form_leaves_rules_at_a_stop_and_renews_the_rest_of_their_time() {
    let Some(lab) = crowded() else { return };
    let dir = TempDir::new().unwrap();
    let Some((daemon, server)) = begin(&lab, dir.path(), Form::Ini, &JAILS) else {
        return;
    };
    let sources: Vec<String> = (0..100).map(|n| format!("100.64.0.{n}")).collect();
    let before = cpu(server.pid());
    server.fail("sshd", sources.iter().map(String::as_str));
    until("all are banned", LONG, || {
        (rules(&daemon).len() == sources.len()).then_some(())
    });
    let each = (cpu(server.pid()) - before) / 100;
    println!("{each:?} of CPU a ban, in fail2ban and couicctl");
    server.client("unban --all");
    assert_eq!(rules(&daemon).len(), sources.len(), "as documented");
    daemon.ctl_ok(&["drop", "delete", "-t", "sshd", "--if-exists"]);
    server.fail("sshd", [OFFENDER]);
    server.fail("www.example.org", [OFFENDER]);
    let before = until_tagged(&daemon, OFFENDER, &["sshd", "www_example_org"]);
    let (fewest, server) = fewest_while(&daemon, || {
        server.stop();
        let server = Server::start(&lab, dir.path());
        until("both are restored", LONG, || {
            (server_restored(dir.path()) >= 2).then_some(())
        });
        server.client("ping");
        server
    });
    assert_eq!(fewest, 1);
    server.stop();
    let after = until_tagged(&daemon, OFFENDER, &["sshd", "www_example_org"]);
    assert_eq!(after, before);
}
