//! Sets: loaded before the filter is attached, changed atomically, and without a gap.

mod apply;
mod reload;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use couic_common::{HealthStatus, Policy};
use couic_e2e::{Frame, HOST_IFACE, Lab, unix_now, until};
use serde_json::json;

const BLOCKED: &str = "198.51.100.7";
const OTHER: &str = "203.0.113.7";

/// Many entries without effect on the test, and `last` at the end.
fn big_set(last: &str) -> String {
    let mut text: String = (0..150_000u32)
        .map(|n| format!("100.{}.{}.{}/32\n", 64 + (n >> 16), (n >> 8) & 255, n & 255))
        .collect();
    text.push_str(last);
    text.push('\n');
    text
}

#[test]
fn the_filter_is_attached_only_once_all_sets_are_in_force() {
    let Some(lab) = Lab::quiet() else { return };
    let builder = lab
        .daemon()
        .set_file(Policy::Drop, "a-big-one", &big_set("198.51.100.0/24"))
        .set_file(Policy::Ignore, "friends", "198.51.100.9/32 # the office\n");
    let frames = [BLOCKED, "198.51.100.9"].map(Frame::v4);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut wire = lab.wire();
            let mut seen_attached = 0;
            while !done.load(Ordering::Relaxed) || seen_attached == 0 {
                let attached = lab.kernel_mode(HOST_IFACE).is_some();
                let arrived = wire.arrivals(&frames);
                if attached {
                    seen_attached += 1;
                    assert_eq!(arrived, [0, 1], "attached, but not all sets in force");
                }
            }
        });
        let daemon = builder.start();
        done.store(true, Ordering::Relaxed);
        watcher.join().expect("the watcher");
        assert_eq!(daemon.api().stats().drop_cidr_count, 150_001);
    });
}

#[test]
fn set_entries_carry_the_sets_tag_and_never_expire() {
    let Some(lab) = Lab::quiet() else { return };
    let text = "# header\n\n  \n198.51.100.7/32\n2001:db8:7::/48 # why\n";
    let daemon = lab.daemon().set_file(Policy::Drop, "list", text).start();
    let mut wire = lab.wire();
    assert_eq!(
        wire.arrivals(&[Frame::v4(BLOCKED), Frame::v6("2001:db8:7::1")]),
        [0, 0]
    );
    for entry in daemon.api().get("/v1/drop").as_array().expect("a list") {
        assert_eq!(
            (&entry["tag"], &entry["expiration"]),
            (&json!("list.couic"), &json!(0))
        );
    }
    assert_eq!(daemon.api().tags("drop")["list.couic"].rx_packets, 2);
    let refused = daemon
        .api()
        .request("DELETE", "/v1/drop/198.51.100.7/32", None)
        .expect(422);
    assert!(refused.body.contains("list"), "{refused:?}");
}

#[test]
fn a_bad_file_is_skipped_and_reported_at_the_start() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab
        .daemon()
        .set_file(
            Policy::Drop,
            "bad",
            "203.0.113.7/32\n203.0.113.8/32\n203.0.113.9/33\n",
        )
        .set_file(Policy::Drop, "good", "198.51.100.7/32\n")
        .start();
    let mut wire = lab.wire();
    assert_eq!(
        wire.arrivals(&[Frame::v4(BLOCKED), Frame::v4(OTHER)]),
        [0, 1]
    );
    let (status, health) = daemon.api().health();
    assert_eq!((status, health.status), (200, HealthStatus::Degraded));
    let [problem] = &health.set_problems[..] else {
        panic!("{health:?}");
    };
    assert_eq!((problem.policy, problem.line), (Policy::Drop, Some(3)));
    assert!(problem.file.contains("bad.couic"), "{problem:?}");
    assert!(problem.message.contains("203.0.113.9/33"), "{problem:?}");
    let output = daemon.output();
    assert!(
        output.contains("bad.couic") && output.contains("203.0.113.9/33"),
        "{output}"
    );
    // Corrected and reloaded.
    daemon.set_file(Policy::Drop, "bad", "203.0.113.7/32\n");
    daemon.api().reload();
    assert_eq!(
        wire.arrivals(&[Frame::v4(BLOCKED), Frame::v4(OTHER)]),
        [0, 0]
    );
    until("health is good again", Duration::from_secs(60), || {
        let (_, health) = daemon.api().health();
        (health.status == HealthStatus::Ok && health.set_problems.is_empty()).then_some(())
    });
}

#[test]
fn sets_are_created_changed_and_deleted_through_the_api() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let api = daemon.api();
    let mut wire = lab.wire();
    let frames = [BLOCKED, OTHER].map(Frame::v4);
    api.write_set("POST", "drop", "list", &["198.51.100.7/32"]);
    assert_eq!(wire.arrivals(&frames), [0, 1]);
    let again = json!({"name": "list", "entries": []}).to_string();
    let _ = api
        .request("POST", "/v1/sets/drop", Some(&again))
        .expect(409);
    api.write_set("PUT", "drop", "list", &["203.0.113.0/24"]);
    assert_eq!(wire.arrivals(&frames), [1, 0]);
    // Deleted, but in force until the reload, as the answer says.
    let deleted = api
        .request("DELETE", "/v1/sets/drop/list", None)
        .expect(200)
        .json();
    assert_eq!(deleted, json!({"deleted": true, "reload_required": true}));
    assert_eq!(wire.arrivals(&frames), [1, 0]);
    api.reload();
    assert_eq!(wire.arrivals(&frames), [1, 1]);
    let _ = api.request("GET", "/v1/sets/drop/list", None).expect(404);
}

#[test]
fn the_api_accepts_a_set_of_the_documented_size() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let text = big_set("198.51.100.7/32");
    let mut entries: Vec<String> = text.lines().map(str::to_owned).collect();
    // Up to a file of nearly 5 MiB.
    let mut size = text.len();
    for n in 0u32.. {
        let line = format!(
            "2001:db8:ffff:ffff:ffff:ffff:{:x}:{:x}/128",
            0xf000 + (n >> 12),
            0xf000 + (n & 0xfff)
        );
        size += line.len() + 1;
        if size > 5 * 1024 * 1024 - 1024 {
            break;
        }
        entries.push(line);
    }
    let names: Vec<&str> = entries.iter().map(String::as_str).collect();
    daemon.api().write_set("POST", "drop", "large", &names);
    assert_eq!(daemon.api().stats().drop_cidr_count, names.len() as u64);
    let last = names[names.len() - 1].trim_end_matches("/128");
    let frames = [
        Frame::v4("100.64.0.0"),
        Frame::v4(BLOCKED),
        Frame::v6(last),
        Frame::v4(OTHER),
    ];
    assert_eq!(lab.wire().arrivals(&frames), [0, 0, 0, 1]);
}

#[test]
fn a_set_over_a_ban_and_its_removal_leave_the_ban() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let api = daemon.api();
    let mut wire = lab.wire();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "this century"
    )]
    let expiration = unix_now() as u64 + 3600;
    api.add("drop", "198.51.100.7/32", Some("ban"), expiration);
    let shown = |tag: &str, expiration: u64| {
        let entry = api.get("/v1/drop/198.51.100.7/32");
        assert_eq!(
            (&entry["tag"], &entry["expiration"]),
            (&json!(tag), &json!(expiration))
        );
    };
    shown("ban", expiration);
    api.write_set("POST", "drop", "list", &["198.51.100.7/32"]);
    shown("list.couic", 0);
    assert!(!wire.passes(&Frame::v4(BLOCKED)));
    let _ = api
        .request("DELETE", "/v1/sets/drop/list", None)
        .expect(200);
    api.reload();
    shown("ban", expiration);
    assert!(!wire.passes(&Frame::v4(BLOCKED)));
    api.remove("drop", "198.51.100.7/32");
    assert!(wire.passes(&Frame::v4(BLOCKED)));
}

#[test]
fn a_cidr_in_two_sets_is_one_entry_until_both_are_deleted() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = lab.daemon().start();
    let api = daemon.api();
    let mut wire = lab.wire();
    for name in ["one", "two"] {
        api.write_set("POST", "drop", name, &["198.51.100.7/32"]);
        assert_eq!(api.stats().drop_cidr_count, 1);
    }
    for (name, passes) in [("one", false), ("two", true)] {
        let _ = api
            .request("DELETE", &format!("/v1/sets/drop/{name}"), None)
            .expect(200);
        api.reload();
        assert_eq!(wire.passes(&Frame::v4(BLOCKED)), passes, "after {name}");
    }
}
