//! The tags and networks that occur most, by hour for up to two days, by day for 30 days.
//!
//! Each hour counts up to [`OPEN`] keys exactly, beyond that as `figures::tags` says; once it has passed, the
//! [`CLOSED`] most frequent are kept.

use std::collections::{BTreeMap, HashMap};

use couic_common::Cidr;

use super::{
    series::{DAY, HOUR, KEPT},
    view::{Range, SourceTotals, TagTotals},
};
use crate::{
    codec::{Malformed, Put, Take},
    figures::tags::Top,
};

/// The most keys of the present hour.
const OPEN: usize = 512;
/// The most keys of one that has passed.
const CLOSED: usize = 64;

type Tags = Top<Box<str>, OPEN>;

/// Counts of one period.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    adds: Tags,
    packets: Tags,
    bytes: Tags,
    /// With the latest tag of each.
    sources: Top<Cidr, OPEN, Box<str>>,
}

/// The counts of one firewall.
#[derive(Clone, Debug, Default)]
pub(super) struct Tops {
    /// Of today and yesterday (UTC).
    hours: BTreeMap<u64, Counts>,
    days: BTreeMap<u64, Counts>,
}

impl Counts {
    pub(super) fn add(&mut self, cidr: Cidr, tag: &str) {
        self.count_source(&cidr, 1, tag);
    }

    fn count_source(&mut self, cidr: &Cidr, adds: u64, tag: &str) {
        let own = || (*cidr, tag.into());
        (self.sources).add(cidr, adds, own, |last| {
            if **last != *tag {
                *last = tag.into();
            }
        });
    }

    pub(super) fn add_tag(&mut self, tag: &str, adds: u64) {
        self.adds.count_by(tag, adds);
    }

    pub(super) fn traffic(&mut self, tag: &str, packets: u64, bytes: u64) {
        self.packets.count_by(tag, packets);
        self.bytes.count_by(tag, bytes);
    }

    fn merge(&mut self, other: &Self) {
        for (all, more) in [
            (&mut self.adds, &other.adds),
            (&mut self.packets, &other.packets),
            (&mut self.bytes, &other.bytes),
        ] {
            more.top(usize::MAX)
                .iter()
                .for_each(|(tag, count)| all.count_by(tag, *count));
        }
        for (cidr, adds, tag) in other.sorted_sources() {
            self.count_source(cidr, adds, tag);
        }
    }

    /// Sorted, so that a replay gives the same counts.
    fn sorted_sources(&self) -> Vec<(&Cidr, u64, &str)> {
        let sources = self.sources.iter();
        let mut sources: Vec<_> = sources.map(|(cidr, n, tag)| (cidr, n, &**tag)).collect();
        sources.sort_unstable_by_key(|(cidr, ..)| **cidr);
        sources
    }

    fn close(&mut self) {
        self.adds.keep(CLOSED);
        self.packets.keep(CLOSED);
        self.bytes.keep(CLOSED);
        self.sources.keep(CLOSED);
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.adds.encode(out);
        self.packets.encode(out);
        self.bytes.encode(out);
        out.put_u32(u32::try_from(self.sources.len()).unwrap_or(u32::MAX));
        for (cidr, adds, tag) in self.sorted_sources() {
            out.put_cidr(*cidr);
            out.put_u64(adds);
            out.put_short(tag);
        }
    }

    fn decode(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let mut read = Self {
            adds: Tags::decode(from)?,
            packets: Tags::decode(from)?,
            bytes: Tags::decode(from)?,
            ..Self::default()
        };
        for _ in 0..from.u32()? {
            read.sources
                .set(from.cidr()?, from.u64()?, from.short()?.into());
        }
        Ok(read)
    }
}

impl Tops {
    /// The counts of the period that a time is in.
    pub(super) fn at(&mut self, at: u64, now: u64) -> &mut Counts {
        if at >= yesterday(now) {
            self.hours.entry(at / HOUR).or_default()
        } else {
            self.days.entry(at / DAY).or_default()
        }
    }

    /// Forgets what is too old, and closes what has passed.
    pub(super) fn prune(&mut self, now: u64) {
        self.hours.retain(|hour, _| *hour <= (now + DAY) / HOUR);
        let recent = self.hours.split_off(&(yesterday(now) / HOUR));
        for (hour, counts) in std::mem::replace(&mut self.hours, recent) {
            self.days
                .entry(hour * HOUR / DAY)
                .or_default()
                .merge(&counts);
        }
        let kept = now.saturating_sub(KEPT) / DAY..=now / DAY;
        self.days.retain(|day, _| kept.contains(day));
        self.days.values_mut().for_each(Counts::close);
        let passed = self.hours.range_mut(..now / HOUR);
        passed.for_each(|(_, counts)| counts.close());
    }

    /// The periods that a range touches: an hour is this one and the one before, a day 25 hours, the others whole days
    /// and the hours since. The latest first.
    fn periods(&self, range: Range, now: u64) -> impl Iterator<Item = &Counts> {
        let from = now.saturating_sub(range.secs());
        let hours = self.hours.range(from / HOUR..).rev();
        let days = self.days.range(from / DAY..).rev();
        hours.chain(days).map(|(_, counts)| counts)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for periods in [&self.hours, &self.days] {
            out.put_u32(u32::try_from(periods.len()).unwrap_or(u32::MAX));
            for (period, counts) in periods {
                out.put_u64(*period);
                counts.encode(out);
            }
        }
    }

    pub(super) fn decode(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let periods = |from: &mut Take<'_>| {
            let mut periods = BTreeMap::new();
            for _ in 0..from.u32()? {
                periods.insert(from.u64()?, Counts::decode(from)?);
            }
            Ok(periods)
        };
        Ok(Self {
            hours: periods(from)?,
            days: periods(from)?,
        })
    }
}

/// When yesterday began: a whole number of days.
const fn yesterday(now: u64) -> u64 {
    (now / DAY).saturating_sub(1) * DAY
}

/// The tags of several firewalls.
pub(super) fn tags<'a>(
    all: impl Iterator<Item = &'a Tops>,
    range: Range,
    now: u64,
    limit: usize,
) -> Vec<TagTotals> {
    let mut totals = HashMap::<&str, [u64; 3]>::new();
    for counts in all.flat_map(|tops| tops.periods(range, now)) {
        for (place, tags) in [&counts.packets, &counts.adds, &counts.bytes]
            .into_iter()
            .enumerate()
        {
            for (tag, count, ()) in tags.iter() {
                totals.entry(tag).or_default()[place] += count;
            }
        }
    }
    let mut totals: Vec<_> = totals.into_iter().collect();
    totals.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    totals.truncate(limit);
    let total = |(tag, [packets, adds, bytes]): (&str, [u64; 3])| TagTotals {
        tag: tag.to_owned(),
        adds,
        packets,
        bytes,
    };
    totals.into_iter().map(total).collect()
}

/// The networks of several firewalls.
pub(super) fn sources<'a>(
    all: impl Iterator<Item = &'a Tops>,
    range: Range,
    now: u64,
    limit: usize,
) -> Vec<SourceTotals> {
    let mut totals = HashMap::<Cidr, (u64, &str)>::new();
    for counts in all.flat_map(|tops| tops.periods(range, now)) {
        for (cidr, adds, tag) in counts.sources.iter() {
            // The latest period comes first: its tag is kept.
            let total = totals.entry(*cidr).or_insert((0, tag));
            total.0 += adds;
        }
    }
    let mut totals: Vec<_> = totals.into_iter().collect();
    totals.sort_unstable_by(|a, b| b.1.0.cmp(&a.1.0).then_with(|| a.0.cmp(&b.0)));
    totals.truncate(limit);
    let total = |(cidr, (adds, tag)): (Cidr, (u64, &str))| SourceTotals {
        cidr,
        adds,
        last_tag: (!tag.is_empty()).then(|| tag.to_owned()),
    };
    totals.into_iter().map(total).collect()
}
