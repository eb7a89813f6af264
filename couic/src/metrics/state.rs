//! The journal's counters, as metric families.

use prometheus::{IntCounter, Opts, core::Collector, proto::MetricFamily};

use super::gauge_vec;
use couic_firewall::{journal::JournalFigures, rules::Firewall};

/// One reading of the rules on disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateFigures {
    /// Those of the journal.
    pub journal: JournalFigures,
    /// Restored rules that exceed the limits.
    pub kept_rules: usize,
}

impl StateFigures {
    /// Reads the current figures. `None` if rules are not persisted.
    #[must_use]
    pub fn of(firewall: &Firewall) -> Option<Self> {
        Some(Self {
            journal: firewall.journal()?.figures(),
            kept_rules: firewall.kept_rules(),
        })
    }

    #[expect(
        clippy::expect_used,
        reason = "names are constants, and every test of this module creates them"
    )]
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let journal = &self.journal;
        let kept_rules = u64::try_from(self.kept_rules).unwrap_or(u64::MAX);
        let mut families = Vec::new();
        for (name, help, value) in [
            (
                "couic_state_recording",
                "Whether rule changes are written to disk; 1 = yes.",
                u64::from(journal.recording),
            ),
            (
                "couic_state_log_bytes",
                "Rule changes on disk since the last snapshot.",
                journal.log_bytes,
            ),
            (
                "couic_state_snapshot_bytes",
                "The last snapshot of the rules on disk.",
                journal.snapshot_bytes,
            ),
            (
                "couic_state_kept_rules",
                "Restored rules that exceed the limits, and are not in force.",
                kept_rules,
            ),
        ] {
            let gauge = gauge_vec(name, help, &[]);
            let value = i64::try_from(value).unwrap_or(i64::MAX);
            gauge.with_label_values::<&str>(&[]).set(value);
            families.extend(gauge.collect());
        }
        for (name, help, value) in [
            (
                "couic_state_records_total",
                "Rule changes written to disk.",
                journal.records,
            ),
            (
                "couic_state_unrecorded_total",
                "Rule changes that could not be written to disk.",
                journal.unrecorded,
            ),
            (
                "couic_state_failures_total",
                "Failed writes of rule changes or of a snapshot.",
                journal.failures,
            ),
        ] {
            let counter = IntCounter::with_opts(Opts::new(name, help)).expect("a valid name");
            counter.inc_by(value);
            families.extend(counter.collect());
        }
        families
    }
}
