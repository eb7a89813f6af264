//! The journal's counters, as metric families.

use couic_firewall::{journal::JournalFigures, rules::Firewall};
use couic_httpd::{Family, Kind};

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

    pub(super) fn families(&self) -> impl Iterator<Item = Family> {
        let journal = &self.journal;
        let kept_rules = u64::try_from(self.kept_rules).unwrap_or(u64::MAX);
        [
            (
                Kind::Gauge,
                "couic_state_recording",
                "Whether rule changes are written to disk; 1 = yes.",
                u64::from(journal.recording),
            ),
            (
                Kind::Gauge,
                "couic_state_log_bytes",
                "Rule changes on disk since the last snapshot.",
                journal.log_bytes,
            ),
            (
                Kind::Gauge,
                "couic_state_snapshot_bytes",
                "The last snapshot of the rules on disk.",
                journal.snapshot_bytes,
            ),
            (
                Kind::Gauge,
                "couic_state_kept_rules",
                "Restored rules that exceed the limits, and are not in force.",
                kept_rules,
            ),
            (
                Kind::Counter,
                "couic_state_records_total",
                "Rule changes written to disk.",
                journal.records,
            ),
            (
                Kind::Counter,
                "couic_state_unrecorded_total",
                "Rule changes that could not be written to disk.",
                journal.unrecorded,
            ),
            (
                Kind::Counter,
                "couic_state_failures_total",
                "Failed writes of rule changes or of a snapshot.",
                journal.failures,
            ),
        ]
        .into_iter()
        .map(|(kind, name, help, value)| Family::new(kind, name, help).with(&[], value))
    }
}
