//! The last changes, bounded in number and bytes.

use std::{collections::VecDeque, sync::Arc};

use couic_common::Metadata;
use couic_firewall::rules::{EventBlock, RuleEvent};
use parking_lot::Mutex;
use tokio::sync::watch;

/// Changes that are kept at most: at a hundred a second those of five minutes.
pub(super) const MAX_EVENTS: usize = 1 << 15;

/// Bytes that they may take: with long descriptions, or one by one, they are fewer.
const MAX_BYTES: usize = 16 << 20;

/// A reader gets so many changes at a time, or a block more.
const AT_ONCE: usize = 256;

/// The last changes.
#[derive(Debug)]
pub(super) struct Ring {
    kept: Mutex<Kept>,
    /// The number of the last change, also if it is not kept.
    newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    /// With the bytes that they take.
    blocks: VecDeque<(EventBlock, usize)>,
    events: usize,
    bytes: usize,
}

impl Ring {
    /// An empty ring, to begin after this change.
    pub(super) fn new(newest: u64) -> Self {
        Self {
            kept: Mutex::default(),
            newest: watch::Sender::new(newest),
        }
    }

    /// Takes over the next changes, and forgets the oldest.
    pub(super) fn push(&self, blocks: Vec<EventBlock>) {
        let Some(newest) = blocks.last().and_then(|block| block.last()) else {
            return;
        };
        let newest = newest.seq;
        let weighed: Vec<_> = blocks.into_iter().map(weighed).collect();
        let mut kept = self.kept.lock();
        let forgotten = kept.take(weighed);
        // Under the lock, so that no reader is ahead of it.
        self.newest.send_replace(newest);
        drop(kept);
        // What is freed, is freed off the lock.
        drop(forgotten);
    }

    /// Some blocks in a row, of which the first has the first change that is kept behind this one. None if there is none.
    pub(super) fn after(&self, seq: u64) -> Vec<EventBlock> {
        let kept = self.kept.lock();
        let first = kept.blocks.partition_point(|(block, _)| last(block) <= seq);
        let mut events = 0;
        let more = |(block, _): &&(EventBlock, usize)| {
            let more = events < AT_ONCE;
            events += block.len();
            more
        };
        let some = kept.blocks.range(first..).take_while(more);
        some.map(|(block, _)| Arc::clone(block)).collect()
    }

    /// The number before the oldest change that is kept.
    pub(super) fn begin(&self) -> u64 {
        let kept = self.kept.lock();
        let oldest = kept.blocks.front().and_then(|(block, _)| block.first());
        oldest.map_or_else(|| self.newest(), |event| event.seq - 1)
    }

    /// How many changes are kept, and their bytes.
    #[cfg(test)]
    pub(super) fn held(&self) -> (usize, usize) {
        let kept = self.kept.lock();
        (kept.events, kept.bytes)
    }

    pub(super) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// Becomes the number of the last change.
    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }
}

impl Kept {
    /// Returns what has to make room.
    fn take(&mut self, blocks: Vec<(EventBlock, usize)>) -> Vec<EventBlock> {
        for (block, bytes) in blocks {
            self.events += block.len();
            self.bytes += bytes;
            self.blocks.push_back((block, bytes));
        }
        let mut forgotten = Vec::new();
        while self.events > MAX_EVENTS || self.bytes > MAX_BYTES {
            let Some((block, bytes)) = self.blocks.pop_front() else {
                break;
            };
            self.events -= block.len();
            self.bytes -= bytes;
            forgotten.push(block);
        }
        forgotten
    }
}

fn last(block: &EventBlock) -> u64 {
    block.last().map_or(0, |event| event.seq)
}

/// A block with the bytes that it takes. What clients wrote counts once for changes in a row that share it: those of a
/// request.
fn weighed(block: EventBlock) -> (EventBlock, usize) {
    /// Of a request: its id and its client's name.
    const REQUEST: usize = 256;
    let mut bytes = block.capacity() * size_of::<RuleEvent>();
    let mut before: Option<&Arc<Metadata>> = None;
    let mut request = None;
    for event in block.iter() {
        if let Some(words) = &event.origin.metadata
            && !before.is_some_and(|before| Arc::ptr_eq(before, words))
        {
            bytes += size(words);
            before = Some(words);
        }
        let of = event.request.as_ref().map(Arc::as_ptr);
        if of.is_some() && of != request {
            bytes += REQUEST;
            request = of;
        }
    }
    (block, bytes)
}

/// About. The parsed form of JSON takes several times its text.
fn size(words: &Metadata) -> usize {
    const PARSED: usize = 8;
    let extra = words.extra.as_ref().map_or(0, |extra| {
        serde_json::to_string(extra).map_or(0, |text| text.len())
    });
    size_of::<Metadata>() + words.kind.len() + words.detail.len() + PARSED * extra
}
