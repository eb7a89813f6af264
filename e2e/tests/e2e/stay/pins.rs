//! The pins that keep the filter: restored, removed by `couic detach`, absent if nothing is to stay.

use std::time::Duration;

use couic_common::HealthStatus;
use couic_e2e::{Lab, until};
use nix::sys::signal::Signal;

use super::{banning, is_open, lab, stands};

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

/// Where the bpf filesystem is world-writable, as the kernel mounts it.
#[test]
fn a_directory_that_another_user_made_first_does_not_keep_the_filter_from_staying() {
    let Some((lab, fs)) = lab() else { return };
    fs.run("chmod", &["1777", "/sys/fs/bpf"]);
    fs.run(
        "setpriv",
        &[
            "--reuid=12345",
            "--regid=12345",
            "--clear-groups",
            "mkdir",
            "/sys/fs/bpf/couic",
        ],
    );
    for (user, group) in [("nobody", "nogroup"), ("root", "root")] {
        let builder = banning(lab.daemon()).user(user, group);
        let daemon = builder.stays(Some(&fs)).start();
        assert_eq!(daemon.api().health().1.status, HealthStatus::Ok, "{user}");
        let daemon = daemon.ended_by(Signal::SIGKILL);
        assert!(stands(&lab), "{user}: {}", daemon.output());
        let daemon = daemon.restart();
        assert!(stands(&lab), "{user}: {}", daemon.output());
        let daemon = daemon.ended_by(Signal::SIGTERM);
        assert!(stands(&lab), "{user}: {}", daemon.output());
        assert_eq!(daemon.detach().0, 0);
        assert!(is_open(&lab));
        assert_eq!(fs.names(), ["/sys/fs/bpf/couic"], "that one is untouched");
    }
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
        problem.contains("mount -t bpf -o mode=0700 bpf /sys/fs/bpf"),
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
