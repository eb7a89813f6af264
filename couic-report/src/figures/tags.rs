//! The most frequent tags, in bounded memory for any input.
//!
//! Up to [`ROOM`] tags are counted exactly. At one more, the median count is subtracted from every tag, and tags at
//! zero are dropped: the frequent-items sketch of Anderson et al. (2017), a batched form of Misra and Gries (1982).
//! From then on a count is too low by at most the sum of the subtracted medians. As each step subtracts the median from
//! at least half of the tags, that sum is at most `2 × total / ROOM`: a tag with more than 0.1 % of all adds is always
//! found. Amortized constant time per report; a replay gives the same figures.

use std::collections::HashMap;

use crate::codec::{Malformed, Put, Take};

/// Most tags counted at a time: of at most 255 bytes each, 700 KiB at worst.
pub(crate) const ROOM: usize = 2048;

/// Counts of tags.
#[derive(Debug, Default)]
pub(crate) struct TopTags {
    counts: HashMap<Box<str>, u64>,
}

impl TopTags {
    pub(crate) fn count(&mut self, tag: &str) {
        if let Some(count) = self.counts.get_mut(tag) {
            *count += 1;
            return;
        }
        if self.counts.len() >= ROOM {
            self.cut();
        }
        self.counts.insert(tag.into(), 1);
    }

    fn cut(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        let middle = counts.len() / 2;
        let (_, median, _) = counts.select_nth_unstable(middle);
        let median = *median;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(median);
            *count > 0
        });
    }

    /// The `n` most frequent tags, in descending order; ties are sorted by name.
    pub(crate) fn top(&self, n: usize) -> Vec<(&str, u64)> {
        let mut all: Vec<(&str, u64)> = self.counts.iter().map(|(t, c)| (&**t, *c)).collect();
        all.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        all.truncate(n);
        all
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.counts.len()).unwrap_or(u32::MAX));
        for (tag, count) in self.top(usize::MAX) {
            out.put_short(tag);
            out.put_u64(count);
        }
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let len = from.u32()?;
        let one = |_| Ok((from.short()?.into(), from.u64()?));
        let counts: Result<_, _> = (0..len).map(one).collect();
        Ok(Self { counts: counts? })
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
