//! The attached program in the daemon: its health, and the document of `GET /v1/health`.

use couic_common::{Health, Policy, RuleKey, SetName, SetProblem};
use parking_lot::Mutex;

use crate::attach::{Attacher, CurrentInterface};
use couic_firewall::{
    guard::Guard,
    rules::{Firewall, SetError, SetStore},
};

/// A program that is attached to interfaces.
pub(super) trait Attached: Send {
    /// Every interface that should be filtered, with its current state in the kernel.
    fn interfaces(&self) -> Vec<CurrentInterface>;

    /// Problems other than those of single interfaces.
    fn problems(&self) -> Vec<String>;

    /// How often an attachment differed from the configuration: repaired, and not.
    fn differences(&self) -> (u64, u64);

    /// Requests a check of all interfaces now.
    fn check(&self);

    /// Probes the attacher; a missing answer is among the problems.
    fn probe(&self);

    /// Ends the attacher. Returns whether the filter stays attached.
    fn stop(self: Box<Self>) -> bool;
}

impl Attached for Attacher {
    fn interfaces(&self) -> Vec<CurrentInterface> {
        Self::interfaces(self)
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

/// The attached program (its attacher ends on drop), and the set files that were not loaded.
pub(super) struct Filter {
    attached: Mutex<Option<Box<dyn Attached>>>,
    set_problems: Mutex<Vec<SetProblem>>,
    /// Differences that the self-check could not repair.
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

    pub(super) fn interfaces(&self) -> Vec<CurrentInterface> {
        let attached = self.attached.lock();
        attached
            .as_ref()
            .map(|a| a.interfaces())
            .unwrap_or_default()
    }

    /// The filter's part of the document, without the status. Asks the kernel; may block.
    pub(super) fn health(&self) -> Health {
        Health {
            interfaces: self.interfaces().into_iter().map(|i| i.health).collect(),
            filter_problems: self.problems(),
            set_problems: self.set_problems.lock().clone(),
            ..Health::well(env!("CARGO_PKG_VERSION"))
        }
    }

    pub(super) fn check(&self) {
        if let Some(attached) = &*self.attached.lock() {
            attached.check();
        }
    }

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

    /// Sets or clears the self-check's problem in health.
    pub(super) fn set_table_problem(&self, problem: Option<String>) {
        *self.table_problem.lock() = problem;
    }

    pub(super) fn differences(&self) -> (u64, u64) {
        let attached = self.attached.lock();
        attached
            .as_ref()
            .map(|a| a.differences())
            .unwrap_or_default()
    }

    /// Ends the attacher. Returns whether the filter stays attached.
    pub(super) fn stop(&self) -> bool {
        let attached = self.attached.lock().take();
        attached.is_some_and(Attached::stop)
    }

    /// Drops the problems of set files that are gone, or that were repaired and reloaded: they can be read, and their
    /// entries are in force.
    pub(super) fn forget_repaired_sets(&self, sets: &SetStore, firewall: &Firewall) {
        // Files are read without the lock, which health takes.
        let problems = self.set_problems.lock().clone();
        if problems.is_empty() {
            return;
        }
        let left: Vec<_> = problems
            .into_iter()
            .filter(|p| !is_repaired(p, sets, firewall))
            .collect();
        *self.set_problems.lock() = left;
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_repaired(problem: &SetProblem, sets: &SetStore, firewall: &Firewall) -> bool {
    let SetProblem { policy, file, .. } = problem;
    let name: Option<SetName> = file.strip_suffix(".couic").and_then(|n| n.parse().ok());
    let repaired = match name.map(|name| sets.read(*policy, &name)) {
        Some(Ok(entries)) => {
            let report = firewall.guard().map(Guard::set_report);
            let (refused, _) = report.unwrap_or_default();
            let is_refused = |cidr| refused.iter().any(|r| r.cidr == cidr && r.file == *file);
            let is_loaded = |cidr| firewall.entry(RuleKey::new(*policy, cidr)).is_some();
            entries
                .into_iter()
                .all(|cidr| is_loaded(cidr) || is_refused(cidr))
        }
        Some(Err(SetError::NotFound { .. })) => true,
        _ => false,
    };
    if repaired {
        tracing::info!("the {policy} set file {file} is loaded or gone: its problem is resolved");
    }
    repaired
}

/// The problem of sets that exceed the limits at the start.
pub(super) fn sets_problem(policy: Policy, message: String) -> SetProblem {
    SetProblem {
        policy,
        file: String::new(),
        line: None,
        message,
    }
}

#[cfg(test)]
mod tests;
