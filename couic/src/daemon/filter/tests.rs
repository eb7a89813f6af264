//! The health document, from fake attachments and set files.

use std::{fs, sync::Arc};

use super::*;
use couic_common::{HealthStatus, InterfaceHealth};
use couic_firewall::{
    dataplane::{Limits, MemoryPlane},
    rules::SystemClock,
};

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Vec<InterfaceHealth>>>, Arc<Mutex<Vec<String>>>);

impl Attached for Fake {
    fn interfaces(&self) -> Vec<CurrentInterface> {
        let all = self.0.lock().clone().into_iter();
        all.map(|health| CurrentInterface {
            health,
            is_lost: false,
        })
        .collect()
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
fn the_document_has_interfaces_and_problems() {
    let fake = Fake::default();
    let state = Arc::clone(&fake.0);
    *state.lock() = vec![interface("a", true), interface("b", false)];
    fake.1.lock().push("no interface matches veth*".to_owned());
    let problem = sets_problem(Policy::Drop, "full".to_owned());
    let filter = Filter::new(Box::new(fake), vec![problem.clone()]);
    filter.set_table_problem(Some("a table differs".to_owned()));
    let health = filter.health();
    assert_eq!(health.interfaces, *state.lock());
    let expected = ["no interface matches veth*", "a table differs"];
    assert_eq!(health.filter_problems, expected);
    assert_eq!(health.set_problems, [problem]);
    assert_eq!(health.derived_status(), HealthStatus::Down);
    assert!(filter.stop() && state.lock().is_empty());
    assert_eq!(filter.health().interfaces, []);
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
        filter.review_sets(&sets, &firewall);
        let problems = filter.health().set_problems;
        problems.into_iter().map(|p| p.file).collect::<Vec<_>>()
    };
    assert_eq!(files(), ["a.couic", "b.couic"]);
    fs::remove_file(file("b.couic")).unwrap();
    fs::write(file("a.couic"), "192.0.2.0/24\n").unwrap();
    assert_eq!(files(), ["a.couic"], "repaired, but not in force yet");
    firewall.replace_sets(&sets.load_strict().unwrap()).unwrap();
    assert_eq!(files(), [""; 0]);
    // Neither a name that no reload takes nor an empty file is passed over in silence; a README is.
    for (name, text) in [
        ("a b.couic", "192.0.2.0/24\n"),
        ("c.couic", ""),
        ("README", ""),
    ] {
        fs::write(file(name), text).unwrap();
    }
    for _ in 0..2 {
        assert_eq!(files(), ["a b.couic"]);
    }
    fs::rename(file("a b.couic"), file("b.couic")).unwrap();
    assert_eq!(files(), [""; 0]);
}

#[test]
fn an_empty_set_file_at_the_start_is_a_problem_until_it_says_that_it_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    let sets = SetStore::open(dir.path()).unwrap();
    let file = dir.path().join("sets/ignore/feed.couic");
    fs::write(&file, "; fetched by cron\n").unwrap();
    let plane = MemoryPlane::default();
    let firewall = Firewall::new(
        Box::new(plane.clone()),
        Arc::new(plane),
        Limits::default(),
        Arc::new(SystemClock),
    );
    let (_, problems) = sets.load_lenient();
    let filter = Filter::new(Box::new(Fake::default()), problems);
    let problems = || {
        filter.review_sets(&sets, &firewall);
        filter.health().set_problems
    };
    let [problem] = &problems()[..] else {
        panic!("not told");
    };
    assert!(
        problem.message.contains("did a download fail?"),
        "{}",
        problem.message
    );
    fs::write(&file, "# Empty on purpose\n").unwrap();
    assert_eq!(problems(), []);
}
