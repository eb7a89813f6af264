//! Responses of a peer. Each carries a clock sample, and none is taken that was not asked for.

use couic_common::Policy;

use super::Link;
use crate::{
    Ask, DigestAnswer, Face, LinkState, Moment, PullAnswer, PullOutcome, PushAnswer, Replica, shown,
};

/// Interval of comparisons while registers differ, in milliseconds.
const COMPARE_AGAIN: u64 = 1_000;

impl Link {
    /// Records a response and its clock sample. None for an unexpected response, or one that is of no use.
    fn answered(&mut self, replica: &mut Replica, from: Face, now: Moment) -> Option<Ask> {
        let (ask, sent) = self.in_flight.take()?;
        if from.node == replica.node() {
            let problem = "this peer is the local node itself: remove it from [peering]";
            self.gave_up(ask, problem.to_owned(), now);
            return None;
        }
        if let Err(unfit) = from.check(replica.node(), now) {
            self.gave_up(ask, format!("its {unfit}"), now);
            return None;
        }
        if !replica.heard(self.peer, from.node, now) {
            // What it says counts as passed on, not as that machine's.
            let text = "it has the machine number of another peer: its rules are not told apart from those that it passes on";
            self.status.last_error = Some((now.wall, text.to_owned()));
        }
        self.gap.measure(sent, now, from.wall);
        self.is_plain = false;
        self.succeeded(now);
        Some(ask)
    }

    /// Processes the response to [`Ask::Digest`].
    pub fn digests(&mut self, replica: &mut Replica, answer: &DigestAnswer, now: Moment) {
        let was_plain = self.is_plain;
        let Some(ask @ Ask::Digest(..)) = self.answered(replica, answer.from, now) else {
            return;
        };
        if was_plain {
            self.plain.clear();
            self.walk = self.settings.walk();
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
            return self.gave_up(ask, problem, now);
        }
        self.check_done(now);
    }

    /// Processes the response to [`Ask::Pull`]: returns registers that are later there, and queues those that are later
    /// here.
    pub fn pulled(
        &mut self,
        replica: &mut Replica,
        answer: &PullAnswer,
        now: Moment,
    ) -> PullOutcome {
        let Some(ask @ Ask::Pull(..)) = self.answered(replica, answer.from, now) else {
            return PullOutcome::nothing(Policy::Drop);
        };
        let Some(mut check) = self.check.take() else {
            return PullOutcome::nothing(Policy::Drop);
        };
        let gap = self.gap();
        let (outboxes, mut fits) = (&mut self.outboxes, true);
        let outcome = check.pulled(replica, self.peer, answer, gap, now, |id| {
            let outbox = &mut outboxes[id.key.policy as usize];
            fits &= outbox.push((id.key.cidr, id.author), now.mono);
        });
        if let Some(problem) = &outcome.problem {
            self.gave_up(
                ask,
                format!("it sent an invalid answer: {}", shown(problem)),
                now,
            );
            return outcome;
        }
        self.check = Some(check);
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
        self.backoff.succeeded();
        self.known = check.found;
        self.compared = true;
        self.status.differing = check.differing;
        self.status.refused_ranges = check.skipped;
        self.status.state = LinkState::Syncing;
        if check.equal || (check.differing == 0 && check.skipped > 0) {
            if check.equal {
                self.status.state = LinkState::InSync;
                self.status.last_equal = now.wall;
            }
            let quarter = self.settings.compare / 4;
            let jitter = self.chance.u64(0..=2 * quarter);
            self.check_at = now.mono + self.settings.compare - quarter + jitter;
        } else {
            self.check_at = now.mono + COMPARE_AGAIN;
        }
    }

    /// Processes the response to [`Ask::Push`].
    pub fn pushed(&mut self, replica: &mut Replica, answer: &PushAnswer, now: Moment) {
        let Some(Ask::Push(policy, mut cidrs)) = self.answered(replica, answer.from, now) else {
            return;
        };
        let taken = usize::try_from(answer.taken).map_or(cidrs.len(), |n| n.min(cidrs.len()));
        let rest = cidrs.split_off(taken);
        self.status.sent += taken as u64;
        self.status.refused += answer.refused.min(taken as u64);
        if let Some(problem) = &answer.problem {
            let text = format!("it rejected a rule: {}", shown(problem));
            self.status.last_error = Some((now.wall, text));
        }
        if taken > 0 {
            self.backoff.succeeded();
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
        self.backoff.succeeded();
        self.succeeded(now);
        self.status.state = LinkState::Plain;
    }
}
