//! A reload applies all sets or none, and no frame gets a wrong verdict meanwhile.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use couic_common::Policy;
use couic_e2e::{Frame, Lab, Wire};

use super::{BLOCKED, OTHER, big_set};

#[test]
fn a_reload_with_a_bad_line_changes_nothing_and_names_it() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab
        .daemon()
        .set_file(Policy::Drop, "first", "198.51.100.7/32\n")
        .set_file(Policy::Ignore, "friends", "198.51.100.9/32\n")
        .start();
    let mut wire = lab.wire();
    let frames = [BLOCKED, OTHER, "198.51.100.9"].map(Frame::v4);
    daemon.set_file(Policy::Drop, "first", "203.0.113.7/32\n");
    daemon.set_file(
        Policy::Ignore,
        "friends",
        "203.0.113.0/24\n198.51.100.9/32\n10.0.0.0/33\n",
    );
    let refused = daemon
        .api()
        .request("POST", "/v1/sets/reload", None)
        .expect(422);
    for part in ["friends.couic", "3", "10.0.0.0/33"] {
        assert!(refused.body.contains(part), "{part} is not in {refused:?}");
    }
    assert_eq!(wire.arrivals(&frames), [0, 1, 1]);
    assert_eq!(daemon.api().stats().drop_cidr_count, 1);
    daemon.set_file(Policy::Ignore, "friends", "# empty on purpose\n");
    daemon.api().reload();
    assert_eq!(wire.arrivals(&frames), [1, 0, 1]);
}

#[test]
fn a_reload_beyond_the_capacity_changes_nothing() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab
        .daemon()
        .config("[limits]\ndrop_entries = 100\n")
        .set_file(Policy::Drop, "first", "198.51.100.7/32\n")
        .start();
    let mut wire = lab.wire();
    let many: String = (0..101).map(|n| format!("10.0.0.{n}/32\n")).collect();
    daemon.set_file(Policy::Drop, "first", &many);
    let refused = daemon.api().request("POST", "/v1/sets/reload", None);
    assert_eq!(refused.status, 422, "{refused:?}");
    assert!(
        refused.body.contains("drop_entries"),
        "what to raise: {refused:?}"
    );
    assert_eq!(
        wire.arrivals(&[Frame::v4(BLOCKED), Frame::v4("10.0.0.1")]),
        [0, 1]
    );
    // A hundred other entries fit in place of the old one: old and new are not held at the same time.
    let fits: String = many.lines().take(100).map(|l| format!("{l}\n")).collect();
    daemon.set_file(Policy::Drop, "first", &fits);
    daemon.api().reload();
    assert_eq!(
        wire.arrivals(&[Frame::v4(BLOCKED), Frame::v4("10.0.0.99")]),
        [1, 0]
    );
}

/// Sends until stopped. Returns the number of bursts, and of arrived frames of each kind.
fn stream(wire: &mut Wire, frames: &[Frame], stop: &AtomicBool) -> (u32, Vec<u32>) {
    let mut arrived = vec![0; frames.len()];
    let mut bursts = 0;
    while !stop.load(Ordering::Relaxed) {
        for (total, count) in arrived.iter_mut().zip(wire.arrivals(frames)) {
            *total += count;
        }
        bursts += 1;
    }
    (bursts, arrived)
}

/// Ends the traffic, also when the test fails meanwhile.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn reloads_never_drop_or_pass_a_frame_wrongly() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab
        .daemon()
        .set_file(Policy::Drop, "list", &big_set("198.51.100.0/24"))
        .set_file(Policy::Ignore, "friends", "198.51.100.9/32\n")
        .start();
    let frames = [BLOCKED, "198.51.100.9", "192.0.2.9"].map(Frame::v4);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let traffic = scope.spawn(|| stream(&mut lab.wire(), &frames, &stop));
        let stopped = Stop(&stop);
        for round in 0..10 {
            // The tested entries stay; their neighbours, and the set that holds them, change each time.
            let (list, extra) = if round % 2 == 0 {
                (
                    "100.64.0.1/32\n198.51.100.7/32\n".to_owned(),
                    "198.51.100.0/25\n198.51.0.0/16\n",
                )
            } else {
                (big_set("198.51.100.0/24"), "# empty on purpose\n")
            };
            daemon.set_file(Policy::Drop, "list", &list);
            daemon.set_file(Policy::Drop, "extra", extra);
            let friends = if round % 2 == 0 {
                "198.51.100.8/31\n"
            } else {
                "198.51.100.9/32\n"
            };
            daemon.set_file(Policy::Ignore, "friends", friends);
            daemon.api().reload();
        }
        drop(stopped);
        let (bursts, arrived) = traffic.join().expect("the traffic");
        assert!(bursts > 20, "only {bursts} bursts during ten reloads");
        assert_eq!(arrived, [0, bursts, bursts]);
    });
}
