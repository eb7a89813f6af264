//! Problems and statistics of the journal.

use couic_common::{StateProblem, counted};
use couic_durable::Alarm;

use super::Journal;

/// The present problems.
#[derive(Debug)]
pub(super) struct Health {
    alarm: Alarm,
    gaps: Vec<String>,
    /// Problems of single files.
    pub(super) files: Vec<StateProblem>,
}

/// Statistics of the journal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalFigures {
    /// Whether changes are recorded.
    pub recording: bool,
    /// Changes recorded.
    pub records: u64,
    /// Changes that were not recorded.
    pub unrecorded: u64,
    /// How often the disk failed.
    pub failures: u64,
    /// Bytes of the logs since the last snapshot.
    pub log_bytes: u64,
    /// Bytes of the last snapshot.
    pub snapshot_bytes: u64,
}

impl Health {
    pub(super) fn new(gaps: Vec<String>, files: Vec<StateProblem>) -> Self {
        for gap in &gaps {
            tracing::error!("state: {gap}");
        }
        Self {
            alarm: Alarm::default(),
            gaps,
            files,
        }
    }

    /// `why` is the failed operation and its error.
    pub(super) fn raise(&mut self, why: &str) {
        if self.alarm.raise(why) {
            tracing::error!(
                "state: cannot {why}. Filtering and the API continue; rule changes from now on may be lost with this \
                 process. Couic retries until it works"
            );
        }
    }

    /// A snapshot of `records` records was written, which has `missing` changes that were in no log.
    pub(super) fn clear(&mut self, records: u64, missing: u64) {
        if self.alarm.clear() {
            tracing::info!(
                "state: the disk works again; {} written, with {}",
                counted(records, "record is", "records are"),
                counted(
                    missing,
                    "change that was missing",
                    "changes that were missing"
                )
            );
        }
    }

    /// `missing` is how many changes are not on the disk, if any may be missing.
    fn problems(&self, missing: Option<u64>) -> Vec<StateProblem> {
        let mut problems: Vec<String> = self.gaps.clone();
        if let Some((why, lasted)) = self.alarm.raised() {
            let seconds = lasted.as_secs();
            problems.push(match missing {
                Some(missing) => format!(
                    "cannot {why}: for {seconds} s rule changes are NOT written to the disk, {missing} so far; they are \
                     in force, but would be lost with this process. Free space or repair the disk: writing resumes by itself"
                ),
                None => format!(
                    "cannot {why}: retried for {seconds} s; rule changes are recorded, but the log grows"
                ),
            });
        }
        let problem = |message| StateProblem {
            file: None,
            message,
        };
        let problems = problems.into_iter().map(problem);
        problems.chain(self.files.iter().cloned()).collect()
    }
}

impl Journal {
    /// Problems that need an operator.
    #[must_use]
    pub fn problems(&self) -> Vec<StateProblem> {
        let missing = self.missing();
        self.health.lock().problems(missing)
    }

    /// Whether the files have every committed change.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.missing().is_none()
    }

    /// How many changes are missing in the files, if any may be missing.
    fn missing(&self) -> Option<u64> {
        let pending = self.pending.lock();
        let is_safe = pending.recording && !pending.has_hole && pending.missing == 0;
        (!is_safe).then_some(pending.missing)
    }

    /// The current statistics.
    #[must_use]
    pub fn figures(&self) -> JournalFigures {
        let (log_bytes, snapshot_bytes) = {
            let writer = self.writer.lock();
            (writer.log_bytes(), writer.snapshot_bytes)
        };
        let failures = self.health.lock().alarm.failures();
        let pending = self.pending.lock();
        JournalFigures {
            recording: pending.recording,
            records: pending.records,
            unrecorded: pending.unrecorded,
            failures,
            log_bytes,
            snapshot_bytes,
        }
    }
}
