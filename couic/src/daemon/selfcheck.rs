//! The periodic self-check: differences go to the log, to the metrics, and, if they cannot be repaired, to health.

use std::sync::Arc;

use couic_common::RuleKey;

use super::filter::Filter;
use crate::metrics::MetricsRegistry;
use couic_firewall::rules::{Firewall, SelfCheck};

/// Differences named in the log, per round.
const NAMED: usize = 10;

/// Compares the tables with the rules.
pub(super) struct Checker {
    check: SelfCheck,
    firewall: Arc<Firewall>,
    filter: Arc<Filter>,
    metrics: Arc<MetricsRegistry>,
}

impl Checker {
    pub(super) fn new(
        firewall: Arc<Firewall>,
        filter: Arc<Filter>,
        metrics: Arc<MetricsRegistry>,
    ) -> Self {
        let check = SelfCheck::default();
        Self {
            check,
            firewall,
            filter,
            metrics,
        }
    }

    /// Compares a part of the tables with the rules. The attacher does the same with the interfaces.
    pub(super) fn round(&mut self) {
        let found = self.check.round(&self.firewall);
        for (list, healed, what) in [
            (&found.healed, true, "repaired"),
            (&found.left, false, "CANNOT be repaired"),
        ] {
            let count = u64::try_from(list.len()).unwrap_or(u64::MAX);
            self.metrics.count_differences("rule", healed, count);
            if !list.is_empty() {
                let named = named(list);
                tracing::error!(
                    "self-check: the data plane differed from the rules, or held an expired one; {what}: {named}"
                );
            }
        }
        let problem = (!found.left.is_empty()).then(|| {
            let named = named(&found.left);
            format!("the data plane differs from the rules for {named}: restart couic")
        });
        self.filter.set_table_problem(problem);
    }
}

fn named(list: &[RuleKey]) -> String {
    let first = list.iter().take(NAMED);
    let mut text: Vec<String> = first.map(ToString::to_string).collect();
    if let Some(more @ 1..) = list.len().checked_sub(NAMED) {
        text.push(format!("and {more} more"));
    }
    text.join(", ")
}

/// Counts the attacher's findings since the last call.
#[derive(Debug, Default)]
pub(super) struct Found {
    healed: u64,
    left: u64,
}

impl Found {
    pub(super) fn count(&mut self, (healed, left): (u64, u64), metrics: &MetricsRegistry) {
        let more = |old: &mut u64, new: u64| new.saturating_sub(std::mem::replace(old, new));
        metrics.count_differences("interface", true, more(&mut self.healed, healed));
        metrics.count_differences("interface", false, more(&mut self.left, left));
    }
}

#[cfg(test)]
mod tests {
    use couic_common::Policy;

    use super::*;

    #[test]
    fn the_log_line_is_bounded() {
        let one = RuleKey::new(Policy::Drop, "192.0.2.0/24".parse().unwrap());
        assert_eq!(named(&[one; 2]), "drop 192.0.2.0/24, drop 192.0.2.0/24");
        assert!(named(&[one; 10]).ends_with("/24"));
        assert!(named(&[one; 13]).ends_with(", and 3 more"));
    }

    #[test]
    fn differences_are_counted_once() {
        let metrics = MetricsRegistry::new();
        let mut found = Found::default();
        for seen in [(1, 0), (1, 0), (3, 1)] {
            found.count(seen, &metrics);
        }
        let text = couic_httpd::prometheus(&metrics.families(&crate::metrics::Figures::default()));
        for (healed, count) in [("yes", 3), ("no", 1)] {
            let line = format!(
                "couic_self_check_differences_total{{healed=\"{healed}\",what=\"interface\"}} {count}"
            );
            assert!(text.contains(&line), "{line} not in {text}");
        }
    }
}
