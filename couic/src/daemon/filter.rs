//! The attached program as the daemon sees it: is it still where it was put?

use couic_common::{
    Health, HealthStatus, InterfaceHealth, NotifierProblem, PeerHealth, Policy, SetName, SetProblem,
};
use parking_lot::Mutex;

use crate::attach::Attacher;
use couic_firewall::rules::{Firewall, SetError, SetStore};

/// A program that is attached to interfaces.
pub(super) trait Attached: Send {
    /// What the kernel says now about every interface that is to be filtered.
    fn health(&self) -> Vec<InterfaceHealth>;

    /// What else somebody should check at.
    fn problems(&self) -> Vec<String>;

    /// How often what is attached was not what should be: mended, and not.
    fn differences(&self) -> (u64, u64);

    /// Mends what is not as it should be, now.
    fn check(&self);

    /// Asks for a sign of life; one that does not come is among the problems.
    fn probe(&self);

    /// Looks after it no longer. Whether it stays where it is.
    fn stop(self: Box<Self>) -> bool;
}

impl Attached for Attacher {
    fn health(&self) -> Vec<InterfaceHealth> {
        Self::health(self)
    }

    fn problems(&self) -> Vec<String> {
        Self::problems(self)
    }

    fn differences(&self) -> (u64, u64) {
        Self::differences(self)
    }

    fn check(&self) {
        Self::check(self);
    }

    fn probe(&self) {
        Self::probe(self);
    }

    fn stop(self: Box<Self>) -> bool {
        Self::stop(*self)
    }
}

/// The attached program (left to itself when this is dropped), the set files that were not loaded, and with them the answer of `GET /v1/health`.
pub(super) struct Filter {
    attached: Mutex<Option<Box<dyn Attached>>>,
    set_problems: Mutex<Vec<SetProblem>>,
    /// What the self-check could not mend.
    table_problem: Mutex<Option<String>>,
}

impl Filter {
    pub(super) fn new(attached: Box<dyn Attached>, set_problems: Vec<SetProblem>) -> Self {
        Self {
            attached: Mutex::new(Some(attached)),
            set_problems: Mutex::new(set_problems),
            table_problem: Mutex::default(),
        }
    }

    pub(super) fn interfaces(&self) -> Vec<InterfaceHealth> {
        let attached = self.attached.lock();
        attached.as_ref().map(|a| a.health()).unwrap_or_default()
    }

    /// Asks the kernel; may block. A notifier that fails is worth a check, but the wall stands without it.
    /// Neither is one without a peer that does not answer.
    pub(super) fn health(
        &self,
        notifier_problems: Vec<NotifierProblem>,
        peer_problems: Vec<PeerHealth>,
    ) -> Health {
        let interfaces = self.interfaces();
        let set_problems = self.set_problems.lock().clone();
        let filter_problems = self.problems();
        // Without any, a pattern waits for the first interface, which is a problem by itself.
        let none = interfaces.is_empty() && filter_problems.is_empty();
        let all_attached = !none && interfaces.iter().all(|i| i.attached);
        let all_well = filter_problems.is_empty()
            && set_problems.is_empty()
            && notifier_problems.is_empty()
            && peer_problems.is_empty();
        let status = match (all_attached, all_well) {
            (false, _) => HealthStatus::Down,
            (true, false) => HealthStatus::Degraded,
            (true, true) => HealthStatus::Ok,
        };
        Health {
            status,
            interfaces,
            filter_problems,
            set_problems,
            notifier_problems,
            peer_problems,
            ..Health::well(env!("CARGO_PKG_VERSION"))
        }
    }

    /// Mends what is not as it should be, now.
    pub(super) fn check(&self) {
        if let Some(attached) = &*self.attached.lock() {
            attached.check();
        }
    }

    /// Asks for a sign of life; one that does not come is among the problems.
    pub(super) fn probe(&self) {
        if let Some(attached) = &*self.attached.lock() {
            attached.probe();
        }
    }

    fn problems(&self) -> Vec<String> {
        let attached = self.attached.lock();
        let mut problems = attached.as_ref().map(|a| a.problems()).unwrap_or_default();
        problems.extend(self.table_problem.lock().clone());
        problems
    }

    /// Says, until it is called again, what the tables have that cannot be mended.
    pub(super) fn set_table_problem(&self, problem: Option<String>) {
        *self.table_problem.lock() = problem;
    }

    /// How often what is attached was not what should be: mended, and not.
    pub(super) fn differences(&self) -> (u64, u64) {
        let attached = self.attached.lock();
        attached
            .as_ref()
            .map(|a| a.differences())
            .unwrap_or_default()
    }

    /// Looks after the interfaces no longer. Whether they are filtered all the same.
    pub(super) fn stop(&self) -> bool {
        let attached = self.attached.lock().take();
        attached.is_some_and(Attached::stop)
    }

    /// Forgets the problem of each set file that is gone, or that can be read by now and whose entries are in force:
    /// somebody mended it and reloaded.
    pub(super) fn forget_mended(&self, sets: &SetStore, firewall: &Firewall) {
        // Files are read without holding up an answer.
        let problems = self.set_problems.lock().clone();
        if problems.is_empty() {
            return;
        }
        let left: Vec<_> = problems
            .into_iter()
            .filter(|p| !is_mended(p, sets, firewall))
            .collect();
        *self.set_problems.lock() = left;
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_mended(problem: &SetProblem, sets: &SetStore, firewall: &Firewall) -> bool {
    let SetProblem { policy, file, .. } = problem;
    let name: Option<SetName> = file.strip_suffix(".couic").and_then(|n| n.parse().ok());
    let mended = match name.map(|name| sets.read(*policy, &name)) {
        Some(Ok(entries)) => entries
            .iter()
            .all(|cidr| firewall.entry(*policy, *cidr).is_some()),
        Some(Err(SetError::NotFound { .. })) => true,
        _ => false,
    };
    if mended {
        tracing::info!("the {policy} set file {file} is fine again");
    }
    mended
}

/// The problem of a start at which the sets did not fit.
pub(super) fn sets_problem(policy: Policy, message: String) -> SetProblem {
    SetProblem {
        policy,
        file: String::new(),
        line: None,
        message,
    }
}

#[cfg(test)]
mod tests {
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
    fn a_pattern_that_means_nothing_yet_is_no_outage() {
        let fake = Fake::default();
        let filter = Filter::new(Box::new(fake.clone()), Vec::new());
        let status = || filter.health(Vec::new(), Vec::new()).status;
        assert_eq!(
            status(),
            HealthStatus::Down,
            "nothing is filtered, nobody knows why"
        );
        fake.1.lock().push("no interface matches veth*".to_owned());
        assert_eq!(status(), HealthStatus::Degraded);
        fake.0.lock().push(interface("a", false));
        assert_eq!(status(), HealthStatus::Down);
    }

    #[test]
    fn a_set_file_is_fine_again_once_it_is_mended_and_reloaded_or_gone() {
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
            filter.forget_mended(&sets, &firewall);
            let problems = filter.health(Vec::new(), Vec::new()).set_problems;
            problems.into_iter().map(|p| p.file).collect::<Vec<_>>()
        };
        assert_eq!(files(), ["a.couic", "b.couic"]);
        fs::remove_file(file("b.couic")).unwrap();
        fs::write(file("a.couic"), "192.0.2.0/24\n").unwrap();
        assert_eq!(files(), ["a.couic"], "mended, but not in force yet");
        firewall.replace_sets(&sets.load_strict().unwrap()).unwrap();
        assert_eq!(files(), [""; 0]);
    }
}
