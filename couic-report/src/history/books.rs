//! The figures of every firewall, changed by the journal's records alone.
//!
//! Bounded: [`MAX_FIREWALLS`] firewalls, of which each has a bounded number of steps and counts; what others report is
//! counted under [`OTHERS`]. A firewall that was silent for 30 days is forgotten, and one that was silent for a day makes
//! room for a new one.

use std::collections::{BTreeMap, HashMap, VecDeque};

use couic_common::PeerAction;
use uuid::Uuid;

use super::{
    book::Book,
    series::{DAY, KEPT, MINUTE},
    view::Point,
};
use crate::{
    codec::{Malformed, Put, Take},
    state::{BatchRecord, Row, Seal, TrafficRecord},
};

/// The most firewalls with figures of their own.
pub(crate) const MAX_FIREWALLS: usize = 100;

/// Stands for the firewalls beyond [`MAX_FIREWALLS`].
pub(super) const OTHERS: &str = "(others)";

/// The most summaries that are kept.
const MAX_SUMMARIES: usize = 500;

/// The figures.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(super) firewalls: BTreeMap<Box<str>, Book>,
    pub(super) summaries: VecDeque<KeptSummary>,
    /// Requests that were counted under [`OTHERS`], since the history began.
    pub(super) unlisted: u64,
    /// The minute in which what is too old was forgotten.
    pruned: u64,
}

/// A closed interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptSummary {
    pub(super) id: Uuid,
    pub(super) from: u64,
    pub(super) until: u64,
    pub(super) adds: u64,
    pub(super) is_handed: bool,
}

impl Books {
    /// Counts a batch's rows, which are passed to the returned counter one by one.
    pub(crate) fn batch(&mut self, batch: &BatchRecord<'_>) -> Option<RowCounter<'_>> {
        // Format 2 does not say when it was received.
        let now = batch.received?;
        let book = self.book(batch.source, now);
        Some(RowCounter::new(book, now))
    }

    /// Counts the traffic of a firewall. Content that cannot be read is ignored: it was checked when it was received.
    pub(crate) fn traffic(&mut self, record: &TrafficRecord<'_>) {
        if let Ok(traffic) = serde_json::from_slice(record.json) {
            let now = record.received;
            self.book(record.source, now).traffic(traffic, now);
        }
    }

    /// An interval was closed.
    pub(crate) fn sealed(&mut self, id: Uuid, from: u64, seal: &Seal, adds: u64) {
        self.summaries.push_back(KeptSummary {
            id,
            from,
            until: seal.until,
            adds,
            is_handed: false,
        });
        if self.summaries.len() > MAX_SUMMARIES {
            self.summaries.pop_front();
        }
    }

    /// The notifiers have a summary.
    pub(crate) fn handed(&mut self, id: Uuid) {
        let found = self.summaries.iter_mut().rev().find(|kept| kept.id == id);
        if let Some(kept) = found {
            kept.is_handed = true;
        }
    }

    fn book(&mut self, name: &str, now: u64) -> &mut Book {
        self.prune(now);
        let mut name = name;
        if !self.firewalls.contains_key(name) && !self.has_room(now) {
            self.unlisted += 1;
            name = OTHERS;
        }
        let book = self.firewalls.entry(name.into());
        let book = book.or_insert_with(|| Book::new(now));
        book.last_heard = now;
        book
    }

    /// Whether there is room for one more firewall; makes room if one has been silent for long.
    fn has_room(&mut self, now: u64) -> bool {
        if self.firewalls.len() < MAX_FIREWALLS {
            return true;
        }
        let named = self.firewalls.iter().filter(|(name, _)| &***name != OTHERS);
        let silent = named.min_by_key(|(_, book)| book.last_heard);
        let silent = silent.filter(|(_, book)| book.last_heard + DAY < now);
        let Some(name) = silent.map(|(name, _)| name.clone()) else {
            return false;
        };
        self.firewalls.remove(&name);
        true
    }

    fn prune(&mut self, now: u64) {
        if self.pruned == now / MINUTE {
            return;
        }
        self.pruned = now / MINUTE;
        self.firewalls
            .retain(|_, book| book.last_heard + KEPT >= now);
        self.firewalls.values_mut().for_each(|book| book.prune(now));
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.unlisted);
        out.put_u32(u32::try_from(self.firewalls.len()).unwrap_or(u32::MAX));
        for (name, book) in &self.firewalls {
            out.put_short(name);
            book.encode(out);
        }
        out.put_u32(u32::try_from(self.summaries.len()).unwrap_or(u32::MAX));
        for kept in &self.summaries {
            out.put_u128(kept.id.as_u128());
            out.put_u64(kept.from);
            out.put_u64(kept.until);
            out.put_u64(kept.adds);
            out.put_u8(u8::from(kept.is_handed));
        }
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let mut books = Self {
            unlisted: from.u64()?,
            ..Self::default()
        };
        for _ in 0..from.u32()? {
            let name = from.short()?.into();
            books.firewalls.insert(name, Book::decode(from)?);
        }
        for _ in 0..from.u32()? {
            books.summaries.push_back(KeptSummary {
                id: Uuid::from_u128(from.u128()?),
                from: from.u64()?,
                until: from.u64()?,
                adds: from.u64()?,
                is_handed: from.u8()? == 1,
            });
        }
        if from.is_empty() {
            Ok(books)
        } else {
            Err(Malformed)
        }
    }
}

/// Counts the rows of one batch. Rows of the same minute and tag, as nearly all are, are counted together.
pub(crate) struct RowCounter<'b> {
    book: &'b mut Book,
    now: u64,
    /// The minute of the rows that are not counted yet.
    minute: u64,
    open: Point,
    tags: HashMap<Box<str>, u64>,
}

/// The most tags that are counted together.
const BUNDLE: usize = 256;

impl<'b> RowCounter<'b> {
    fn new(book: &'b mut Book, now: u64) -> Self {
        Self {
            book,
            now,
            minute: now / MINUTE,
            open: Point::default(),
            tags: HashMap::new(),
        }
    }

    pub(crate) fn row(&mut self, row: &Row<'_>) {
        // A clock that is ahead, or a report without a time.
        let at = if row.at == 0 { self.now } else { row.at };
        let at = at.min(self.now);
        if at + KEPT < self.now {
            return;
        }
        if at / MINUTE != self.minute || self.tags.len() >= BUNDLE {
            self.flush();
            self.minute = at / MINUTE;
        }
        if row.action == PeerAction::Remove {
            self.open.removes += 1;
            return;
        }
        self.open.adds += 1;
        (self.book.tops).at(at, self.now).add(row.cidr, row.tag);
        if row.tag.is_empty() {
            return;
        }
        match self.tags.get_mut(row.tag) {
            Some(count) => *count += 1,
            None => {
                self.tags.insert(row.tag.into(), 1);
            }
        }
    }

    fn flush(&mut self) {
        let open = std::mem::take(&mut self.open);
        if open == Point::default() {
            return;
        }
        let at = self.minute * MINUTE;
        self.book.steps.add(at, self.now, &open);
        let counts = self.book.tops.at(at, self.now);
        let mut tags: Vec<_> = self.tags.drain().collect();
        tags.sort_unstable();
        tags.iter()
            .for_each(|(tag, adds)| counts.add_tag(tag, *adds));
    }

    pub(crate) fn finish(mut self) {
        self.flush();
    }
}
