//! Attaching to interfaces, in a network namespace per test.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::allow_attributes,
    reason = "a test stops where something fails"
)]

mod dataplane_common;

use std::process::Command;

use couic::dataplane::{AttachError, Attachments, Limits, OperationMode, XdpProgram, load_tables};
use couic_common::XdpMode;
use dataplane_common::{Veth, in_namespace, ip};

fn program() -> XdpProgram {
    let limits = Limits {
        drop_entries: 1000,
        ignore_entries: 100,
    };
    load_tables(limits, false).unwrap().2
}

fn attach(ifaces: &[&str], mode: OperationMode) -> Result<Attachments, AttachError> {
    let ifaces: Vec<String> = ifaces.iter().map(|name| (*name).to_owned()).collect();
    program().attach_all(&ifaces, mode)
}

fn modes(attachments: &Attachments) -> Vec<XdpMode> {
    let health = attachments.health();
    for interface in &health {
        assert!(
            interface.attached && interface.problem.is_none(),
            "{interface:?}"
        );
    }
    let shown: Vec<XdpMode> = attachments.modes().map(|(_, mode)| mode).collect();
    let asked: Vec<XdpMode> = health
        .iter()
        .map(|interface| interface.mode.unwrap())
        .collect();
    assert_eq!(shown, asked);
    shown
}

fn xdp_of(name: &str) -> bool {
    let output = Command::new("ip")
        .args(["-d", "link", "show", "dev", name])
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).contains("xdp")
}

#[test]
fn auto_is_native_where_the_driver_can() {
    in_namespace(|| {
        let veth = Veth::new();
        let attachments = attach(&[&veth.name], OperationMode::Auto).unwrap();
        assert_eq!(modes(&attachments), [XdpMode::Native]);
        attachments.detach();
        assert!(!xdp_of(&veth.name));
    });
}

#[test]
fn auto_is_generic_where_the_driver_cannot() {
    in_namespace(|| {
        ip(&["link", "set", "lo", "up"]);
        let attachments = attach(&["lo"], OperationMode::Auto).unwrap();
        assert_eq!(modes(&attachments), [XdpMode::Generic]);
        drop(attachments);
        assert!(!xdp_of("lo"));
        let refused = attach(&["lo"], OperationMode::Native).unwrap_err();
        assert!(
            matches!(&refused, AttachError::Refused { name, .. } if name == "lo"),
            "{refused}"
        );
        assert!(refused.to_string().contains("mode native"), "{refused}");
    });
}

#[test]
fn generic_and_offloaded_are_what_was_asked_for() {
    in_namespace(|| {
        let veth = Veth::new();
        let attachments = attach(&[&veth.name], OperationMode::Generic).unwrap();
        assert_eq!(modes(&attachments), [XdpMode::Generic]);
        drop(attachments);
        let refused = attach(&[&veth.name], OperationMode::Offloaded).unwrap_err();
        assert!(refused.to_string().contains("mode offloaded"), "{refused}");
        assert!(!xdp_of(&veth.name));
    });
}

#[test]
fn jumbo_frames_keep_native_mode() {
    in_namespace(|| {
        let veth = Veth::new();
        ip(&["link", "set", &veth.name, "mtu", "9000"]);
        ip(&["link", "set", &veth.peer, "mtu", "9000"]);
        let attachments = attach(&[&veth.name], OperationMode::Native).unwrap();
        assert_eq!(modes(&attachments), [XdpMode::Native]);
    });
}

#[test]
fn an_interface_named_twice_is_attached_once() {
    in_namespace(|| {
        let veth = Veth::new();
        let attachments = attach(&[&veth.name, &veth.name], OperationMode::Auto).unwrap();
        assert_eq!(modes(&attachments).len(), 1);
    });
}

#[test]
fn a_missing_interface_is_named_and_nothing_is_attached() {
    in_namespace(|| {
        let veth = Veth::new();
        let missing = attach(&[&veth.name, "cqnone"], OperationMode::Auto).unwrap_err();
        assert!(
            missing.to_string().contains("no interface cqnone"),
            "{missing}"
        );
        assert!(!xdp_of(&veth.name));
    });
}

#[test]
fn a_foreign_program_is_named_and_left_alone() {
    in_namespace(|| {
        let (free, taken) = (Veth::new(), Veth::new());
        let foreign = attach(&[&taken.name], OperationMode::Auto).unwrap();
        let refused = attach(&[&free.name, &taken.name], OperationMode::Auto).unwrap_err();
        let AttachError::Foreign { name, id, program } = &refused else {
            panic!("{refused}")
        };
        assert_eq!((name, program.as_str()), (&taken.name, "couic"));
        let text = refused.to_string();
        assert!(
            text.contains(&format!("id {id}")) && text.contains("bpftool net"),
            "{text}"
        );
        assert!(!xdp_of(&free.name));
        assert_eq!(modes(&foreign), [XdpMode::Native]);
    });
}

#[test]
fn a_late_refusal_takes_back_what_was_attached() {
    in_namespace(|| {
        let veth = Veth::new();
        let refused = attach(&[&veth.name, "lo"], OperationMode::Native).unwrap_err();
        assert!(matches!(refused, AttachError::Refused { .. }), "{refused}");
        assert!(!xdp_of(&veth.name));
    });
}

#[test]
fn health_tells_of_vanished_and_remade_interfaces() {
    in_namespace(|| {
        let veth = Veth::new();
        let attachments = attach(&[&veth.name], OperationMode::Auto).unwrap();
        ip(&["link", "del", &veth.name]);
        let health = attachments.health().remove(0);
        assert!(
            !health.attached && health.problem.as_ref().unwrap().contains("is gone"),
            "{health:?}"
        );
        ip(&[
            "link", "add", &veth.name, "type", "veth", "peer", "name", &veth.peer,
        ]);
        let health = attachments.health().remove(0);
        assert!(
            !health.attached && health.problem.as_ref().unwrap().contains("made anew"),
            "{health:?}"
        );
    });
}

#[test]
fn health_tells_of_a_program_that_was_detached() {
    in_namespace(|| {
        let veth = Veth::new();
        let attachments = attach(&[&veth.name], OperationMode::Auto).unwrap();
        let id = attachments.program_id();
        let links = Command::new("bpftool").args(["link", "show"]).output();
        let Ok(links) = links else {
            println!("skipped: needs bpftool");
            return;
        };
        let links = String::from_utf8_lossy(&links.stdout).into_owned();
        let line = links
            .lines()
            .find(|line| line.contains(&format!("prog {id} ")))
            .unwrap();
        let link = line.split(':').next().unwrap().trim();
        let detached = Command::new("bpftool")
            .args(["link", "detach", "id", link])
            .status()
            .unwrap();
        assert!(detached.success());
        let health = attachments.health().remove(0);
        assert!(
            !health.attached && health.problem.as_ref().unwrap().contains("detached"),
            "{health:?}"
        );
        let foreign = attach(&[&veth.name], OperationMode::Auto).unwrap();
        let health = attachments.health().remove(0);
        assert!(
            !health.attached && health.problem.as_ref().unwrap().contains("took our place"),
            "{health:?}"
        );
        drop(foreign);
    });
}
