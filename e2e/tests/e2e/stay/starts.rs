//! The next start: with another configuration, refused, or of another daemon.

use std::fs;

use couic_common::XdpMode;
use couic_e2e::{Frame, HOST_IFACE};
use nix::sys::signal::Signal;

use super::{BANNED, INNOCENT, banning, is_open, lab, stands};

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
