//! What is remembered of sources until a time: a map with a bound.
//!
//! Sets of 8 entries; a newcomer takes an entry whose time is over, else the one whose time is over first, which is
//! counted as lost. It grows with what it holds, up to the bound. A byte of the hash of each entry is kept apart, so that
//! mostly one entry of a set is looked at, or none.

use crate::key::Key;

const WAYS: usize = 8;
const FIRST_SETS: usize = 32;
/// The lowest bit of each byte, and the highest.
const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = LOW << 7;

#[derive(Clone, Copy, Default)]
struct Slot<V> {
    key: Key,
    /// In microseconds; 0: free.
    until: i64,
    value: V,
}

/// A bounded map of values that hold until a time.
pub(crate) struct Memory<V> {
    slots: Vec<Slot<V>>,
    /// Of each set, the byte of each entry.
    tags: Vec<[u8; WAYS]>,
    used: usize,
    max: usize,
    seed: u64,
    lost: u64,
}

impl<V: Copy + Default> Memory<V> {
    /// At most `max` entries (rounded up).
    pub(crate) fn new(max: usize, seed: u64) -> Self {
        let max = max.next_power_of_two().max(FIRST_SETS * WAYS);
        Self {
            slots: vec![Slot::default(); FIRST_SETS * WAYS],
            tags: vec![[0; WAYS]; FIRST_SETS],
            used: 0,
            max,
            seed,
            lost: 0,
        }
    }

    /// The hash of a key, the same for all memories of a seed.
    pub(crate) fn hash(&self, key: Key) -> u64 {
        key.hash(self.seed)
    }

    fn set_of(&self, hash: u64) -> usize {
        // Other bits than those of the buckets. The number of sets is a power of two.
        (hash >> 20) as usize & (self.tags.len() - 1)
    }

    fn set(&mut self, hash: u64) -> &mut [Slot<V>] {
        let base = self.set_of(hash) * WAYS;
        self.slots.get_mut(base..base + WAYS).unwrap_or_default()
    }

    /// Where the entry of a key is, be its time over or not.
    #[inline]
    fn find(&self, key: Key, hash: u64) -> Option<usize> {
        let set = self.set_of(hash);
        let others = u64::from_le_bytes([tag(hash); WAYS]);
        let tags = u64::from_le_bytes(*self.tags.get(set)?) ^ others;
        // Bytes that are 0; above one of them, others may look the same.
        let mut candidates = tags.wrapping_sub(LOW) & !tags & HIGH;
        while candidates != 0 {
            let at = set * WAYS + candidates.trailing_zeros() as usize / 8;
            let slot = self.slots.get(at)?;
            if slot.key == key && slot.until != 0 {
                return Some(at);
            }
            candidates &= candidates - 1;
        }
        None
    }

    /// The value of a key and the time until which it holds, if that is not over.
    #[inline]
    pub(crate) fn get(&self, key: Key, now: i64) -> Option<(&V, i64)> {
        if self.used == 0 {
            return None;
        }
        self.get_hashed(key, self.hash(key), now)
    }

    /// The same, with the hash of the key by the seed of this memory.
    #[inline]
    pub(crate) fn get_hashed(&self, key: Key, hash: u64, now: i64) -> Option<(&V, i64)> {
        if self.used == 0 {
            return None;
        }
        let slot = self.slots.get(self.find(key, hash)?)?;
        (slot.until > now).then_some((&slot.value, slot.until))
    }

    /// The value of a key, to change it, if its time is not over.
    pub(crate) fn get_mut(&mut self, key: Key, now: i64) -> Option<&mut V> {
        let at = self.find(key, self.hash(key))?;
        let slot = self.slots.get_mut(at)?;
        (slot.until > now).then_some(&mut slot.value)
    }

    /// Remembers a value until a time, above 0.
    pub(crate) fn set_until(&mut self, key: Key, value: V, until: i64, now: i64) {
        let is_crowded = self.used * 4 > self.slots.len() * 3 || self.is_full(key, now);
        if is_crowded && self.slots.len() < self.max {
            self.grow(now);
        }
        self.put(
            Slot {
                key,
                until: until.max(1),
                value,
            },
            now,
        );
    }

    /// Whether a newcomer would push somebody out.
    fn is_full(&self, key: Key, now: i64) -> bool {
        let base = self.set_of(self.hash(key)) * WAYS;
        let set = self.slots.get(base..base + WAYS).unwrap_or_default();
        set.iter().all(|slot| slot.until > now && slot.key != key)
    }

    fn put(&mut self, new: Slot<V>, now: i64) {
        let hash = self.hash(new.key);
        let number = self.set_of(hash);
        let same = self.find(new.key, hash).map(|at| at % WAYS);
        let set = self.set(hash);
        let first = || (0..set.len()).min_by_key(|way| set[*way].until);
        let Some(way) = same.or_else(first) else {
            return;
        };
        let old = std::mem::replace(&mut set[way], new);
        if let Some(tags) = self.tags.get_mut(number) {
            tags[way] = tag(hash);
        }
        self.used += usize::from(old.until == 0);
        self.lost += u64::from(old.until > now && old.key != new.key);
    }

    fn grow(&mut self, now: i64) {
        let size = self.slots.len() * 2;
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); size]);
        self.tags = vec![[0; WAYS]; size / WAYS];
        self.used = 0;
        for slot in old.into_iter().filter(|slot| slot.until > now) {
            self.put(slot, now);
        }
    }

    /// Forgets a key.
    pub(crate) fn remove(&mut self, key: Key) {
        let at = self.find(key, self.hash(key));
        if let Some(slot) = at.and_then(|at| self.slots.get_mut(at)) {
            *slot = Slot::default();
            self.used -= 1;
        }
    }

    /// The entries whose time is not over, with it.
    pub(crate) fn iter(&self, now: i64) -> impl Iterator<Item = (Key, &V, i64)> {
        let live = self.slots.iter().filter(move |slot| slot.until > now);
        live.map(|slot| (slot.key, &slot.value, slot.until))
    }

    /// Entries that had to make room before their time was over.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

/// Of other bits than the number of the set.
fn tag(hash: u64) -> u8 {
    (hash >> 56) as u8
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn key(n: u32) -> Key {
        Key::of(std::net::Ipv4Addr::from_bits(n).into(), 64)
    }

    #[test]
    fn up_to_a_quarter_of_its_bound_less_than_a_thousandth_is_lost() {
        let mut memory = Memory::new(262_144, 3);
        for n in 0..60_000_u32 {
            memory.set_until(key(n), n, 1_000, 1);
        }
        let (lost, kept) = (memory.lost(), memory.iter(1).count() as u64);
        assert!(lost < 60 && lost + kept == 60_000, "{lost} {kept}");
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_holds_longest() {
        let mut memory = Memory::new(1_024, 3);
        for n in 0..100_000_u32 {
            memory.set_until(key(n), n, 1_000 + i64::from(n), 1);
        }
        assert_eq!(memory.slots.len(), 1_024);
        assert!(memory.lost() >= 98_000);
        let kept = memory.iter(1).filter(|(_, n, _)| **n > 90_000).count();
        assert!(kept > 1_000, "{kept}");
    }

    proptest! {
        /// What it says is what was set; with room for all, it says all that holds.
        #[test]
        fn as_a_map_that_may_forget(
            steps in prop::collection::vec((0..400_u32, 1..50_i64, 0..4_u8), 1..800),
        ) {
            let mut memory = Memory::new(8_192, 5);
            let mut map: HashMap<u32, (i64, i64)> = HashMap::new();
            let mut now = 1;
            for (n, life, action) in steps {
                now += 1;
                match action {
                    0 => { memory.remove(key(n)); map.remove(&n); }
                    1 => {
                        let expected = map.get(&n).filter(|(_, until)| *until > now);
                        let said = memory.get(key(n), now).map(|(value, until)| (*value, until));
                        prop_assert_eq!(said, expected.copied().filter(|_| said.is_some() || memory.lost() == 0));
                    }
                    _ => { memory.set_until(key(n), now, now + life, now); map.insert(n, (now, now + life)); }
                }
            }
            let live = map.values().filter(|(_, until)| *until > now).count();
            prop_assert!(memory.iter(now).count() <= live);
            prop_assert!(memory.lost() > 0 || memory.iter(now).count() == live);
            prop_assert_eq!(memory.used, memory.slots.iter().filter(|s| s.until != 0).count());
        }
    }
}
