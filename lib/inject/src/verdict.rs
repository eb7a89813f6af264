//! What the answer to a batch says about each of its jobs.

use couic_common::{BatchFailure, BatchOutcome, ErrorCode};

use crate::{held::Fate, rule::cut};

/// The longest message of a refusal that is kept, in bytes.
pub(crate) const LONGEST_MESSAGE: usize = 500;

/// The fates of the jobs of a batch, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) fates: Vec<Fate>,
    pub(crate) refused: u64,
    /// The last refusal.
    pub(crate) refusal: Option<String>,
    /// How many failed for now, and why the last of them.
    pub(crate) postponed: u64,
    pub(crate) postponement: Option<String>,
}

impl Verdict {
    /// Reads the answer to `sent` jobs. None if its figures are not those of so many: something else answered, or cut the
    /// batch short.
    pub(crate) fn of(outcome: &BatchOutcome, sent: usize) -> Option<Self> {
        let BatchOutcome {
            added,
            updated,
            unchanged,
            removed,
            released,
            failed,
            failures,
        } = outcome;
        let counted = [added, updated, unchanged, removed, released, failed]
            .into_iter()
            .try_fold(0_u64, |sum, count| sum.checked_add(*count));
        if counted != u64::try_from(sent).ok() {
            return None;
        }
        let mut verdict = Self {
            fates: vec![Fate::Applied; sent],
            refused: 0,
            refusal: None,
            postponed: 0,
            postponement: None,
        };
        for failure in failures {
            verdict.count(failure)?;
        }
        // The answer lists the first failures only: which of the jobs behind the last one failed is not known.
        let listed = u64::try_from(failures.len()).ok()?;
        if listed < *failed {
            let last = failures.iter().map(|failure| failure.index).max()?;
            let behind = usize::try_from(last).ok()? + 1;
            verdict.fates.get_mut(behind..)?.fill(Fate::Open);
        }
        Some(verdict)
    }

    fn count(&mut self, failure: &BatchFailure) -> Option<()> {
        let index = usize::try_from(failure.index).ok()?;
        let fate = self.fates.get_mut(index)?;
        let cidr = failure.cidr.as_deref().unwrap_or("a rule");
        let message = format!("{cidr}: {}", failure.message);
        let message = Some(cut(&message, LONGEST_MESSAGE).to_owned());
        if is_passing(failure) {
            *fate = Fate::Open;
            self.postponed += 1;
            self.postponement = message;
        } else {
            *fate = Fate::Refused;
            self.refused += 1;
            self.refusal = message;
        }
        Some(())
    }
}

/// Whether the same job may succeed later: the daemon failed, or limits how fast this client adds.
pub(crate) fn is_passing(failure: &BatchFailure) -> bool {
    matches!(failure.code, ErrorCode::Internal | ErrorCode::RateLimited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(index: u64, code: ErrorCode, message: &str) -> BatchFailure {
        BatchFailure {
            index,
            cidr: Some("192.0.2.1/32".into()),
            code,
            message: message.into(),
            rail: None,
        }
    }

    fn outcome(added: u64, failed: u64, failures: Vec<BatchFailure>) -> BatchOutcome {
        BatchOutcome {
            added,
            failed,
            failures,
            ..BatchOutcome::default()
        }
    }

    #[test]
    fn each_failure_is_refused_or_tried_again() {
        use Fate::{Applied, Open, Refused};
        let failures = vec![
            failure(1, ErrorCode::Processing, "refused by the guard rail host"),
            failure(2, ErrorCode::Internal, "its log says why"),
            failure(4, ErrorCode::RateLimited, "may add 100 rules a minute"),
        ];
        let verdict = Verdict::of(&outcome(2, 3, failures), 5).unwrap();
        assert_eq!(verdict.fates, [Applied, Refused, Open, Applied, Open]);
        assert_eq!((verdict.refused, verdict.postponed), (1, 2));
        let refusal = verdict.refusal.unwrap();
        assert_eq!(refusal, "192.0.2.1/32: refused by the guard rail host");
    }

    #[test]
    fn behind_the_last_failure_that_is_listed_nothing_is_known() {
        use Fate::{Applied, Open, Refused};
        let failures = vec![failure(1, ErrorCode::Invalid, "x")];
        let verdict = Verdict::of(&outcome(2, 2, failures), 4).unwrap();
        assert_eq!(verdict.fates, [Applied, Refused, Open, Open]);
        let failures = vec![failure(3, ErrorCode::Invalid, "x")];
        assert_eq!(Verdict::of(&outcome(2, 2, failures), 4).unwrap().refused, 1);
    }

    #[test]
    fn an_answer_to_something_else_is_none() {
        for (outcome, sent) in [
            (outcome(1, 0, vec![]), 2),
            (outcome(3, 0, vec![]), 2),
            (outcome(u64::MAX, 1, vec![]), 0),
            (outcome(1, 1, vec![]), 2),
            (outcome(1, 1, vec![failure(2, ErrorCode::Invalid, "x")]), 2),
            (
                outcome(1, 1, vec![failure(u64::MAX, ErrorCode::Invalid, "x")]),
                2,
            ),
        ] {
            assert_eq!(Verdict::of(&outcome, sent), None, "{outcome:?}");
        }
    }
}
