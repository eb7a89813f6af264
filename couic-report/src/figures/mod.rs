//! The figures of one interval: adds, removes, distinct CIDRs, top tags, adds per Couic instance.
//!
//! Bounded: at most some 9 MiB, on any input. Deterministic: the same batches in the same order give the same
//! figures, so that the journal can be replayed.

mod distinct;
pub(crate) mod tags;

use std::collections::BTreeMap;

use couic_common::Cidr;

use self::{distinct::Distinct, tags::TopTags};
use crate::codec::{Malformed, Put, Take};

/// Most instances counted separately. Others are counted in the total only.
pub(crate) const MAX_SOURCES: usize = 64;

/// Counters of an interval.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    adds: u64,
    removes: u64,
    distinct: Distinct,
    tags: TopTags,
    sources: BTreeMap<Box<str>, u64>,
}

impl Figures {
    /// Counts an `add`. An empty tag means no tag.
    pub(crate) fn add(&mut self, cidr: Cidr, tag: &str) {
        self.adds += 1;
        self.distinct.insert(cidr);
        if !tag.is_empty() {
            self.tags.count(tag);
        }
    }

    /// Counts `remove`s, in total only.
    pub(crate) fn remove(&mut self, count: u64) {
        self.removes += count;
    }

    /// Attributes `adds` to a sender.
    pub(crate) fn heard_from(&mut self, source: &str, adds: u64) {
        if let Some(count) = self.sources.get_mut(source) {
            *count += adds;
        } else if self.sources.len() < MAX_SOURCES {
            self.sources.insert(source.into(), adds);
        }
    }

    /// Number of added rules.
    pub(crate) fn adds(&self) -> u64 {
        self.adds
    }

    /// Number of removed rules.
    pub(crate) fn removes(&self) -> u64 {
        self.removes
    }

    /// Number of distinct CIDRs added, and whether it is an estimate.
    pub(crate) fn distinct(&self) -> (u64, bool) {
        self.distinct.count()
    }

    /// The most frequent tags.
    pub(crate) fn top_tags(&self, n: usize) -> Vec<(&str, u64)> {
        self.tags.top(n)
    }

    /// Adds per sender, by name.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&str, u64)> {
        self.sources.iter().map(|(name, adds)| (&**name, *adds))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.adds);
        out.put_u64(self.removes);
        self.distinct.encode(out);
        self.tags.encode(out);
        out.put_u32(u32::try_from(self.sources.len()).unwrap_or(u32::MAX));
        for (name, adds) in &self.sources {
            out.put_short(name);
            out.put_u64(*adds);
        }
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let (adds, removes) = (from.u64()?, from.u64()?);
        let distinct = Distinct::decode(from)?;
        let tags = TopTags::decode(from)?;
        let len = from.u32()?;
        let one = |_| Ok((from.short()?.into(), from.u64()?));
        let sources: Result<_, _> = (0..len).map(one).collect();
        Ok(Self {
            adds,
            removes,
            distinct,
            tags,
            sources: sources?,
        })
    }
}
