//! Rules expire on the second, and not before.

use std::time::Duration;

use couic_e2e::{Api, Frame, Lab, Wire, unix_now, until};
use serde_json::json;

/// Seconds until expirations: enough for the checks before them on a busy machine.
const SOON: u64 = 3;

/// The next whole second that is at least `seconds` away.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "Unix seconds of this century"
)]
fn in_seconds(seconds: u64) -> u64 {
    unix_now().ceil() as u64 + seconds
}

/// Sends until all frames arrive. Asserts that none did before `deadline`, and that none sent more than a second after
/// it was dropped. Independent of the speed of the test.
#[expect(clippy::cast_precision_loss, reason = "Unix seconds of this century")]
fn ends_on_the_second(wire: &mut Wire, frames: &[Frame], deadline: u64) {
    let deadline = deadline as f64;
    until("the ban ends", Duration::from_secs(60), || {
        let sent = unix_now();
        let arrived = wire.arrivals(frames);
        let early = deadline - unix_now();
        let late = sent - deadline;
        let through = arrived.iter().filter(|n| **n == 1).count();
        assert!(
            through == 0 || early <= 0.0,
            "{through} frames got through {early:.3} s before the expiration"
        );
        assert!(
            through == frames.len() || late <= 1.0,
            "{through} of {} frames got through {late:.3} s after the expiration",
            frames.len()
        );
        (through == frames.len()).then_some(())
    });
}

fn listed(api: &Api, policy: &str) -> usize {
    let list = api.get(&format!("/v1/{policy}"));
    list.as_array().map_or(usize::MAX, Vec::len)
}

#[test]
fn a_ban_ends_at_its_expiration_within_a_second() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    for (cidr, frame) in [
        ("198.51.100.7/32", Frame::v4("198.51.100.7")),
        ("203.0.113.0/24", Frame::v4("203.0.113.99")),
        ("2001:db8:7::/64", Frame::v6("2001:db8:7::7")),
    ] {
        let deadline = in_seconds(SOON);
        daemon.api().add("drop", cidr, Some("brief"), deadline);
        assert!(!wire.passes(&frame), "{cidr}");
        ends_on_the_second(&mut wire, &[frame], deadline);
        assert_eq!(listed(daemon.api(), "drop"), 0, "{cidr} is still listed");
    }
}

#[test]
fn couicctl_takes_a_duration() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    let frame = Frame::v4("198.51.100.7");
    let before = in_seconds(0);
    daemon.ctl_ok(&["drop", "add", "198.51.100.7", "-e", "4s"]);
    let after = in_seconds(0);
    assert!(!wire.passes(&frame));
    let shown = daemon.api().get("/v1/drop/198.51.100.7/32");
    let deadline = shown["expiration"].as_u64().expect("a number");
    // Whole seconds: the fraction of the second of the add may be lost.
    assert!((before + 3..=after + 4).contains(&deadline), "{shown}");
    ends_on_the_second(&mut wire, &[frame], deadline);
}

#[test]
fn a_drop_applies_again_when_the_ignore_over_it_expires() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    let frame = Frame::v4("198.51.100.7");
    daemon.api().add("drop", "198.51.100.0/24", None, 0);
    daemon
        .api()
        .add("ignore", "198.51.100.7/32", None, in_seconds(SOON));
    assert!(wire.passes(&frame));
    until("the drop is back", Duration::from_secs(60), || {
        (!wire.passes(&frame)).then_some(())
    });
    assert_eq!(listed(daemon.api(), "ignore"), 0);
}

#[test]
fn a_batch_renews_a_ban() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    let frame = Frame::v4("198.51.100.7");
    let first = in_seconds(SOON);
    daemon
        .api()
        .add("drop", "198.51.100.7/32", Some("old"), first);
    // The single add is strict, as in 1.0; the batch renews.
    let strict = json!({"cidr": "198.51.100.7/32", "expiration": first + 9}).to_string();
    let _ = daemon
        .api()
        .request("POST", "/v1/drop", Some(&strict))
        .expect(409);
    let second = first + 3;
    let entry = json!({"cidr": "198.51.100.7/32", "tag": "new", "expiration": second});
    let outcome = daemon
        .api()
        .batch("drop", &[json!({"action": "add", "entry": entry})]);
    assert_eq!(
        (&outcome["updated"], &outcome["failed"]),
        (&json!(1), &json!(0)),
        "{outcome}"
    );
    let shown = daemon.api().get("/v1/drop/198.51.100.7/32");
    assert_eq!(
        (&shown["tag"], &shown["expiration"]),
        (&json!("new"), &json!(second))
    );
    // Every frame until the new deadline is dropped, across the old one.
    ends_on_the_second(&mut wire, &[frame], second);
}

#[test]
fn a_thousand_bans_with_one_deadline_end_together() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let mut wire = lab.wire();
    let deadline = in_seconds(SOON);
    let jobs: Vec<_> = (0..1000)
        .map(|n| {
            let cidr = format!("10.7.{}.{}/32", n / 250, n % 250);
            json!({"action": "add", "entry": {"cidr": cidr, "expiration": deadline}})
        })
        .collect();
    assert_eq!(daemon.api().batch("drop", &jobs)["added"], 1000);
    let frames: Vec<Frame> = (0..1000)
        .map(|n| Frame::v4(&format!("10.7.{}.{}", n / 250, n % 250)))
        .collect();
    ends_on_the_second(&mut wire, &frames, deadline);
    assert_eq!(listed(daemon.api(), "drop"), 0);
}
