//! The rules that wait for the daemon: bounded, one for each network and tag, in the order in which they came.
//!
//! What a rule waits for may be under way already, and then its fate is not known. So a change of it gets a new place
//! behind the batch under way, and the answer to that batch is not taken for it. A ban that follows a waiting removal
//! remembers it: if the ban is refused or expires, the removal is still due.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use crate::rule::{Key, Limits, NEVER, Texts};

/// How many different tags and kinds share their memory.
const MOST_SHARED: usize = 1024;

/// How many rules are handled under one hold of the lock.
pub(crate) const CHUNK: usize = 512;

/// What is due for a network and tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// A ban; with `released`, after a removal.
    Ban { texts: Texts, released: bool },
    /// A removal.
    Removal,
}

/// A place in the queue.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) key: Key,
    /// Unix seconds; [`NEVER`] for removals, too.
    pub(crate) end: u64,
    pub(crate) due: Due,
    /// Since when it waits.
    pub(crate) since: Instant,
    /// It is in the batch under way.
    pub(super) flying: bool,
}

impl Slot {
    fn bytes(&self) -> usize {
        match &self.due {
            Due::Ban { texts, .. } => texts.bytes(),
            Due::Removal => 0,
        }
    }
}

/// What the answer means for a rule that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Applied,
    Refused,
    /// To be sent again.
    Open,
}

/// The queue. Places are numbers that only grow.
#[derive(Debug)]
pub(crate) struct Held {
    pub(super) slots: BTreeMap<u64, Box<Slot>>,
    places: HashMap<Key, u64>,
    ends: BTreeSet<(u64, u64)>,
    shared: HashSet<Arc<str>>,
    pub(super) next: u64,
    /// How many batches there were, and what the one under way has sent, in order.
    pub(super) flights: u64,
    pub(super) flight: Option<Vec<u64>>,
    bytes: usize,
    limits: Limits,
    /// Rules that went at the bound.
    pub(crate) dropped: u64,
    /// Bans that ended before they were sent.
    pub(crate) expired: u64,
}

impl Held {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            slots: BTreeMap::new(),
            places: HashMap::new(),
            ends: BTreeSet::new(),
            shared: HashSet::new(),
            next: 0,
            flights: 0,
            flight: None,
            bytes: 0,
            limits,
            dropped: 0,
            expired: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Since when the first one waits.
    pub(crate) fn oldest(&self) -> Option<Instant> {
        self.slots.first_key_value().map(|(_, slot)| slot.since)
    }

    /// Takes a ban that ends at `end`, Unix seconds.
    pub(crate) fn ban(&mut self, key: Key, end: u64, texts: Texts, now: u64) {
        if end <= now {
            self.expired += 1;
            return;
        }
        let released = match self.slot(&key) {
            None => false,
            Some(slot) => match slot.due {
                Due::Removal => true,
                // It lasts long enough as it is.
                Due::Ban { .. } if end < slot.end || slot.flying && end == slot.end => return,
                Due::Ban { released, .. } => released,
            },
        };
        self.put(key, end, Due::Ban { texts, released });
    }

    /// Takes a removal.
    pub(crate) fn remove(&mut self, key: Key) {
        if self.slot(&key).is_none_or(|slot| slot.due != Due::Removal) {
            self.put(key, NEVER, Due::Removal);
        }
    }

    /// Takes what is older than everything here, as if it had come first.
    pub(crate) fn put_below(&mut self, older: Self, now: u64) {
        self.dropped += older.dropped;
        self.expired += older.expired;
        for slot in older.slots.into_values() {
            let Slot { key, end, due, .. } = *slot;
            let place = self.places.get(&key).copied();
            let Some(newer) = place.and_then(|place| self.slots.get_mut(&place)) else {
                if end > now {
                    self.put(key, end, due);
                    continue;
                }
                self.expired += 1;
                if matches!(due, Due::Ban { released: true, .. }) {
                    self.put(key, NEVER, Due::Removal);
                }
                continue;
            };
            let Due::Ban { texts, released } = &mut newer.due else {
                continue;
            };
            match due {
                Due::Ban { released: was, .. } if !*released => {
                    if end > newer.end {
                        let due = Due::Ban {
                            texts: texts.clone(),
                            released: was,
                        };
                        self.put(key, end, due);
                    } else {
                        *released = was;
                    }
                }
                Due::Ban { .. } => {}
                Due::Removal => *released = true,
            }
        }
    }

    /// Some bans that have ended go, and leave the removals that they followed. Returns whether there may be more. For when
    /// no batch is under way.
    pub(crate) fn expire(&mut self, now: u64) -> bool {
        for _ in 0..CHUNK {
            match self.ends.first() {
                Some(&(end, place)) if end <= now => {
                    self.expired += 1;
                    self.give_up(place);
                }
                _ => return false,
            }
        }
        true
    }

    /// A batch is answered for these places, or came to nothing.
    pub(crate) fn land(&mut self, fates: impl IntoIterator<Item = (u64, Fate)>) {
        for (place, fate) in fates {
            let Some(slot) = self.slots.get_mut(&place) else {
                continue;
            };
            slot.flying = false;
            match fate {
                Fate::Open => {}
                Fate::Refused => self.give_up(place),
                Fate::Applied => {
                    self.take(place);
                }
            }
        }
    }

    /// Everything from this place on, at most so many, with the place after them.
    pub(crate) fn range(&self, from: u64, most: usize) -> (Vec<Slot>, u64) {
        let found = self.slots.range(from..).take(most);
        let mut next = from;
        let slots = found.map(|(place, slot)| {
            next = place + 1;
            Slot::clone(slot)
        });
        (slots.collect(), next)
    }

    /// The rule at this place.
    pub(crate) fn at(&self, place: u64) -> Option<&Slot> {
        self.slots.get(&place).map(Box::as_ref)
    }

    fn slot(&self, key: &Key) -> Option<&Slot> {
        let place = self.places.get(key)?;
        self.slots.get(place).map(Box::as_ref)
    }

    /// Puts what is due in place of what was due for this key.
    fn put(&mut self, key: Key, end: u64, due: Due) {
        let old = self.places.get(&key).copied();
        let old = old.and_then(|place| Some((place, self.take(place)?)));
        let kept = old.filter(|(_, slot)| !slot.flying);
        let (place, since) = kept.map_or_else(
            || (self.next, Instant::now()),
            |(place, slot)| (place, slot.since),
        );
        self.next = self.next.max(place + 1);
        let slot = Slot {
            key: Key {
                cidr: key.cidr,
                tag: self.share(key.tag),
            },
            end,
            due: self.shared_due(due),
            since,
            flying: false,
        };
        self.insert(place, slot);
        self.keep_bounds();
    }

    fn insert(&mut self, place: u64, slot: Slot) {
        self.bytes += slot.bytes();
        self.places.insert(slot.key.clone(), place);
        self.ends.insert((slot.end, place));
        self.slots.insert(place, Box::new(slot));
    }

    fn take(&mut self, place: u64) -> Option<Box<Slot>> {
        let slot = self.slots.remove(&place)?;
        self.bytes -= slot.bytes();
        self.places.remove(&slot.key);
        self.ends.remove(&(slot.end, place));
        Some(slot)
    }

    /// A ban comes to nothing: if it followed a removal, that is due.
    fn give_up(&mut self, place: u64) {
        let Some(mut slot) = self.take(place) else {
            return;
        };
        if matches!(slot.due, Due::Ban { released: true, .. }) {
            (slot.due, slot.end, slot.flying) = (Due::Removal, NEVER, false);
            self.insert(place, *slot);
        }
    }

    fn keep_bounds(&mut self) {
        // Ends: each turn removes a rule, or makes a ban a removal.
        while self.len() > self.limits.held.max(1) || self.bytes > self.limits.bytes {
            let Some(&(_, place)) = self.ends.first() else {
                return;
            };
            self.dropped += 1;
            self.give_up(place);
        }
    }

    fn shared_due(&mut self, due: Due) -> Due {
        match due {
            Due::Removal => Due::Removal,
            Due::Ban {
                mut texts,
                released,
            } => {
                texts.kind = self.share(texts.kind);
                Due::Ban { texts, released }
            }
        }
    }

    /// Equal texts that repeat are one allocation.
    fn share(&mut self, text: Arc<str>) -> Arc<str> {
        if let Some(shared) = self.shared.get(&text) {
            return Arc::clone(shared);
        }
        if self.shared.len() >= MOST_SHARED {
            self.shared.clear();
        }
        self.shared.insert(Arc::clone(&text));
        text
    }
}

#[cfg(test)]
mod tests;
