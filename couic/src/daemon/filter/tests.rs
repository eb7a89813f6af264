//! The health document, from fake attachments and set files.

use std::{fs, sync::Arc};

use super::*;
use couic_firewall::{
    dataplane::{Limits, MemoryPlane},
    rules::SystemClock,
};

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Vec<InterfaceHealth>>>, Arc<Mutex<Vec<String>>>);

impl Attached for Fake {
    fn health(&self) -> Vec<InterfaceHealth> {
        self.0.lock().clone()
    }

    fn problems(&self) -> Vec<String> {
        self.1.lock().clone()
    }

    fn differences(&self) -> (u64, u64) {
        (0, 0)
    }

    fn check(&self) {}

    fn probe(&self) {}

    fn stop(self: Box<Self>) -> bool {
        self.0.lock().clear();
        true
    }
}

fn interface(name: &str, attached: bool) -> InterfaceHealth {
    InterfaceHealth {
        note: None,
        name: name.to_owned(),
        attached,
        mode: None,
        problem: (!attached).then(|| "it is gone".to_owned()),
    }
}

#[test]
fn the_worst_of_interfaces_and_sets_is_the_state() {
    let fake = Fake::default();
    let state = Arc::clone(&fake.0);
    *state.lock() = vec![interface("a", true), interface("b", true)];
    let filter = Filter::new(Box::new(fake.clone()), Vec::new());
    assert_eq!(
        filter.health(Vec::new(), Vec::new()).status,
        HealthStatus::Ok
    );
    *filter.set_problems.lock() = vec![sets_problem(Policy::Drop, "full".to_owned())];
    assert_eq!(
        filter.health(Vec::new(), Vec::new()).status,
        HealthStatus::Degraded
    );
    filter.set_problems.lock().clear();
    let problem = NotifierProblem {
        notifier: "siem".to_owned(),
        message: "has failed".to_owned(),
    };
    let health = filter.health(vec![problem.clone()], Vec::new());
    assert_eq!(health.status, HealthStatus::Degraded);
    assert_eq!(health.notifier_problems, [problem]);
    let problem = PeerHealth {
        name: "b".parse().unwrap(),
        since: 0,
        problem: "gone".to_owned(),
    };
    let health = filter.health(Vec::new(), vec![problem.clone()]);
    assert_eq!(health.status, HealthStatus::Degraded);
    assert_eq!(health.peer_problems, [problem]);
    state.lock()[1] = interface("b", false);
    let health = filter.health(Vec::new(), Vec::new());
    assert_eq!(health.status, HealthStatus::Down);
    assert_eq!(health.interfaces[1].problem.as_deref(), Some("it is gone"));
    assert!(filter.stop() && state.lock().is_empty());
    assert_eq!(
        filter.health(Vec::new(), Vec::new()).status,
        HealthStatus::Down
    );
}

#[test]
fn a_pattern_without_an_interface_is_no_outage() {
    let fake = Fake::default();
    let filter = Filter::new(Box::new(fake.clone()), Vec::new());
    let status = || filter.health(Vec::new(), Vec::new()).status;
    assert_eq!(
        status(),
        HealthStatus::Down,
        "nothing is filtered, for no known reason"
    );
    fake.1.lock().push("no interface matches veth*".to_owned());
    assert_eq!(status(), HealthStatus::Degraded);
    fake.0.lock().push(interface("a", false));
    assert_eq!(status(), HealthStatus::Down);
}

#[test]
fn the_problem_of_a_set_file_ends_once_it_is_repaired_and_reloaded_or_gone() {
    let dir = tempfile::tempdir().unwrap();
    let sets = SetStore::open(dir.path()).unwrap();
    let file = |name: &str| dir.path().join("sets/drop").join(name);
    fs::write(file("a.couic"), "nonsense\n").unwrap();
    fs::write(file("b.couic"), "nonsense\n").unwrap();
    let plane = MemoryPlane::default();
    let firewall = Firewall::new(
        Box::new(plane.clone()),
        Arc::new(plane),
        Limits::default(),
        Arc::new(SystemClock),
    );
    let (_, problems) = sets.load_lenient();
    assert_eq!(problems.len(), 2);
    let filter = Filter::new(Box::new(Fake::default()), problems);
    let files = || {
        filter.forget_repaired_sets(&sets, &firewall);
        let problems = filter.health(Vec::new(), Vec::new()).set_problems;
        problems.into_iter().map(|p| p.file).collect::<Vec<_>>()
    };
    assert_eq!(files(), ["a.couic", "b.couic"]);
    fs::remove_file(file("b.couic")).unwrap();
    fs::write(file("a.couic"), "192.0.2.0/24\n").unwrap();
    assert_eq!(files(), ["a.couic"], "repaired, but not in force yet");
    firewall.replace_sets(&sets.load_strict().unwrap()).unwrap();
    assert_eq!(files(), [""; 0]);
}
