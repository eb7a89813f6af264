//! Interfaces that are added, deleted, recreated or renamed while the daemon runs; and patterns in `ifaces`.

use std::time::Duration;

use couic_common::{Health, HealthStatus, Policy};
use couic_e2e::{
    AttachedBy, BpfFs, Daemon, Foreign, Frame, HOST_IFACE, Lab, OUTSIDE_IFACE, detach_links, until,
};
use nix::sys::signal::Signal;

const BANNED: &str = "198.51.100.7";
/// Longer than two of the attacher's periodic checks, one per minute.
const PATIENCE: Duration = Duration::from_secs(150);

fn filtering<'lab>(lab: &'lab Lab, ifaces: &[&str]) -> Daemon<'lab> {
    lab.daemon()
        .ifaces(ifaces)
        .set_file(Policy::Drop, "list", "198.51.100.0/24\n")
        .start()
}

/// Whether a pair drops the banned source and passes the innocent one.
fn stands(lab: &Lab, host: &str, outside: &str) -> bool {
    let frames = [BANNED, "203.0.113.9"].map(Frame::v4);
    lab.wire_between(host, outside).arrivals(&frames) == [0, 1]
}

fn healthy(daemon: &Daemon<'_>, what: &str, is: impl Fn(&Health) -> bool) -> Health {
    let (health, _) = until(what, PATIENCE, || {
        let (_, health) = daemon.api().health();
        is(&health).then_some(health)
    });
    health
}

fn names(health: &Health) -> Vec<(&str, bool)> {
    let shown = health.interfaces.iter();
    shown.map(|i| (i.name.as_str(), i.attached)).collect()
}

#[test]
fn an_alternative_name_is_refused_with_the_real_one() {
    let Some(lab) = Lab::quiet() else { return };
    let altname = [
        "link", "property", "add", "dev", HOST_IFACE, "altname", "enp0s9",
    ];
    if !lab.host.output("ip", &altname).status.success() {
        println!("skipped: this ip or kernel has no alternative names");
        return;
    }
    let refused = lab.daemon().ifaces(&["enp0s9"]).try_start().err();
    let output = refused.expect("refused").output;
    let told = format!("altname) of {HOST_IFACE}, write {HOST_IFACE} instead");
    assert!(
        output.contains("there is no interface enp0s9") && output.contains(&told),
        "{output}"
    );
}

#[test]
fn new_interfaces_that_match_a_pattern_are_filtered_at_once() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = filtering(&lab, &[HOST_IFACE, "veth*", "wan?"]);
    let (status, health) = daemon.api().health();
    assert_eq!((status, health.status), (200, HealthStatus::Degraded));
    assert_eq!(names(&health), [(HOST_IFACE, true)]);
    assert_eq!(health.filter_problems.len(), 2, "{health:?}");
    assert!(health.filter_problems[0].contains("no interface matches veth*"));
    for name in ["veth1", "veth2", "wan0", "other0"] {
        lab.join(name, &format!("x{name}"));
    }
    let health = healthy(&daemon, "all three are filtered", |health| {
        health.status == HealthStatus::Ok && health.interfaces.len() == 4
    });
    let expected = [HOST_IFACE, "veth1", "veth2", "wan0"].map(|name| (name, true));
    assert_eq!(names(&health), expected);
    for name in ["veth1", "veth2", "wan0"] {
        assert!(stands(&lab, name, &format!("x{name}")), "{name}");
    }
    assert_eq!(lab.kernel_mode("other0"), None);
    // A deleted interface that matched a pattern is not an outage.
    lab.host.run("ip", &["link", "del", "veth1"]);
    let health = healthy(&daemon, "veth1 is forgotten", |h| h.interfaces.len() == 3);
    assert_eq!(health.status, HealthStatus::Ok);
}

#[test]
fn a_recreated_interface_is_filtered_again() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = filtering(&lab, &[HOST_IFACE]);
    for _ in 0..3 {
        lab.outside.run("ip", &["link", "del", OUTSIDE_IFACE]);
        let health = healthy(&daemon, "it is gone", |h| h.status == HealthStatus::Down);
        let problem = health.interfaces[0].problem.as_deref().unwrap_or("");
        assert!(
            problem.contains("filtered again as soon as it is back"),
            "{health:?}"
        );
        lab.join(HOST_IFACE, OUTSIDE_IFACE);
        let _ = healthy(&daemon, "it is back", |h| h.status == HealthStatus::Ok);
        assert!(stands(&lab, HOST_IFACE, OUTSIDE_IFACE));
    }
}

#[test]
fn a_renamed_interface_is_filtered_according_to_its_new_name() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = filtering(&lab, &[HOST_IFACE, "wan*"]);
    let rename = |from: &str, to: &str| {
        lab.host.run("ip", &["link", "set", from, "down"]);
        lab.host.run("ip", &["link", "set", from, "name", to]);
        lab.host.run("ip", &["link", "set", to, "up"]);
    };
    rename(HOST_IFACE, "wan7");
    let _ = healthy(&daemon, "the old name is missed", |h| {
        names(h).contains(&(HOST_IFACE, false)) && names(h).contains(&("wan7", true))
    });
    assert!(stands(&lab, "wan7", OUTSIDE_IFACE));
    rename("wan7", "lan0");
    until("lan0 is not filtered", PATIENCE, || {
        lab.kernel_mode("lan0").is_none().then_some(())
    });
    rename("lan0", HOST_IFACE);
    let _ = healthy(&daemon, "it has its name back", |h| {
        names(h) == [(HOST_IFACE, true)]
    });
    assert!(stands(&lab, HOST_IFACE, OUTSIDE_IFACE));
}

#[test]
fn a_detached_program_is_reattached_and_counted() {
    let Some(lab) = Lab::quiet() else { return };
    let daemon = filtering(&lab, &[HOST_IFACE]);
    let off = lab
        .host
        .output("ip", &["link", "set", "dev", HOST_IFACE, "xdp", "off"]);
    assert!(!off.status.success(), "ip cannot detach a link");
    assert!(stands(&lab, HOST_IFACE, OUTSIDE_IFACE));
    assert_eq!(detach_links(&lab.host, HOST_IFACE), 1);
    let line = "filtering on eth0 in mode native again: our program had been detached from outside";
    until("it is put back", PATIENCE, || {
        daemon.log().contains(line).then_some(())
    });
    let _ = healthy(&daemon, "health is well again", |h| {
        h.status == HealthStatus::Ok
    });
    assert!(stands(&lab, HOST_IFACE, OUTSIDE_IFACE));
    let counted = "couic_self_check_differences_total{healed=\"yes\",what=\"interface\"} 1";
    until("it is counted", PATIENCE, || {
        let path = "/v1/metrics?format=prometheus";
        let metrics = daemon.api().request("GET", path, None).expect(200).body;
        metrics.contains(counted).then_some(())
    });
}

/// A second detach within a second used to leave the interface unfiltered until the next periodic check.
#[test]
fn a_program_detached_repeatedly_is_reattached_at_once() {
    const LESS_THAN_A_MINUTE: Duration = Duration::from_secs(30);
    let Some(lab) = Lab::quiet() else { return };
    let daemon = filtering(&lab, &[HOST_IFACE]);
    for _ in 0..4 {
        until("there is one to detach", LESS_THAN_A_MINUTE, || {
            (detach_links(&lab.host, HOST_IFACE) == 1).then_some(())
        });
    }
    let _ = healthy(&daemon, "health is well again", |h| {
        h.status == HealthStatus::Ok
    });
    assert!(stands(&lab, HOST_IFACE, OUTSIDE_IFACE));
}

#[test]
fn a_deleted_pin_is_recreated() {
    let Some((lab, fs)) = Lab::quiet().zip(BpfFs::new()) else {
        return;
    };
    let daemon = lab
        .daemon()
        .set_file(Policy::Drop, "list", "198.51.100.0/24\n")
        .stays(Some(&fs))
        .start();
    let files = fs.names();
    let file = files.last().expect("a file");
    fs.run("rm", &[file]);
    // Any change of an interface triggers the attacher's check.
    lab.join("other0", "other1");
    until("the file is there again", PATIENCE, || {
        (fs.names() == files).then_some(())
    });
    let _daemon = daemon.ended_by(Signal::SIGKILL);
    assert!(stands(&lab, HOST_IFACE, OUTSIDE_IFACE));
}

#[test]
fn a_foreign_program_is_never_replaced_and_its_interface_filtered_when_it_goes() {
    let Some(lab) = Lab::quiet() else { return };
    lab.join("veth1", "xveth1");
    for by in [AttachedBy::Link, AttachedBy::Netlink] {
        let foreign = Foreign::attach(&lab.host, "veth1", by);
        let builder = lab.daemon().ifaces(&[HOST_IFACE, "veth*"]);
        let builder = builder.set_file(Policy::Drop, "list", "198.51.100.0/24\n");
        // With TCX, as chosen by auto, both programs would coexist.
        let daemon = builder.mode("native").start();
        let (status, health) = daemon.api().health();
        assert_eq!(
            (status, names(&health)),
            (503, vec![(HOST_IFACE, true), ("veth1", false)])
        );
        let problem = health.interfaces[1].problem.as_deref().unwrap_or("");
        assert!(
            problem.contains(couic_e2e::FOREIGN_NAME),
            "{by:?} {problem}"
        );
        drop(foreign);
        if matches!(by, AttachedBy::Netlink) {
            lab.host
                .run("ip", &["link", "set", "dev", "veth1", "xdp", "off"]);
        }
        // Any change of an interface triggers the attacher's check. A child of another test may hold the link a moment
        // longer.
        let _ = healthy(&daemon, "it is ours then", |health| {
            let again = ["link", "set", "dev", "veth1", "alias", "free"];
            lab.host.run("ip", &again);
            health.status == HealthStatus::Ok
        });
        assert!(stands(&lab, "veth1", "xveth1"));
        let _daemon = daemon.ended_by(Signal::SIGTERM);
    }
}
