//! The filter stays over crashes, stops, upgrades and refused starts, until it is detached.

use std::{fs, time::Duration};

use couic_common::{HealthStatus, Policy, XdpMode};
use couic_e2e::{BpfFs, DaemonBuilder, Frame, HOST_IFACE, Lab, Stream, Tally, unix_now, until};
use couic_testkit::copy_program;
use nix::sys::signal::Signal;

/// Enough bursts to be sure that frames flowed in the tested state.
const SOME: u64 = 40;

const BANNED: &str = "198.51.100.7";
const INNOCENT: &str = "203.0.113.9";

fn lab() -> Option<(Lab, BpfFs)> {
    Lab::quiet().zip(BpfFs::new())
}

fn banning(builder: DaemonBuilder<'_>) -> DaemonBuilder<'_> {
    builder.set_file(Policy::Drop, "list", "198.51.100.0/24\n2001:db8:7::/48\n")
}

/// Whether the filter drops the banned source and passes the innocent one.
fn stands(lab: &Lab) -> bool {
    lab.wire()
        .arrivals(&[Frame::v4(BANNED), Frame::v4(INNOCENT)])
        == [0, 1]
}

fn is_open(lab: &Lab) -> bool {
    lab.wire()
        .arrivals(&[Frame::v4(BANNED), Frame::v4(INNOCENT)])
        == [1, 1]
}

#[test]
fn no_frame_is_passed_or_dropped_wrongly_however_the_daemon_ends() {
    let Some((lab, fs)) = lab() else { return };
    lab.join("eth1", "wire1");
    let both = [HOST_IFACE, "eth1"];
    let builder = banning(lab.daemon()).ifaces(&both).stays(Some(&fs));
    let daemon = builder.start();
    let stream = Stream::start(
        &lab,
        ("eth1", "wire1"),
        &Frame::v4(BANNED),
        &Frame::v4(INNOCENT),
    );
    stream.bursts(SOME);

    let daemon = daemon.ended_by(Signal::SIGKILL);
    stream.bursts(SOME);
    let daemon = daemon.restart();
    stream.bursts(SOME);

    let daemon = daemon.ended_by(Signal::SIGTERM);
    stream.bursts(SOME);
    let daemon = daemon.restart();
    stream.bursts(SOME);

    // Another build, with tables of its own.
    let other = daemon.socket().with_file_name("couic-other-build");
    copy_program(&lab.binary("couic"), &other);
    let daemon = daemon.ended_by(Signal::SIGTERM).builder().binary(other);
    let limits = "[limits]\ndrop_entries = 200000\nignore_entries = 1000\n";
    let daemon = daemon.ifaces(&both).config(limits).start();
    stream.bursts(SOME);

    for round in 0..3 {
        let more: String = (0..2000)
            .map(|n| format!("10.{round}.{}.{}/32\n", n / 250, n % 250))
            .collect();
        daemon.set_file(Policy::Drop, "more", &more);
        daemon.api().reload();
        stream.bursts(SOME / 4);
    }
    let tally = stream.end();
    println!("{tally:?}");
    let Tally {
        dropped_arrived,
        allowed_lost,
        ..
    } = tally;
    assert_eq!((dropped_arrived, allowed_lost), (0, 0), "{tally:?}");
}

/// The common case: started as root, running as another user, with rules from the API.
#[test]
fn the_filter_of_a_daemon_without_root_stays() {
    let Some((lab, fs)) = lab() else { return };
    let builder = lab.daemon().user("nobody", "nogroup").ifaces(&["eth*"]);
    let mut daemon = builder.stays(Some(&fs)).start();
    daemon.api().add("drop", "198.51.100.0/24", None, 0);
    for signal in [Signal::SIGKILL, Signal::SIGTERM] {
        let ended = daemon.ended_by(signal);
        assert!(stands(&lab), "{signal}: {}", ended.output());
        daemon = ended.restart();
        assert!(stands(&lab), "{signal}: {}", daemon.output());
    }
    // The attacher, which runs as the user nobody now, still attaches and pins.
    lab.join("eth1", "wire1");
    until("eth1 is filtered", Duration::from_secs(60), || {
        lab.kernel_mode("eth1")
    });
    until("both are kept", Duration::from_secs(60), || {
        let kept = fs.names().into_iter().filter(|name| name.contains("/if"));
        (kept.count() == 2).then_some(())
    });
    let (status, health) = daemon.api().health();
    assert_eq!(
        (status, health.status),
        (200, HealthStatus::Ok),
        "{health:?}"
    );
}

/// The pins are removed from outside while the daemon runs.
#[test]
fn removed_pins_are_restored_or_health_says_what_to_do() {
    let Some((lab, fs)) = lab() else { return };
    // As mounted by systemd: only root can reach the directory by its path.
    fs.run("chmod", &["0700", "/sys/fs/bpf"]);
    let pinned = |count: usize| {
        until("all links are pinned", Duration::from_secs(90), || {
            let kept = fs.names().into_iter().filter(|name| name.contains("/if"));
            (kept.count() == count).then_some(())
        });
    };
    for (nth, (user, group)) in [("nobody", "nogroup"), ("root", "root")]
        .into_iter()
        .enumerate()
    {
        let builder = banning(lab.daemon()).user(user, group);
        let mut daemon = builder.ifaces(&["eth0", "eth1?"]).stays(Some(&fs)).start();
        for (round, removed) in ["couic", "couic/*", "couic/*/*"].into_iter().enumerate() {
            fs.run("sh", &["-c", &format!("rm -r /sys/fs/bpf/{removed}")]);
            // The attacher checks every minute, and when an interface appears.
            let number = nth * 3 + round;
            lab.join(&format!("eth1{number}"), &format!("wire1{number}"));
            // Only root may recreate the directory.
            if user == "nobody" && removed != "couic/*/*" {
                let (problem, _) = until(
                    "health names the directory",
                    Duration::from_secs(90),
                    || daemon.api().health().1.filter_problems.pop(),
                );
                assert!(problem.contains("cannot be created again"), "{problem}");
                assert!(stands(&lab), "it filters meanwhile");
                daemon = daemon.ended_by(Signal::SIGTERM).restart();
            }
            pinned(number + 2);
            until("health is ok again", Duration::from_secs(60), || {
                (daemon.api().health().1.status == HealthStatus::Ok).then_some(())
            });
            daemon = daemon.ended_by(Signal::SIGKILL);
            assert!(stands(&lab), "{user} {removed}: {}", daemon.output());
            daemon = daemon.restart();
            assert!(stands(&lab), "{user} {removed}: {}", daemon.output());
        }
        let ended = daemon.ended_by(Signal::SIGTERM);
        assert!(
            ended
                .log()
                .contains("was removed from outside, and the link was pinned again"),
            "{}",
            ended.log()
        );
        assert_eq!(ended.detach().0, 0);
        assert!(is_open(&lab));
    }
}

#[test]
fn health_reports_a_stopped_attacher_within_seconds() {
    let Some((lab, fs)) = lab() else { return };
    let daemon = banning(lab.daemon()).stays(Some(&fs)).start();
    let attacher = daemon.attacher().expect("an attacher");
    nix::sys::signal::kill(attacher, Signal::SIGSTOP).expect("stop the attacher");
    let (problem, _) = until("health names it", Duration::from_secs(60), || {
        daemon.api().health().1.filter_problems.pop()
    });
    let expected = format!("the attacher (process {attacher}) has not answered for ");
    assert!(problem.starts_with(&expected), "{problem}");
    assert!(stands(&lab), "attached programs keep filtering");
    nix::sys::signal::kill(attacher, Signal::SIGCONT).expect("continue it");
    until("health is ok again", Duration::from_secs(60), || {
        (daemon.api().health().1.status == HealthStatus::Ok).then_some(())
    });
    let log = daemon.ended_by(Signal::SIGTERM).log();
    assert!(log.contains("the attacher answers again"), "{log}");
}

#[test]
fn detach_removes_the_filter_if_no_daemon_runs() {
    let Some((lab, fs)) = lab() else { return };
    let daemon = banning(lab.daemon()).stays(Some(&fs)).start();
    let (code, output) = daemon.detach();
    assert_eq!(code, 1, "{output}");
    let pid = daemon.pid();
    assert!(
        output.contains(&format!("couic (process {pid}) runs")),
        "{output}"
    );
    let daemon = daemon.ended_by(Signal::SIGTERM);
    assert!(stands(&lab), "{}", daemon.output());
    assert_eq!(fs.names().len(), 3, "{:?}", fs.names());
    let (code, output) = daemon.detach();
    assert_eq!(
        (code, output.as_str()),
        (0, "no longer filtering on eth0\n")
    );
    assert!(is_open(&lab));
    assert_eq!(fs.names(), [""; 0], "nothing is left behind");
    let (code, output) = daemon.detach();
    let nothing = "nothing of this configuration is attached\n";
    assert_eq!((code, output.as_str()), (0, nothing));
}

#[test]
fn without_a_bpffs_the_filter_ends_with_the_daemon_and_health_says_so() {
    let Some(lab) = Lab::quiet() else { return };
    let nowhere = [
        "unshare",
        "-m",
        "sh",
        "-c",
        "umount -a -t bpf; exec \"$@\"",
        "sh",
    ];
    let builder = banning(lab.daemon()).stays(None).wrapped(&nowhere, &[]);
    let daemon = builder.start();
    let (status, health) = daemon.api().health();
    assert_eq!((status, health.status), (200, HealthStatus::Degraded));
    let problem = &health.filter_problems[0];
    assert!(
        problem.contains("mount -t bpf bpf /sys/fs/bpf"),
        "{problem}"
    );
    // A mount in this namespace, like that of ip netns exec, would end with the daemon.
    assert!(
        problem.contains("start couic by nsenter --net="),
        "{problem}"
    );
    let _daemon = daemon.ended_by(Signal::SIGTERM);
    assert!(is_open(&lab));
}

#[test]
fn with_keep_filter_never_the_filter_ends_with_the_daemon_and_earlier_pins_are_removed() {
    let Some((lab, fs)) = lab() else { return };
    let never = "[state]\nkeep_filter = \"never\"\n";
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let stays = banning(lab.daemon()).stays(Some(&fs)).start();
        let builder = stays.ended_by(Signal::SIGKILL).builder();
        let daemon = builder.config(never).start();
        assert!(stands(&lab));
        assert_eq!(daemon.api().health().1.status, HealthStatus::Ok);
        assert_eq!(fs.names(), [""; 0], "nothing is pinned");
        let _daemon = daemon.ended_by(signal);
        // The attacher of a killed daemon exits a moment later.
        until("the filter is detached", Duration::from_secs(60), || {
            is_open(&lab).then_some(())
        });
    }
}

#[test]
fn a_refused_start_leaves_the_filter_unchanged() {
    let Some((lab, fs)) = lab() else { return };
    let mut daemon = banning(lab.daemon()).stays(Some(&fs)).start();
    let refusals: [(&str, &[&str], &str, i32); 4] = [
        ("auto", &[HOST_IFACE], "[limits]\ndrop_entries = 0\n", 64),
        ("auto", &[HOST_IFACE, "nosuch7"], "", 1),
        ("native", &[HOST_IFACE, "lo"], "", 1),
        // The socket's path is not a socket.
        ("auto", &[HOST_IFACE], "", 1),
    ];
    for (nth, (mode, ifaces, more, code)) in refusals.into_iter().enumerate() {
        let socket = daemon.socket();
        daemon = daemon.ended_by(Signal::SIGTERM);
        let builder = daemon.builder().mode(mode).ifaces(ifaces).config(more);
        if nth == 3 {
            fs::create_dir(&socket).expect("something in the socket's place");
        }
        let refusal = builder.try_start().expect_err("it cannot start");
        assert_eq!(refusal.status.code(), Some(code), "{}", refusal.output);
        assert!(stands(&lab), "{nth}: {}", refusal.output);
        assert_eq!(lab.kernel_mode(HOST_IFACE), Some(XdpMode::Native));
        if nth == 3 {
            fs::remove_dir(&socket).expect("remove it");
        }
        daemon = refusal.again(&lab).start();
        assert!(stands(&lab), "{nth}");
    }
}

#[test]
fn interfaces_removed_from_ifaces_are_detached_at_the_next_start() {
    let Some((lab, fs)) = lab() else { return };
    lab.join("eth1", "wire1");
    let builder = banning(lab.daemon()).ifaces(&[HOST_IFACE, "eth1"]);
    let daemon = builder.stays(Some(&fs)).start();
    let daemon = daemon.ended_by(Signal::SIGTERM).builder();
    let daemon = daemon.ifaces(&["eth1"]).start();
    assert!(is_open(&lab), "{}", daemon.output());
    assert_eq!(lab.kernel_mode(HOST_IFACE), None);
    let frames = [BANNED, INNOCENT].map(Frame::v4);
    assert_eq!(lab.wire_between("eth1", "wire1").arrivals(&frames), [0, 1]);
    assert_eq!(fs.names().len(), 3, "{:?}", fs.names());
}

#[test]
fn a_changed_mode_is_used_at_the_next_start() {
    let Some((lab, fs)) = lab() else { return };
    let mut daemon = banning(lab.daemon())
        .mode("generic")
        .stays(Some(&fs))
        .start();
    for (mode, expected) in [
        ("native", XdpMode::Native),
        ("auto", XdpMode::Native),
        ("generic", XdpMode::Generic),
        // auto keeps the mode of the attached filter.
        ("auto", XdpMode::Generic),
    ] {
        daemon = daemon
            .ended_by(Signal::SIGTERM)
            .builder()
            .mode(mode)
            .start();
        assert_eq!(lab.kernel_mode(HOST_IFACE), Some(expected), "{mode}");
        assert!(stands(&lab), "{mode}");
    }
}

#[test]
fn rules_expire_in_time_without_a_daemon() {
    let Some((lab, fs)) = lab() else { return };
    let daemon = banning(lab.daemon()).stays(Some(&fs)).start();
    let mut wire = lab.wire();
    let banned = Frame::v4("192.0.2.99");
    // Enough time for the check before it on a slow machine.
    let deadline = unix_now() + 4.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "Unix seconds"
    )]
    let seconds = deadline.ceil() as u64;
    daemon.api().add("drop", "192.0.2.99/32", None, seconds);
    let _daemon = daemon.ended_by(Signal::SIGKILL);
    until("the ban ends", Duration::from_secs(60), || {
        let arrived = wire.passes(&banned);
        let early = deadline - unix_now();
        assert!(
            !arrived || early <= 0.0,
            "it got through {early:.3} s early"
        );
        arrived.then_some(())
    });
    assert!(stands(&lab), "rules without expiration stay in force");
}

#[test]
fn daemons_do_not_take_each_others_interfaces() {
    let Some((lab, fs)) = lab() else { return };
    let first = banning(lab.daemon()).stays(Some(&fs)).start();
    let refusal = lab.daemon().stays(Some(&fs)).try_start();
    let output = refusal.expect_err("the interface is taken").output;
    assert!(output.contains("of another Couic (id "), "{output}");
    let _first = first.ended_by(Signal::SIGKILL);
    let refusal = lab.daemon().stays(Some(&fs)).try_start();
    let output = refusal.expect_err("its filter stays").output;
    assert!(output.contains("couic detach -c FILE"), "{output}");
    assert!(stands(&lab));
}

#[test]
fn without_its_attacher_the_daemon_ends_and_the_filter_stays() {
    let Some((lab, fs)) = lab() else { return };
    let mut daemon = banning(lab.daemon()).stays(Some(&fs)).start();
    let (attacher, _) = until("the attacher is found", Duration::from_secs(60), || {
        daemon.attacher()
    });
    nix::sys::signal::kill(attacher, Signal::SIGTERM).expect("signal the attacher");
    assert_eq!(daemon.api().health().0, 200, "it ignores SIGTERM");
    nix::sys::signal::kill(attacher, Signal::SIGKILL).expect("kill the attacher");
    assert_eq!(daemon.exit_code(), 1, "{}", daemon.output());
    assert!(
        daemon.output().contains("was killed by SIGKILL"),
        "{}",
        daemon.output()
    );
    assert!(stands(&lab));
    let daemon = daemon.restart();
    assert_eq!(daemon.api().health().0, 200);
    assert!(stands(&lab));
}
