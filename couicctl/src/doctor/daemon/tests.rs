use couic_common::{DaemonStatus, DiskStatus, PeerProblem, Policy, SetProblem};

use super::{super::CheckState, *};

fn status() -> DaemonStatus {
    DaemonStatus {
        version: "2".into(),
        now_ms: 1_000_000,
        uptime: 5,
        kernel: "6.18".into(),
        clock_synchronised: Some(true),
        clock_jumped_ms: 0,
        disks: vec![DiskStatus {
            holds: "log".into(),
            path: "/l".into(),
            free_bytes: 1 << 30,
            total_bytes: 1 << 31,
            free_inodes: 0,
            total_inodes: 0,
            read_only: false,
            problem: None,
        }],
        open_files: 20,
        open_files_limit: 1_024,
        systemd_fd_store: Some(16),
        systemd: true,
        pending_confirmations: 0,
    }
}

/// The result of a check after a change of the status.
fn after(name: &str, change: impl FnOnce(&mut DaemonStatus)) -> CheckState {
    let mut changed = status();
    change(&mut changed);
    let mut checks = Vec::new();
    check_status(&changed, 1_000, &mut checks);
    checks
        .iter()
        .find(|check| check.check == name)
        .unwrap()
        .state
}

#[test]
fn checks_of_the_status() {
    for name in ["clock", "disk log", "descriptors", "unit", "confirm"] {
        assert_eq!(after(name, |_| ()), CheckState::Ok, "{name}");
    }
    assert_eq!(
        after("clock", |s| s.clock_synchronised = Some(false)),
        CheckState::Warn
    );
    assert_eq!(
        after("clock", |s| s.clock_synchronised = None),
        CheckState::Skip
    );
    assert_eq!(
        after("clock", |s| s.clock_jumped_ms = -9_000),
        CheckState::Warn
    );
    assert_eq!(after("clock", |s| s.now_ms = 0), CheckState::Warn);
    assert_eq!(
        after("disk log", |s| s.disks[0].free_bytes = 0),
        CheckState::Fail
    );
    assert_eq!(
        after("disk log", |s| s.disks[0].problem = Some("gone".into())),
        CheckState::Fail
    );
    assert_eq!(
        after("descriptors", |s| s.open_files = 1_000),
        CheckState::Fail
    );
    assert_eq!(after("descriptors", |s| s.open_files = 0), CheckState::Skip);
    assert_eq!(
        after("unit", |s| s.systemd_fd_store = None),
        CheckState::Warn
    );
    assert_eq!(after("unit", |s| s.systemd = false), CheckState::Ok);
    assert_eq!(
        after("confirm", |s| s.pending_confirmations = 2),
        CheckState::Warn
    );
}

#[test]
fn the_filter_reports_its_worst_problem() {
    let mut health = Health::well(env!("CARGO_PKG_VERSION"));
    health.interfaces.push(InterfaceHealth {
        note: None,
        name: "eth0".into(),
        attached: true,
        mode: None,
        problem: None,
    });
    assert_eq!(version(&health.version).state, CheckState::Ok);
    assert_eq!(version("1.0.0").state, CheckState::Warn);
    assert_eq!(filter(&health).state, CheckState::Ok);
    health.panic_since = Some(5);
    assert!(filter(&health).found.ends_with("lets every packet pass"));
    health.panic_since = None;
    health.status = HealthStatus::Degraded;
    assert_eq!(filter(&health).state, CheckState::Warn);
    health.interfaces[0].attached = false;
    assert_eq!(filter(&health).found, "NOT filtering on eth0");
    health.interfaces.clear();
    assert_eq!(filter(&health).state, CheckState::Fail);
}

#[test]
fn missing_kernel_features_are_one_line_and_not_a_failure() {
    let mut health = Health::well("");
    assert!(features(&health).found.contains("every feature it can use"));
    health.missing_features = vec!["no clock".into(), "no TCX".into()];
    let check = features(&health);
    assert_eq!(check.state, CheckState::Ok);
    assert_eq!(check.found, "left out: no clock; no TCX");
}

#[test]
fn problems_have_a_check_each() {
    let mut health = Health::well("");
    assert_eq!(problems(&health).count(), 0);
    health.panic_problem = Some("panic is off, but".into());
    health.confirm_problems = vec!["one".into(), "two".into()];
    health.set_problems.push(SetProblem {
        policy: Policy::Drop,
        file: "a.couic".into(),
        line: None,
        message: "not a CIDR".into(),
    });
    let all: Vec<Check> = problems(&health).collect();
    let names: Vec<_> = all.iter().map(|c| (c.check.as_str(), c.state)).collect();
    let expected = [
        ("panic", CheckState::Warn),
        ("confirm", CheckState::Warn),
        ("confirm", CheckState::Warn),
        ("sets", CheckState::Fail),
    ];
    assert_eq!(names, expected);
    assert_eq!(all[3].found, "drop/a.couic was not loaded: not a CIDR");
    assert!(all[3].advice.is_some());
}

#[test]
fn peers_by_state_clock_and_lag() {
    let good = PeerInfo {
        name: "b".parse().unwrap(),
        endpoint: None,
        state: PeerState::InSync,
        rules: 0,
        queue: 0,
        lag_ms: 0,
        differing: 0,
        refused_ranges: 0,
        sent: 0,
        refused: 0,
        received: 0,
        not_accepted: 0,
        clock_ahead_ms: None,
        last_answer: 0,
        last_equal: 0,
        last_error: None,
    };
    assert_eq!(peer(&good).state, CheckState::Ok);
    let failing = PeerInfo {
        state: PeerState::Failing,
        last_error: Some(PeerProblem {
            at: 0,
            message: "connection refused".into(),
        }),
        ..good.clone()
    };
    let check = peer(&failing);
    assert!(check.state == CheckState::Fail && check.found.contains("connection refused"));
    assert!(check.advice.unwrap().contains("couicctl peers"));
    let advised = PeerInfo {
        last_error: Some(PeerProblem {
            at: 0,
            message: "cannot reach couic at b:2900: timeout\n  check host and port".into(),
        }),
        ..failing.clone()
    };
    let check = peer(&advised);
    assert!(check.found.ends_with("timeout"), "{check:?}");
    assert_eq!(check.advice.as_deref(), Some("check host and port"), "once");
    for worse in [
        PeerInfo {
            clock_ahead_ms: Some(-90_000),
            ..good.clone()
        },
        PeerInfo {
            refused_ranges: 1,
            ..good.clone()
        },
        PeerInfo {
            lag_ms: 11_000,
            ..good.clone()
        },
        PeerInfo {
            state: PeerState::Connecting,
            ..good
        },
    ] {
        assert_eq!(peer(&worse).state, CheckState::Warn, "{worse:?}");
    }
}

#[test]
fn a_notifier_is_ok_only_if_it_delivers() {
    let with = |state: &str, dead: u64, queued: u64, age: u64| {
        let info = serde_json::json!({
            "name": "siem", "plugin": "webhook", "mode": "builtin", "state": state, "problems": [],
            "last_error": {"message": "refused", "at": 1}, "last_success": null, "next_attempt_secs": 7,
            "queue_events": queued, "queue_bytes": 0, "oldest_age_secs": age, "dead_letters": dead, "enqueued": 9,
            "delivered": 9, "failed_attempts": 0, "attempts": {}, "dropped": 0, "merged": 0, "dead": 0, "restarts": 0,
            "spool": null
        });
        notifier(&serde_json::from_value(info).unwrap())
    };
    for state in ["ok", "rate_limited", "stopped"] {
        assert_eq!(with(state, 0, 1, 5).state, CheckState::Ok, "{state}");
    }
    let retrying = with("retrying", 0, 1, 5);
    assert_eq!(retrying.state, CheckState::Warn);
    assert!(
        retrying.found.contains("refused") && retrying.found.contains("in 7 s"),
        "{retrying:?}"
    );
    assert!(
        retrying
            .advice
            .unwrap()
            .contains("couicctl notifiers test siem")
    );
    assert!(
        with("ok", 1, 0, 0)
            .found
            .starts_with("1 notification was given up")
    );
    assert!(
        with("ok", 0, 1, 61)
            .found
            .starts_with("1 notification is queued")
    );
    assert!(
        with("ok", 0, 2, 61)
            .found
            .starts_with("2 notifications are queued")
    );
}
