//! Responses of a peer. Each carries a clock sample, and none is taken that was not asked for.

use couic_common::Policy;

use super::Link;
use crate::{
    Ask, DigestAnswer, Face, Failure, LinkState, Moment, PullAnswer, PullOutcome, PushAnswer,
    Replica,
};

/// Interval of comparisons while registers differ, in milliseconds.
const COMPARE_AGAIN: u64 = 1_000;

impl Link {
    /// Records a response and its clock sample. None for an unexpected response, or one of this node itself.
    fn answered<L>(&mut self, replica: &mut Replica<L>, from: Face, now: Moment) -> Option<Ask> {
        let (ask, sent) = self.in_flight.take()?;
        if from.node == replica.node() {
            self.in_flight = Some((ask, sent));
            let problem = "this peer is the local node itself: remove it from [peering]";
            self.failed(Failure::Other(problem.to_owned()), now);
            return None;
        }
        if let Err(error) = replica.hlc().observe(from.clock, now) {
            self.in_flight = Some((ask, sent));
            self.failed(Failure::Other(error.to_string()), now);
            return None;
        }
        self.gap.measure(sent, now, from.wall);
        self.is_plain = false;
        self.succeeded(now);
        Some(ask)
    }

    /// Processes the response to [`Ask::Digest`].
    pub fn digests<L>(&mut self, replica: &mut Replica<L>, answer: &DigestAnswer, now: Moment) {
        let was_plain = self.is_plain;
        let Some(Ask::Digest(..)) = self.answered(replica, answer.from, now) else {
            return;
        };
        if was_plain {
            self.plain.clear();
            self.full_transfer = None;
            self.compare_soon(now.mono);
            self.check_at = now.mono;
            return;
        }
        let Some(check) = &mut self.check else {
            return;
        };
        if !answer.accepts {
            check.declined();
        } else if !check.digests(replica, &self.known, &answer.digests) {
            let problem = "it sent digests that do not match the request".to_owned();
            return self.failed(Failure::Other(problem), now);
        }
        self.check_done(now);
    }

    /// Processes the response to [`Ask::Pull`]: returns registers that are later there, and queues those that are later
    /// here.
    pub fn pulled<L>(
        &mut self,
        replica: &mut Replica<L>,
        answer: &PullAnswer,
        now: Moment,
    ) -> PullOutcome {
        let (Some(Ask::Pull(..)), Some(mut check)) =
            (self.answered(replica, answer.from, now), self.check.take())
        else {
            return PullOutcome::nothing(Policy::Drop);
        };
        let gap = self.gap();
        let (outboxes, mut fits) = (&mut self.outboxes, true);
        let outcome = check.pulled(replica, answer, gap, now, |key| {
            fits &= outboxes[key.policy as usize].push(key.cidr, now.mono);
        });
        self.check = Some(check);
        if let Some(problem) = &outcome.problem {
            self.status.last_error =
                Some((now.wall, format!("it sent an invalid rule: {problem}")));
        }
        if !fits {
            // The next comparison finds the rest, once the queue has drained.
            self.status.overflows += 1;
        }
        self.check_done(now);
        outcome
    }

    fn check_done(&mut self, now: Moment) {
        let Some(check) = self.check.take_if(|check| check.question().is_none()) else {
            return;
        };
        self.known = check.found;
        self.status.differing = check.differing;
        self.status.refused_ranges = check.skipped;
        if check.differing == 0 {
            self.status.state = LinkState::InSync;
            if check.skipped == 0 {
                self.status.last_equal = now.wall;
            }
            let quarter = self.settings.compare / 4;
            let jitter = self.chance.u64(0..=2 * quarter);
            self.check_at = now.mono + self.settings.compare - quarter + jitter;
        } else {
            self.status.state = LinkState::Syncing;
            self.check_at = now.mono + COMPARE_AGAIN;
        }
    }

    /// Processes the response to [`Ask::Push`].
    pub fn pushed<L>(&mut self, replica: &mut Replica<L>, answer: &PushAnswer, now: Moment) {
        let Some(Ask::Push(policy, mut cidrs)) = self.answered(replica, answer.from, now) else {
            return;
        };
        let taken = usize::try_from(answer.taken).map_or(cidrs.len(), |n| n.min(cidrs.len()));
        let rest = cidrs.split_off(taken);
        self.status.sent += taken as u64;
        self.status.refused += answer.refused.min(taken as u64);
        if let Some(problem) = &answer.problem {
            let text: String = problem
                .chars()
                .filter(|c| !c.is_control())
                .take(300)
                .collect();
            self.status.last_error = Some((now.wall, format!("it rejected a rule: {text}")));
        }
        self.put_back(policy, rest, now);
        if answer.wait_ms > 0 {
            self.send_at = now.mono + answer.wait_ms.clamp(self.settings.gather, 10_000);
        }
    }

    /// Records that the jobs of [`Ask::Plain`] were accepted.
    pub fn plain_taken(&mut self, now: Moment) {
        self.in_flight = None;
        self.status.sent += self.plain.next().map_or(0, |b| b.jobs.len() as u64);
        self.plain.taken();
        self.succeeded(now);
        self.status.state = LinkState::Plain;
    }
}
