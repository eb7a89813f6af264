//! The first steps of a new operator work: the demo, and the capabilities granted by the systemd unit.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::process::Command;

use couic_e2e::{Frame, Lab};

use crate::couicmon::servers::is_there;

fn succeeds(name: &str) {
    let Some(lab) = Lab::quiet() else { return };
    let couic = lab.binary("couic");
    let script = format!("{}/../scripts/{name}", env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(script)
        .env("COUIC_BIN_DIR", couic.parent().expect("a directory"))
        .env_remove("SSH_CONNECTION")
        .output()
        .expect("run the demo");
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complained}");
    assert!(said.ends_with("Nothing is left behind.\n"), "{said}");
}

#[test]
fn the_demo_succeeds() {
    succeeds("demo");
}

#[test]
fn the_demo_of_couicmon_succeeds() {
    if is_there("nginx", "-v") {
        succeeds("demo-couicmon");
    }
}

#[test]
fn the_demo_of_crowdsec_succeeds() {
    if is_there("crowdsec", "-version") && is_there("cscli", "version") {
        succeeds("demo-crowdsec");
    }
}

#[test]
fn the_capabilities_of_the_systemd_unit_suffice() {
    let Some(lab) = Lab::quiet() else { return };
    let unit = include_str!("../../../config/systemd/couic.service");
    let capabilities = unit
        .lines()
        .find_map(|line| line.strip_prefix("AmbientCapabilities="))
        .expect("the unit names its capabilities")
        .to_ascii_lowercase()
        .replace("cap_", "+")
        .replace(' ', ",");
    let daemon = lab.daemon().unprivileged(&capabilities).start();
    daemon.api().add("drop", "198.51.100.7/32", None, 0);
    let frames = ["198.51.100.7", "198.51.100.8"].map(Frame::v4);
    assert_eq!(lab.wire().arrivals(&frames), [0, 1]);
}
