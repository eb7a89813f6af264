//! The state of couic-report, changed by records alone.
//!
//! Applying the same records in the same order gives the same state. So the state after a crash is the last snapshot
//! plus the log after it, and an interval has one id, however often its end is replayed.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use couic_common::PeerAction;
use parking_lot::Mutex;
use uuid::Uuid;

use super::record::{BatchRecord, Record, Seal};
use crate::{
    codec::{Malformed, Put, Take},
    figures::Figures,
    history::Books,
};

/// How many request ids are kept, to recognize repeated ones. A sender repeats a request before it sends the next.
const RECENT: usize = 16_384;

/// The most summaries that wait for the dispatcher. It accepts them at once; this bounds memory if it fails.
const OUTBOX: usize = 1_000;

/// How many tags a summary names.
const TOP: usize = 10;

/// The state.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// The id of the summary that the open interval will become.
    pub(crate) interval: Uuid,
    /// When the open interval started, Unix seconds.
    pub(crate) from: u64,
    /// The counts of the open interval.
    pub(crate) figures: Figures,
    /// Closed intervals that the dispatcher does not have yet, oldest first.
    pub(crate) outbox: VecDeque<Sealed>,
    /// The figures of the history, which others read. Locked for one record at a time.
    pub(crate) books: Arc<Mutex<Books>>,
    recent: Recent,
}

/// The figures of a closed interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) id: Uuid,
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) adds: u64,
    pub(crate) distinct: u64,
    pub(crate) estimated: bool,
    pub(crate) top_tags: Vec<(String, u64)>,
    /// The reporting instances, by name.
    pub(crate) sources: Vec<(String, u64)>,
}

#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<Uuid>,
    known: HashSet<Uuid>,
}

impl Ledger {
    /// An empty state with an interval that starts now.
    pub(crate) fn new(interval: Uuid, from: u64) -> Self {
        Self {
            interval,
            from,
            figures: Figures::default(),
            outbox: VecDeque::new(),
            books: Arc::default(),
            recent: Recent::default(),
        }
    }

    /// Whether a request with this id was accepted before.
    pub(crate) fn knows(&self, id: Uuid) -> bool {
        self.recent.known.contains(&id)
    }

    /// Applies a record.
    pub(crate) fn apply(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        match Record::decode(payload)? {
            Record::Batch(batch) => {
                if self.is_new(batch.id) {
                    self.count(&batch)?;
                }
            }
            Record::Traffic(traffic) => {
                if self.is_new(traffic.id) {
                    self.books.lock().traffic(&traffic);
                }
            }
            Record::Seal(seal) => self.seal(seal),
            // The end of this interval was lost with a damaged record: its summary was handed on all the same.
            Record::Handed(id) if id == self.interval => {
                self.figures = Figures::default();
                self.interval = Uuid::new_v4();
            }
            Record::Handed(id) => {
                self.outbox.retain(|sealed| sealed.id != id);
                self.books.lock().handed(id);
            }
        }
        Ok(())
    }

    /// Whether a request was not accepted before.
    fn is_new(&mut self, id: Option<Uuid>) -> bool {
        id.is_none_or(|id| self.recent.insert(id))
    }

    fn count(&mut self, batch: &BatchRecord<'_>) -> Result<(), Malformed> {
        self.figures.remove(u64::from(batch.removes));
        self.figures.heard_from(batch.source, u64::from(batch.adds));
        let mut books = self.books.lock();
        let mut counter = books.batch(batch);
        for row in batch.rows() {
            let row = row?;
            if row.action == PeerAction::Add {
                self.figures.add(row.cidr, row.tag);
            }
            if let Some(counter) = &mut counter {
                counter.row(&row);
            }
        }
        if let Some(counter) = counter {
            counter.finish();
        }
        Ok(())
    }

    fn seal(&mut self, seal: Seal) {
        let figures = std::mem::take(&mut self.figures);
        let (distinct, estimated) = figures.distinct();
        (self.books.lock()).sealed(self.interval, self.from, &seal, figures.adds());
        let owned = |(text, count): (&str, u64)| (text.to_owned(), count);
        self.outbox.push_back(Sealed {
            id: self.interval,
            from: self.from,
            until: seal.until,
            adds: figures.adds(),
            distinct,
            estimated,
            top_tags: figures.top_tags(TOP).into_iter().map(owned).collect(),
            sources: figures.sources().map(owned).collect(),
        });
        if self.outbox.len() > OUTBOX {
            self.outbox.pop_front();
        }
        self.interval = seal.next_id;
        self.from = seal.next_from;
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u128(self.interval.as_u128());
        out.put_u64(self.from);
        self.figures.encode(out);
        out.put_u32(u32::try_from(self.outbox.len()).unwrap_or(u32::MAX));
        self.outbox.iter().for_each(|sealed| sealed.encode(out));
        out.put_u32(u32::try_from(self.recent.order.len()).unwrap_or(u32::MAX));
        for id in &self.recent.order {
            out.put_u128(id.as_u128());
        }
    }

    pub(crate) fn decode(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let mut ledger = Self::new(Uuid::from_u128(from.u128()?), from.u64()?);
        ledger.figures = Figures::decode(from)?;
        for _ in 0..from.u32()? {
            ledger.outbox.push_back(Sealed::decode(from)?);
        }
        for _ in 0..from.u32()? {
            ledger.recent.insert(Uuid::from_u128(from.u128()?));
        }
        if from.is_empty() {
            Ok(ledger)
        } else {
            Err(Malformed)
        }
    }
}

impl Sealed {
    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u128(self.id.as_u128());
        for number in [self.from, self.until, self.adds, self.distinct] {
            out.put_u64(number);
        }
        out.put_u8(u8::from(self.estimated));
        for list in [&self.top_tags, &self.sources] {
            out.put_u32(u32::try_from(list.len()).unwrap_or(u32::MAX));
            for (text, count) in list {
                out.put_short(text);
                out.put_u64(*count);
            }
        }
    }

    fn decode(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let list = |from: &mut Take<'_>| {
            let len = from.u32()?;
            let one = |_| Ok((from.short()?.to_owned(), from.u64()?));
            (0..len).map(one).collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            id: Uuid::from_u128(from.u128()?),
            from: from.u64()?,
            until: from.u64()?,
            adds: from.u64()?,
            distinct: from.u64()?,
            estimated: from.u8()? == 1,
            top_tags: list(from)?,
            sources: list(from)?,
        })
    }
}

impl Recent {
    /// Whether it is new.
    fn insert(&mut self, id: Uuid) -> bool {
        if !self.known.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests;
