//! The filter stays over kill -9, restart and stop, until it is detached: two starts.

use std::time::Duration;

use couic_common::Policy;
use couic_e2e::{BpfFs, Frame, HOST_IFACE, Lab, Stream, Tally, unix_now, until};
use nix::sys::signal::Signal;

/// Enough bursts to be sure that frames flowed in the tested state.
const SOME: u64 = 20;
const BANNED: &str = "198.51.100.7";
const INNOCENT: &str = "203.0.113.9";
const BRIEF: &str = "192.0.2.99";

#[test]
fn the_filter_stays_over_kill_and_restart_until_detached() {
    let Some((lab, fs)) = Lab::quiet().zip(BpfFs::new()) else {
        return;
    };
    lab.join("eth1", "wire1");
    let daemon = lab
        .daemon()
        .set_file(Policy::Drop, "list", "198.51.100.0/24\n2001:db8:7::/48\n")
        .user("nobody", "nogroup")
        .ifaces(&[HOST_IFACE, "eth1"])
        .stays(Some(&fs))
        .start();
    let frames = [BANNED, INNOCENT].map(Frame::v4);
    let stream = Stream::start(&lab, ("eth1", "wire1"), &frames[0], &frames[1]);
    stream.bursts(SOME);
    let daemon = daemon.ended_by(Signal::SIGKILL);
    stream.bursts(SOME);
    let daemon = daemon.restart();
    stream.bursts(SOME);
    let tally = stream.end();
    let Tally {
        dropped_arrived,
        allowed_lost,
        ..
    } = tally;
    assert_eq!((dropped_arrived, allowed_lost), (0, 0), "{tally:?}");

    let deadline = unix_now().ceil() + 4.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "Unix seconds"
    )]
    daemon
        .api()
        .add("drop", &format!("{BRIEF}/32"), None, deadline as u64);
    let mut wire = lab.wire();
    let daemon = daemon.ended_by(Signal::SIGTERM);
    until(
        "the ban ends without a daemon",
        Duration::from_secs(60),
        || {
            let arrived = wire.passes(&Frame::v4(BRIEF));
            let early = deadline - unix_now();
            assert!(
                !arrived || early <= 0.0,
                "it got through {early:.3} s early"
            );
            arrived.then_some(())
        },
    );
    assert_eq!(wire.arrivals(&frames), [0, 1], "other rules stay in force");

    let (code, output) = daemon.detach();
    assert_eq!(code, 0, "{output}");
    assert_eq!(wire.arrivals(&frames), [1, 1]);
    assert_eq!(lab.kernel_mode(HOST_IFACE), None);
    assert_eq!(fs.names(), [""; 0], "nothing is left behind");
}
