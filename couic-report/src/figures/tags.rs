//! The most frequent keys, tags above all, in bounded memory for any input.
//!
//! Up to a number of keys, the room, are counted exactly. At one more, the median count is subtracted from every key,
//! and keys at zero are dropped: the frequent-items sketch of Anderson et al. (2017), a batched form of Misra and Gries
//! (1982). From then on a count is too low by at most the sum of the subtracted medians. As each step subtracts the
//! median from at least half of the keys, that sum is at most `2 × total / room`: with [`ROOM`], a tag with more than
//! 0.1 % of all adds is always found. Amortized constant time per report; a replay gives the same figures.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

use crate::codec::{Malformed, Put, Take};

/// Most tags counted at a time in an interval: of at most 255 bytes each, 700 KiB at worst.
pub(crate) const ROOM: usize = 2048;

/// Counts of tags.
pub(crate) type TopTags = Top<Box<str>, ROOM>;

/// Counts of keys, each with a value that is kept with it.
#[derive(Clone, Debug)]
pub(crate) struct Top<K, const ROOM: usize, V = ()> {
    counts: HashMap<K, (u64, V)>,
}

impl<K, const ROOM: usize, V> Default for Top<K, ROOM, V> {
    fn default() -> Self {
        Self {
            counts: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash + Ord, const ROOM: usize, V> Top<K, ROOM, V> {
    /// Adds to the count of a key. `value` is set if the key is new, and updated by `update` if it is not.
    pub(crate) fn add<Q>(
        &mut self,
        key: &Q,
        by: u64,
        own: impl FnOnce() -> (K, V),
        update: impl FnOnce(&mut V),
    ) where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some((count, value)) = self.counts.get_mut(key) {
            *count = count.saturating_add(by);
            update(value);
            return;
        }
        if self.counts.len() >= ROOM {
            self.cut();
        }
        let (key, value) = own();
        self.counts.insert(key, (by, value));
    }

    fn cut(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().map(|(count, _)| *count).collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        let median = *median;
        self.counts.retain(|_, (count, _)| {
            *count = count.saturating_sub(median);
            *count > 0
        });
    }

    /// Drops all but the `n` most frequent keys.
    pub(crate) fn keep(&mut self, n: usize) {
        if self.counts.len() <= n {
            return;
        }
        let mut all: Vec<_> = self.counts.drain().collect();
        all.sort_unstable_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(&b.0)));
        all.truncate(n);
        self.counts = all.into_iter().collect();
        self.counts.shrink_to_fit();
    }

    /// The keys with their counts and values, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, u64, &V)> {
        self.counts
            .iter()
            .map(|(key, (count, value))| (key, *count, value))
    }

    /// The number of keys.
    pub(crate) fn len(&self) -> usize {
        self.counts.len()
    }

    /// Sets a key, as read from a snapshot.
    pub(crate) fn set(&mut self, key: K, count: u64, value: V) {
        self.counts.insert(key, (count, value));
    }
}

impl<const ROOM: usize> Top<Box<str>, ROOM> {
    /// Counts a text once.
    pub(crate) fn count(&mut self, text: &str) {
        self.count_by(text, 1);
    }

    /// Counts a text.
    pub(crate) fn count_by(&mut self, text: &str, by: u64) {
        self.add(text, by, || (text.into(), ()), |()| ());
    }

    /// The `n` most frequent texts, in descending order; ties are sorted by name.
    pub(crate) fn top(&self, n: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.iter().map(|(t, c, ())| (&**t, c)).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(n);
        all
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.counts.len()).unwrap_or(u32::MAX));
        for (text, count) in self.top(usize::MAX) {
            out.put_short(text);
            out.put_u64(count);
        }
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let mut read = Self::default();
        for _ in 0..from.u32()? {
            read.set(from.short()?.into(), from.u64()?, ());
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn order_is_by_count_then_name() {
        let mut tags = TopTags::default();
        for tag in ["b", "c", "a", "c", ""] {
            tags.count(tag);
        }
        assert_eq!(tags.top(3), [("c", 2), ("", 1), ("a", 1)]);
        assert_eq!(tags.top(9).len(), 4);
    }

    #[test]
    fn a_frequent_tag_is_found_among_a_million_random_ones() {
        let mut tags = TopTags::default();
        for n in 0..1_000_000 {
            tags.count(&format!("noise{n}"));
            if n % 200 == 0 {
                tags.count("attack");
            }
        }
        let top = tags.top(1);
        assert_eq!(top[0].0, "attack");
        let missing = 5_000 - top[0].1;
        assert!(missing <= 2 * 1_005_000 / ROOM as u64, "{missing}");
        assert!(tags.counts.len() <= ROOM);
    }

    proptest! {
        #[test]
        fn counts_are_exact_up_to_the_limit(seen in proptest::collection::vec(0u8..40, 0..300)) {
            let mut tags = TopTags::default();
            let mut oracle = BTreeMap::<String, u64>::new();
            for n in seen {
                let tag = format!("t{n}");
                tags.count(&tag);
                *oracle.entry(tag).or_default() += 1;
            }
            let mut bytes = Vec::new();
            tags.encode(&mut bytes);
            let read = TopTags::decode(&mut Take(&bytes)).unwrap();
            let counted: BTreeMap<String, u64> =
                read.top(usize::MAX).into_iter().map(|(t, c)| (t.to_owned(), c)).collect();
            prop_assert_eq!(counted, oracle);
        }
    }
}
