//! The attacher, when whoever steers the serving process sends it what the serving process never would.

use std::{
    fs::File,
    io::Read,
    os::{fd::AsFd, unix::process::ExitStatusExt},
    path::Path,
    process::{Child, Stdio},
};

use couic_privsep::{Channel, Role};
use nix::unistd::geteuid;
use serde_json::{Value, json};

const ATTACHER: Role = Role {
    name: "attacher",
    run: |_| Ok(()),
};

/// An attacher without interfaces, confined and ready.
fn attacher() -> Option<(Channel, Child)> {
    if !geteuid().is_root() {
        println!("skipped: only root can start an attacher");
        return None;
    }
    let (line, theirs) = Channel::pair().unwrap();
    let mut command = ATTACHER.command(Path::new(env!("CARGO_BIN_EXE_couic")));
    command.stdin(theirs).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    drop(command);
    let start = json!({ "Start": {
        "ifaces": ["couic-none*"], "mode": "generic", "place": "nowhere", "pins": "/nonexistent",
        "owner": [0, 0], "period": 60_000,
    }});
    line.send(&start, None).unwrap();
    let (ready, _) = line.receive::<Value>().unwrap().unwrap();
    assert_eq!(ready, "Ready");
    Some((line, child))
}

/// Waits for the end of an attacher that refused a request, and returns what it said.
fn refused(line: &Channel, mut child: Child) -> String {
    while let Ok(Some(_)) = line.receive::<Value>() {}
    let mut said = String::new();
    let stderr = child.stderr.as_mut().unwrap();
    stderr.read_to_string(&mut said).unwrap();
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(1), None), "{said}");
    said
}

fn descriptors(child: &Child) -> usize {
    let fds = std::fs::read_dir(format!("/proc/{}/fd", child.id()));
    fds.unwrap().count()
}

/// Waits until everything sent before was read.
fn settle(line: &Channel) {
    line.send(&"Probe", None).unwrap();
    let (answer, _) = line.receive::<Value>().unwrap().unwrap();
    assert_eq!(answer, "Alive");
}

#[test]
fn it_keeps_one_lock_and_no_other_descriptor() {
    let Some((line, child)) = attacher() else {
        return;
    };
    let null = File::open("/dev/null").unwrap();
    let before = descriptors(&child);
    line.send(&"Lock", Some(null.as_fd())).unwrap();
    // Beside requests that take none, they are closed.
    for _ in 0..1000 {
        line.send(&"Probe", Some(null.as_fd())).unwrap();
        let _ = line.receive::<Value>().unwrap();
    }
    settle(&line);
    assert_eq!(descriptors(&child), before + 1);
    for _ in 0..5000 {
        if line.send(&"Lock", Some(null.as_fd())).is_err() {
            break;
        }
    }
    let said = refused(&line, child);
    assert!(
        said.contains("unexpected request in this state: Lock"),
        "{said}"
    );
}

#[test]
fn it_takes_no_program_once_the_verified_ones_were_sent_nor_after_detaching() {
    for last in ["Verified", "Detach"] {
        let Some((line, child)) = attacher() else {
            return;
        };
        line.send(&last, None).unwrap();
        settle_after(&line, last);
        let null = File::open("/dev/null").unwrap();
        let other = json!({ "Program": { "role": "ethernet", "id": 1 } });
        let _ = line.send(&other, Some(null.as_fd()));
        let said = refused(&line, child);
        let expected = "unexpected request in this state: Program";
        assert!(said.contains(expected), "{last}: {said}");
    }
}

fn settle_after(line: &Channel, last: &str) {
    if last == "Detach" {
        let (answer, _) = line.receive::<Value>().unwrap().unwrap();
        assert_eq!(answer, "Detached");
    }
    settle(line);
}

#[test]
fn it_takes_no_descriptor_for_another_program_than_the_one_that_is_named() {
    let Some((line, child)) = attacher() else {
        return;
    };
    let null = File::open("/dev/null").unwrap();
    let program = json!({ "Program": { "role": "ethernet", "id": 1 } });
    line.send(&program, Some(null.as_fd())).unwrap();
    let said = refused(&line, child);
    assert!(!said.contains("unexpected request"), "{said}");
    assert!(!said.contains("unknown variant"), "{said}");
}

#[test]
fn garbage_ends_it_without_a_crash() {
    let packets: [&[u8]; 6] = [
        b"x",
        b"{}",
        b"\"Fly\"",
        b"{\"Program\":{\"role\":\"ethernet\",\"id\":-1}}",
        b"\"Probe\" \"Probe\"",
        &[0xff; 3000],
    ];
    for packet in packets {
        let Some((line, child)) = attacher() else {
            return;
        };
        nix::unistd::write(&line, packet).unwrap();
        refused(&line, child);
    }
}
