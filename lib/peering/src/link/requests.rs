//! The next request to a peer: changes first, then the comparison; a plain peer gets jobs instead.

use couic_common::{Cidr, Policy, Reason, RuleKey};

use super::Link;
use crate::{
    Ask, Moment, Of, Record, RegisterId, Replica, Slot,
    check::{Check, Question},
    outbox::{Changed, Outbox},
};

/// Registers per step of the full transfer to a plain peer.
const TRANSFER_STEP: usize = 1_000;

/// Leaves that are searched at a time for registers that ended: with millions of registers, in a millisecond or two.
const LEAVES: u16 = 256;

impl Link {
    pub(super) fn ask(&mut self, replica: &Replica, now: Moment) -> Option<Ask> {
        // Times cannot be translated before the first clock sample.
        let may_push = self.gap.ms().is_some() && now.mono >= self.send_at;
        if may_push && self.outboxes.iter().all(Outbox::is_empty) {
            self.queue_ended(replica, now);
        }
        while may_push && let Some((policy, mut cidrs)) = self.next_changes() {
            // Registers forgotten in the meantime need not be sent.
            cidrs.retain(|one| replica.get(id(policy, *one)).is_some());
            if !cidrs.is_empty() {
                self.send_at = now.mono + self.settings.gather;
                return Some(Ask::Push(policy, cidrs));
            }
        }
        if self.check.is_none() && now.mono >= self.check_at {
            self.check = Some(Check::new(&self.settings.policies));
        }
        match self.check.as_ref()?.question() {
            Some(Question::Digest(policy, of)) => Some(Ask::Digest(policy, of)),
            Some(Question::Pull(policy, leaves, after)) => Some(Ask::Pull(policy, leaves, after)),
            None => None,
        }
    }

    fn queue_ended(&mut self, replica: &Replica, now: Moment) {
        let Some((policy, first)) = self.walk else {
            return;
        };
        let last = first | (LEAVES - 1);
        // The queue is empty: so many fit.
        for id in replica
            .ended_in(policy, (first, last))
            .take(self.settings.queue)
        {
            self.changed(id, now);
        }
        let next = last.checked_add(1).map(|next| (policy, next));
        self.walk = next.or_else(|| self.policy_after(policy));
    }

    fn next_changes(&mut self) -> Option<(Policy, Vec<Changed>)> {
        let policy = Policy::ALL
            .into_iter()
            .find(|policy| !self.outboxes[*policy as usize].is_empty())?;
        Some((policy, self.outboxes[policy as usize].drain(self.batch)))
    }

    pub(super) fn plain_ask(
        &mut self,
        replica: &Replica,
        now: Moment,
        tellable: impl Fn(&Slot) -> bool,
    ) -> Option<Ask> {
        if self.plain.next().is_none() && now.mono >= self.send_at {
            if let Some((policy, cidrs)) = self.next_changes() {
                self.send_at = now.mono + self.settings.gather;
                let slots = cidrs
                    .iter()
                    .filter_map(|one| Some((one.0, replica.get(id(policy, *one))?)));
                let records = slots
                    .filter(|(_, slot)| tellable(slot))
                    .map(|(cidr, slot)| (cidr, &slot.record, replica.reason(slot)));
                self.plain.queue(policy, records, now.wall, true);
            } else {
                self.continue_full_transfer(replica, now, tellable);
            }
        }
        if let Some(batch) = self.plain.next() {
            return Some(Ask::Plain(batch.clone()));
        }
        // Probe whether it has been upgraded.
        (now.mono >= self.check_at).then(|| Ask::Digest(Policy::Drop, Of::Root))
    }

    /// Continues the full transfer to a plain peer.
    fn continue_full_transfer(
        &mut self,
        replica: &Replica,
        now: Moment,
        tellable: impl Fn(&Slot) -> bool,
    ) {
        let Some((policy, first)) = self.walk else {
            return;
        };
        let mut found: Vec<(Cidr, &Record, Option<&Reason>)> = Vec::new();
        let mut next = None;
        for (leaf, id, slot) in replica.in_leaves(policy, (first, u16::MAX)) {
            if found.len() >= TRANSFER_STEP && leaf > first {
                next = Some((policy, leaf));
                break;
            }
            if slot.is_live(now) && tellable(slot) {
                found.push((id.key.cidr, &slot.record, replica.reason(slot)));
            }
        }
        self.walk = next.or_else(|| self.policy_after(policy));
        self.plain.queue(policy, found.into_iter(), now.wall, false);
    }
}

const fn id(policy: Policy, (cidr, author): Changed) -> RegisterId {
    let key = RuleKey::new(policy, cidr);
    RegisterId { key, author }
}
