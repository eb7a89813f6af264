//! The exchange of the registers in leaves that differ, page by page.

use std::collections::HashMap;

use couic_common::{Cidr, Policy, RuleKey};

use super::{Check, Step};
use crate::{
    MAX_PULL, Moment, Offer, PeerId, PullAnswer, Record, RegisterId, Replica,
    replica::{Place, place},
};

/// Pages of one leaf per comparison. An honest leaf has one; who aims at a leaf makes others read so much and no more.
const PAGES_OF_A_LEAF: u32 = 16;

/// Pages per comparison: more than all registers need.
const PAGES: u32 = 4_096;

/// The result of a pull.
#[derive(Debug)]
pub struct PullOutcome {
    /// The policy.
    pub policy: Policy,
    /// Registers of the peer that are later than the local ones.
    pub theirs: Vec<Offer>,
    /// Why the response is invalid in part.
    pub problem: Option<String>,
}

impl PullOutcome {
    pub(crate) const fn nothing(policy: Policy) -> Self {
        Self {
            policy,
            theirs: Vec::new(),
            problem: None,
        }
    }
}

/// What a peer says of registers, by network and author.
type Theirs = HashMap<(Cidr, u32), Record>;

impl Check {
    /// Processes a pull, translating times by `gap`. Calls `send` for each local register that the peer lacks.
    pub(crate) fn pulled(
        &mut self,
        replica: &Replica,
        peer: PeerId,
        answer: &PullAnswer,
        gap: i64,
        now: Moment,
        mut send: impl FnMut(RegisterId),
    ) -> PullOutcome {
        let (Some(policy), Step::Pull) = (self.policies.front().copied(), &self.step) else {
            return PullOutcome::nothing(Policy::Drop);
        };
        let mut outcome = PullOutcome::nothing(policy);
        let theirs = self.read(replica, peer, answer, gap, &mut outcome);
        let last = match self.page(answer) {
            Ok(last) => last,
            Err(problem) => {
                outcome.problem.get_or_insert(problem);
                return outcome;
            }
        };
        let begin = self.after;
        for range in self.cover(last) {
            for (_, id, slot) in replica.after(policy, range, begin) {
                if last.is_some_and(|last| place(id) > last) {
                    break;
                }
                let known = theirs.get(&(id.key.cidr, id.author));
                if known.is_none_or(|known| *known < slot.record) && !replica.is_over(slot, now) {
                    self.differing += 1;
                    send(id);
                }
            }
        }
        if self.leaves.is_empty() {
            self.next_policy();
        }
        outcome
    }

    /// Reads the registers of a response. Those to be taken are in the outcome.
    fn read(
        &mut self,
        replica: &Replica,
        peer: PeerId,
        answer: &PullAnswer,
        gap: i64,
        outcome: &mut PullOutcome,
    ) -> Theirs {
        let mut theirs = Theirs::with_capacity(answer.records.len());
        for record in &answer.records {
            let offer = match record.read(gap.saturating_neg()) {
                Ok(offer) => offer,
                Err(problem) => {
                    outcome.problem.get_or_insert(problem);
                    continue;
                }
            };
            let author = offer.record.author();
            let key = RuleKey::new(outcome.policy, offer.cidr);
            let ours = replica.get(RegisterId { key, author });
            theirs.insert((offer.cidr, author), offer.record.clone());
            if ours.is_none_or(|ours| replica.is_replaced(ours, peer, &offer.record)) {
                self.differing += 1;
                outcome.theirs.push(offer);
            }
        }
        theirs
    }

    /// Where a response ends, if there is more. Each goes on, and is full: otherwise the requests would not end.
    fn page(&mut self, answer: &PullAnswer) -> Result<Option<Place>, String> {
        let Some(mark) = &answer.last else {
            return Ok(None);
        };
        let first = self.leaves.first().map_or(0, |(first, _)| *first);
        let place = mark.place().filter(|place| {
            let goes_on = self.after.is_none_or(|after| *place > after);
            goes_on && place.0 >= first && answer.records.len() >= MAX_PULL / 2
        });
        let place = place.ok_or("a page that does not go on")?;
        let is_same_leaf = self.after.is_some_and(|after| after.0 == place.0);
        let of_leaf = if is_same_leaf { self.pages.1 + 1 } else { 1 };
        self.pages = (self.pages.0 + 1, of_leaf);
        if self.pages.0 > PAGES {
            return Err("more pages than there are rules".to_owned());
        }
        Ok(Some(place))
    }

    /// Removes what a response covered, up to `last`, from the list. Returns the ranges that it covered.
    fn cover(&mut self, last: Option<Place>) -> Vec<(u16, u16)> {
        let asked = self.leaves.len().min(self.ranges_at_once);
        let mut covered: Vec<_> = self.leaves.drain(..asked).collect();
        self.after = last;
        let Some((reached, ..)) = last else {
            return covered;
        };
        let mut left = Vec::new();
        let mut next = Some(reached);
        if self.pages.1 >= PAGES_OF_A_LEAF {
            // The rest of this leaf waits for another comparison.
            self.skipped += 1;
            self.after = None;
            next = reached.checked_add(1);
        }
        covered.retain_mut(|(first, end)| {
            if let Some(next) = next.filter(|next| *end >= *next) {
                left.push(((*first).max(next), *end));
            }
            *end = (*end).min(reached);
            *first <= reached
        });
        left.append(&mut self.leaves);
        self.leaves = left;
        covered
    }
}
