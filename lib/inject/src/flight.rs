//! A batch under way: it takes its rules from the queue while it is sent, so that it needs no copy of them.

use couic_common::{BatchJob, BatchRule, GuardRequest, PeerAction};

use crate::{
    held::{CHUNK, Due, Held, Slot},
    rule::NEVER,
};

/// Which rules a batch takes.
#[derive(Debug)]
pub(crate) struct Flight {
    number: u64,
    from: u64,
    /// What comes later waits for the next batch.
    until: u64,
    left: usize,
}

impl Held {
    /// Begins a batch of at most so many rules.
    pub(crate) fn begin_flight(&mut self, most: usize) -> Flight {
        self.flights += 1;
        self.flight = Some(Vec::new());
        Flight {
            number: self.flights,
            from: 0,
            until: self.next,
            left: most,
        }
    }

    /// The next rules of a batch; none at its end, also if it was ended early.
    pub(crate) fn board(&mut self, flight: &mut Flight, now: u64) -> Vec<Slot> {
        let mut taken = Vec::new();
        if flight.number != self.flights {
            return taken;
        }
        let Some(sent) = &mut self.flight else {
            return taken;
        };
        let most = flight.left.min(CHUNK);
        for (place, slot) in self.slots.range_mut(flight.from..flight.until) {
            if taken.len() == most {
                break;
            }
            flight.from = place + 1;
            // Those that have ended go before the next batch.
            if slot.end > now {
                slot.flying = true;
                sent.push(*place);
                taken.push(Slot::clone(slot));
            }
        }
        flight.left -= taken.len();
        taken
    }

    /// Ends the batch under way: the places of its jobs.
    pub(crate) fn end_flight(&mut self) -> Vec<u64> {
        self.flight.take().unwrap_or_default()
    }
}

/// The job for a rule. `ahead` is by how many seconds the daemon's clock is.
pub(crate) fn job(slot: &Slot, guard: Option<&GuardRequest>, now: u64, ahead: i64) -> BatchJob {
    let mut entry = BatchRule {
        cidr: slot.key.cidr.to_string(),
        expiration: 0,
        tag: Some(slot.key.tag.to_string()).filter(|tag| !tag.is_empty()),
        metadata: None,
        force: false,
        guard: guard.cloned(),
        ttl: None,
        longer: false,
    };
    let action = match &slot.due {
        Due::Removal => {
            entry.tag.get_or_insert_with(|| "untagged".to_owned());
            PeerAction::Remove
        }
        Due::Ban { texts, .. } => {
            entry.metadata = Some(texts.metadata());
            PeerAction::Add
        }
    };
    if slot.end != NEVER {
        entry.ttl = Some(slot.end.saturating_sub(now).max(1));
        // For daemons before 2.0, which do not know `ttl`.
        entry.expiration = slot.end.saturating_add_signed(ahead);
    }
    BatchJob { action, entry }
}
