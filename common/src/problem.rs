//! Problems: the lists of the health document as one, and the status that follows from them.

use std::fmt;

use crate::{Health, HealthStatus};

/// The part of Couic that a [`Problem`] is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Area {
    /// The panic switch.
    Panic,
    /// Changes pending confirmation.
    Confirm,
    /// A network interface.
    Interface,
    /// The filter as a whole.
    Filter,
    /// Set files.
    Sets,
    /// Rules in force.
    Rules,
    /// A notifier.
    Notifier,
    /// A peer.
    Peer,
    /// Rules on disk.
    State,
    /// The listener for metrics.
    Metrics,
    /// The configuration file.
    Config,
    /// Features that the kernel lacks.
    Kernel,
}

impl Area {
    /// Every area that can have problems; `Kernel` has notes only.
    pub const WITH_PROBLEMS: [Self; 11] = [
        Self::Panic,
        Self::Confirm,
        Self::Interface,
        Self::Filter,
        Self::Sets,
        Self::Rules,
        Self::Notifier,
        Self::Peer,
        Self::State,
        Self::Metrics,
        Self::Config,
    ];

    /// The name, as in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Confirm => "confirm",
            Self::Interface => "interface",
            Self::Filter => "filter",
            Self::Sets => "sets",
            Self::Rules => "rules",
            Self::Notifier => "notifier",
            Self::Peer => "peer",
            Self::State => "state",
            Self::Metrics => "metrics",
            Self::Config => "config",
            Self::Kernel => "kernel",
        }
    }
}

/// A problem, or a note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The part of Couic that it is in.
    pub area: Area,
    /// The status that it causes: `Ok` for a note.
    pub severity: HealthStatus,
    /// The interface, file, notifier or peer that has it, if there is one.
    pub subject: Option<String>,
    /// The problem; after a subject, phrased to follow it in a sentence.
    pub message: String,
    /// What to do about it, unless the message says so.
    pub advice: Option<&'static str>,
}

impl Problem {
    fn new(area: Area, severity: HealthStatus, message: impl Into<String>) -> Self {
        Self {
            area,
            severity,
            subject: None,
            message: message.into(),
            advice: None,
        }
    }

    fn degraded(area: Area, message: impl Into<String>) -> Self {
        Self::new(area, HealthStatus::Degraded, message)
    }

    fn about(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    fn advise(mut self, advice: &'static str) -> Self {
        self.advice = Some(advice);
        self
    }
}

impl fmt::Display for Problem {
    /// The subject and the message.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(subject) = &self.subject {
            write!(f, "{subject} ")?;
        }
        f.write_str(&self.message)
    }
}

impl Health {
    /// Every problem of the document, by area, then its notes.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let all = self.of_panic_and_confirm().chain(self.of_filter());
        let all = all.chain(self.of_others()).chain(self.of_state());
        let cut = self.set_notes.iter();
        let cut = cut.map(|note| Problem::new(Area::Sets, HealthStatus::Ok, note));
        let all = all.chain(cut);
        let notes = self.notes.iter().chain(&self.missing_features);
        let notes = notes.map(|note| {
            Problem::new(Area::Kernel, HealthStatus::Ok, note)
                .advise("newer kernels have it; everything works without")
        });
        all.chain(notes).collect()
    }

    /// The status that the problems cause: that of the worst.
    #[must_use]
    pub fn derived_status(&self) -> HealthStatus {
        let problems = self.problems();
        let worst = problems.iter().map(|problem| problem.severity).max();
        worst.unwrap_or(HealthStatus::Ok)
    }

    fn of_panic_and_confirm(&self) -> impl Iterator<Item = Problem> {
        let on = self.panic_since.map(|_| {
            let message = "the panic switch is on: every packet passes";
            Problem::new(Area::Panic, HealthStatus::Down, message)
                .advise("see couicctl panic for who and why; couicctl panic off ends it")
        });
        let unsaved = self.panic_problem.iter().map(|problem| {
            Problem::degraded(Area::Panic, problem)
                .advise("repair the disk of the working directory: the daemon retries every 5 s")
        });
        let confirm = self.confirm_problems.iter();
        let confirm = confirm.map(|problem| Problem::degraded(Area::Confirm, problem));
        on.into_iter().chain(unsaved).chain(confirm)
    }

    fn of_filter(&self) -> impl Iterator<Item = Problem> {
        // With patterns only, no interface may exist yet, which is among the problems of the filter.
        let is_none = self.interfaces.is_empty() && self.filter_problems.is_empty();
        let none = is_none.then(|| {
            let message = "no interface is filtered";
            Problem::new(Area::Interface, HealthStatus::Down, message)
        });
        let detached = self.interfaces.iter().filter(|i| !i.attached).map(|i| {
            let why = i.problem.as_deref().unwrap_or("unknown reason");
            let message = format!("is NOT filtered: {why}");
            Problem::new(Area::Interface, HealthStatus::Down, message).about(&i.name)
        });
        let filter = self.filter_problems.iter();
        let filter = filter.map(|problem| Problem::degraded(Area::Filter, problem));
        let sets = self.set_problems.iter().map(|problem| {
            let message = &problem.message;
            // Without a file, the problem is of all sets.
            if problem.file.is_empty() {
                return Problem::degraded(Area::Sets, message);
            }
            Problem::degraded(Area::Sets, format!("was not loaded: {message}"))
                .about(format!("{}/{}", problem.policy, problem.file))
                .advise("correct it, then run couicctl sets reload")
        });
        let rules = self.rule_problems.iter();
        let rules = rules.map(|problem| Problem::degraded(Area::Rules, problem));
        let sets = sets.chain(rules);
        none.into_iter().chain(detached).chain(filter).chain(sets)
    }

    fn of_others(&self) -> impl Iterator<Item = Problem> {
        let notifiers = self.notifier_problems.iter().map(|problem| {
            Problem::degraded(Area::Notifier, &problem.message).about(&problem.notifier)
        });
        let peers = self
            .peer_problems
            .iter()
            .map(|peer| Problem::degraded(Area::Peer, &peer.problem).about(peer.name.as_str()));
        let metrics = self.metrics_problem.iter();
        let metrics = metrics.map(|problem| Problem::degraded(Area::Metrics, problem));
        let config = self.config_problem.iter();
        let config = config.map(|problem| {
            Problem::degraded(Area::Config, problem)
                .advise("correct it (couic --check-config), then run systemctl reload couic")
        });
        notifiers.chain(peers).chain(metrics).chain(config)
    }

    fn of_state(&self) -> impl Iterator<Item = Problem> {
        self.state_problems.iter().map(|problem| Problem {
            subject: problem.file.clone(),
            ..Problem::degraded(Area::State, &problem.message)
                .advise("rules may not survive a restart: see the log")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        InterfaceHealth, NotifierProblem, PeerHealth, Policy, SetProblem, StateProblem, XdpMode,
    };

    fn well() -> Health {
        let mut health = Health::well("");
        health.interfaces.push(InterfaceHealth {
            name: "eth0".into(),
            attached: true,
            mode: Some(XdpMode::Native),
            problem: None,
            note: None,
        });
        health
    }

    /// A document with a problem in each list.
    fn ill() -> Health {
        let set_problem = |file: &str, message: &str| SetProblem {
            policy: Policy::Drop,
            file: file.into(),
            line: None,
            message: message.into(),
        };
        let mut health = Health {
            panic_since: Some(0),
            panic_problem: Some("panic is on, but".into()),
            confirm_problems: vec!["c".into()],
            filter_problems: vec!["f".into()],
            rule_problems: vec!["r".into()],
            set_notes: vec!["cut".into()],
            set_problems: vec![
                set_problem("a.couic", "not a CIDR"),
                set_problem("", "no set is in force"),
            ],
            notifier_problems: vec![NotifierProblem {
                notifier: "siem".into(),
                message: "has failed".into(),
            }],
            peer_problems: vec![PeerHealth {
                name: "b".parse().unwrap(),
                since: 0,
                problem: "does not respond: gone".into(),
            }],
            metrics_problem: Some("m".into()),
            config_problem: Some("not reloaded".into()),
            state_problems: vec![StateProblem {
                file: Some("j.log".into()),
                message: "is damaged".into(),
            }],
            notes: vec!["no Landlock".into()],
            missing_features: vec!["no TCX".into()],
            ..well()
        };
        health.interfaces[0].attached = false;
        health
    }

    #[test]
    fn each_problem_has_its_area_severity_and_text() {
        use HealthStatus::{Degraded, Down, Ok};
        let found = ill().problems().into_iter();
        let found: Vec<_> = found
            .map(|problem| (problem.area, problem.severity, problem.to_string()))
            .collect();
        let expected = [
            (
                Area::Panic,
                Down,
                "the panic switch is on: every packet passes",
            ),
            (Area::Panic, Degraded, "panic is on, but"),
            (Area::Confirm, Degraded, "c"),
            (
                Area::Interface,
                Down,
                "eth0 is NOT filtered: unknown reason",
            ),
            (Area::Filter, Degraded, "f"),
            (
                Area::Sets,
                Degraded,
                "drop/a.couic was not loaded: not a CIDR",
            ),
            (Area::Sets, Degraded, "no set is in force"),
            (Area::Rules, Degraded, "r"),
            (Area::Notifier, Degraded, "siem has failed"),
            (Area::Peer, Degraded, "b does not respond: gone"),
            (Area::Metrics, Degraded, "m"),
            (Area::Config, Degraded, "not reloaded"),
            (Area::State, Degraded, "j.log is damaged"),
            (Area::Sets, Ok, "cut"),
            (Area::Kernel, Ok, "no Landlock"),
            (Area::Kernel, Ok, "no TCX"),
        ];
        let expected = expected.map(|(area, severity, text)| (area, severity, text.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn the_status_is_that_of_the_worst_problem() {
        let mut health = well();
        health.notes.push("no Landlock".into());
        assert_eq!(health.derived_status(), HealthStatus::Ok);
        health.confirm_problems.push("c".into());
        assert_eq!(health.derived_status(), HealthStatus::Degraded);
        health.interfaces[0].attached = false;
        assert_eq!(health.derived_status(), HealthStatus::Down);
    }

    #[test]
    fn a_pattern_without_an_interface_is_no_outage() {
        let mut health = Health::well("");
        assert_eq!(health.derived_status(), HealthStatus::Down);
        health
            .filter_problems
            .push("no interface matches veth*".into());
        assert_eq!(health.derived_status(), HealthStatus::Degraded);
    }
}
