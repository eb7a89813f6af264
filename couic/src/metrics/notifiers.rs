//! Reporting and the delivery of notifications, as metric families.

use couic_common::{NotifierInfo, NotifierName, NotifierState};
use couic_delivery::{AttemptTimes, FIGURES};
use couic_httpd::{Family, Kind, float};

use crate::reporting::Notifiers;

/// One reading of reporting.
#[derive(Clone, Debug, Default)]
pub struct ReportingFigures {
    /// Rule changes handed to the notifiers.
    pub reported: u64,
    /// Rule changes that were not reported.
    pub missed: u64,
    /// Every notifier.
    pub notifiers: Vec<NotifierInfo>,
    /// How long the attempts of each took.
    pub attempt_times: Vec<(NotifierName, AttemptTimes)>,
}

impl ReportingFigures {
    /// Reads the current figures.
    #[must_use]
    pub fn of(notifiers: &Notifiers) -> Self {
        Self {
            reported: notifiers.counted().reported(),
            missed: notifiers.counted().missed(),
            notifiers: notifiers.list(),
            attempt_times: notifiers.attempt_times(),
        }
    }

    pub(super) fn families(&self) -> Vec<Family> {
        let mut families = vec![
            Family::new(
                Kind::Counter,
                "couic_reports_total",
                "Rule changes handed to the notifiers.",
            )
            .with(&[], self.reported),
            Family::new(
                Kind::Counter,
                "couic_reports_missed_total",
                "Rule changes that came faster than they could be spooled, and are not reported.",
            )
            .with(&[], self.missed),
        ];
        families.extend(self.figures());
        families.extend([self.states(), self.attempts(), self.attempt_seconds()]);
        families
    }

    fn figures(&self) -> impl Iterator<Item = Family> + '_ {
        FIGURES.iter().map(|figure| {
            let kind = if figure.counter {
                Kind::Counter
            } else {
                Kind::Gauge
            };
            let name = format!("couic_notifier_{}", figure.name);
            let mut family = Family::new(kind, name, figure.help);
            for notifier in &self.notifiers {
                if let Some(value) = (figure.value)(notifier) {
                    family.push(&[("notifier", notifier.name.as_str())], float(value));
                }
            }
            family
        })
    }

    fn states(&self) -> Family {
        let help = "1 for the current state of the notifier.";
        let mut family = Family::new(Kind::Gauge, "couic_notifier_state", help);
        for notifier in &self.notifiers {
            for state in NotifierState::ALL {
                let labels = [
                    ("notifier", notifier.name.as_str()),
                    ("state", state.as_str()),
                ];
                family = family.with(&labels, u64::from(notifier.state == state));
            }
        }
        family
    }

    fn attempts(&self) -> Family {
        let help = "Attempts to deliver, by outcome.";
        let mut family = Family::new(Kind::Counter, "couic_notifier_attempts_total", help);
        for notifier in &self.notifiers {
            for (outcome, count) in &notifier.attempts {
                let labels = [("notifier", notifier.name.as_str()), ("outcome", outcome)];
                family = family.with(&labels, *count);
            }
        }
        family
    }

    fn attempt_seconds(&self) -> Family {
        let help = "Duration of attempts to deliver.";
        let mut family = Family::new(Kind::Histogram, "couic_notifier_attempt_seconds", help);
        for (name, times) in &self.attempt_times {
            let labels = [("notifier", name.as_str())];
            family.buckets(&labels, times.cumulative());
            family.sample("_count", &labels, float(times.count));
            family.sample("_sum", &labels, times.sum);
        }
        family
    }
}
