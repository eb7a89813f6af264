//! What the audit log has of a batch whose jobs were refused: one line.

use couic_common::{Policy, counted};

/// Jobs that were refused: how many, and why the first.
#[derive(Default)]
pub(super) struct Refused {
    count: u64,
    first: String,
}

impl Refused {
    pub(super) fn note(&mut self, message: &str) {
        if self.count == 0 {
            message.clone_into(&mut self.first);
        }
        self.count += 1;
    }

    pub(super) fn audit(&self, policy: Policy, by: &str) {
        let Self { count, first } = self;
        if *count > 0 {
            let jobs = counted(*count, "job", "jobs");
            tracing::warn!(target: "couic::audit", action = "refused", count, "{jobs} of a batch for {policy} refused by {by}; the first: {first}");
        }
    }
}
