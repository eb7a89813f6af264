//! The filter stays over crashes, stops, upgrades and refused starts, until it is detached.

mod pins;
mod starts;

use std::time::Duration;

use couic_common::{HealthStatus, Policy};
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
    // Logged by the next probe, later than health reports it; an answer before then leaves nothing to log.
    until("it is logged", Duration::from_secs(60), || {
        daemon.log().contains(&expected).then_some(())
    });
    assert!(stands(&lab), "attached programs keep filtering");
    nix::sys::signal::kill(attacher, Signal::SIGCONT).expect("continue it");
    until("health is ok again", Duration::from_secs(60), || {
        (daemon.api().health().1.status == HealthStatus::Ok).then_some(())
    });
    let log = daemon.ended_by(Signal::SIGTERM).log();
    assert!(log.contains("the attacher answers again"), "{log}");
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
