//! The segments of a spool, owned by its writer.
//!
//! Segments are removed oldest first, once they have no live events: an acknowledgement is never removed before its
//! event. If one old event keeps many dead ones, the live ones are copied to new segments (compaction), so that the
//! folder stays within twice the live bytes and some segments.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    io,
    sync::Arc,
};

use couic_durable::{Folder, Segment};

use super::{
    batch::{Batch, Op},
    record::{COUNTERS, RECORD_OVERHEAD, Record},
    recover::{Found, Loaded, SegmentFile, set_counter},
};

/// The largest write, so that a large group is not copied as a whole.
const CHUNK: usize = 1 << 20;

/// A live event, shared with the owner's queue.
struct Live {
    order: u64,
    done: u64,
    payload: Arc<[u8]>,
    /// Its segment, if it is on disk.
    segment: Option<u64>,
}

/// The segments and their live events.
pub(super) struct Disk {
    folder: Folder,
    segment_bytes: u64,
    segments: VecDeque<Found>,
    current: Option<Segment>,
    live: HashMap<u64, Live>,
    live_bytes: u64,
    next_index: u64,
    next_seq: u64,
    counters: [u64; COUNTERS],
    /// A damaged segment was found at the start, and its events do not stand elsewhere yet.
    has_damage: bool,
}

impl Disk {
    pub(super) fn new(folder: Folder, segment_bytes: u64, loaded: Loaded) -> Self {
        let mut disk = Self {
            folder,
            segment_bytes,
            segments: VecDeque::new(),
            current: None,
            live: HashMap::new(),
            live_bytes: 0,
            next_index: loaded.next_index,
            next_seq: loaded.next_seq,
            counters: loaded.counters,
            has_damage: loaded.segments.iter().any(|segment| segment.is_damaged),
        };
        for (seq, event) in loaded.events {
            disk.live_bytes += cost(event.payload.len());
            let live = Live {
                order: event.order,
                done: event.done,
                payload: event.payload,
                segment: None,
            };
            disk.live.insert(seq, live);
        }
        for segment in loaded.segments {
            let (index, events) = (segment.file.index(), segment.live.clone());
            disk.segments.push_back(segment);
            events.into_iter().for_each(|seq| disk.locate(seq, index));
        }
        disk
    }

    /// Applies a change in memory, before it is written.
    pub(super) fn apply(&mut self, op: &Op) {
        match op {
            Op::Append {
                seq,
                order,
                payload,
            } => {
                self.next_seq = self.next_seq.max(seq + 1);
                self.live_bytes += cost(payload.len());
                let live = Live {
                    order: *order,
                    done: 0,
                    payload: Arc::clone(payload),
                    segment: None,
                };
                self.live.insert(*seq, live);
            }
            Op::Ack { seq } => {
                if let Some(live) = self.live.remove(seq) {
                    self.live_bytes -= cost(live.payload.len());
                    self.forget(*seq, live.segment);
                }
            }
            Op::Progress { seq, done } => {
                if let Some(live) = self.live.get_mut(seq) {
                    live.done = *done;
                }
            }
            Op::Counter { slot, value } => set_counter(&mut self.counters, *slot, *value),
        }
    }

    fn forget(&mut self, seq: u64, segment: Option<u64>) {
        let Some(index) = segment else { return };
        if let Ok(at) = self
            .segments
            .binary_search_by_key(&index, |s| s.file.index())
        {
            self.segments[at].live.remove(&seq);
        }
    }

    /// Moves the event to this segment.
    fn locate(&mut self, seq: u64, index: u64) {
        let Some(live) = self.live.get_mut(&seq) else {
            return;
        };
        let old = live.segment.replace(index);
        self.forget(seq, old);
        if let Ok(at) = self
            .segments
            .binary_search_by_key(&index, |s| s.file.index())
        {
            self.segments[at].live.insert(seq);
        }
    }

    /// Writes a group and syncs it. On error none of it is durable, and the next group starts a new segment: after a
    /// failed fsync, the content of the old one is unknown.
    pub(super) fn commit(&mut self, batch: &Batch) -> io::Result<()> {
        let first_new = self.next_index;
        let before = self.current.clone();
        let written = self.write_records(batch.records());
        match written.and_then(|placed| self.sync().map(|()| placed)) {
            Ok(placed) => {
                placed
                    .into_iter()
                    .for_each(|(seq, index)| self.locate(seq, index));
                Ok(())
            }
            Err(error) => {
                self.abandon(first_new, before);
                Err(error)
            }
        }
    }

    /// Returns the number and segment of each event, in the order of writing.
    fn write_records<'a>(
        &mut self,
        records: impl Iterator<Item = Record<'a>>,
    ) -> io::Result<Vec<(u64, u64)>> {
        let mut placed = Vec::new();
        let mut chunk = Vec::new();
        for record in records {
            let pending = chunk.len() as u64;
            let full = self
                .segments
                .back()
                .is_some_and(|s| s.bytes + pending >= self.segment_bytes);
            if self.current.is_none() || full {
                self.flush(&mut chunk)?;
                self.rotate()?;
            }
            let Some(current) = &self.current else {
                return Err(io::Error::other("no segment to write to"));
            };
            record.put(current.salt(), &mut chunk);
            if let (Record::Data { seq, .. }, Some(last)) = (record, self.segments.back()) {
                placed.push((seq, last.file.index()));
            }
            if chunk.len() >= CHUNK {
                self.flush(&mut chunk)?;
            }
        }
        self.flush(&mut chunk)?;
        Ok(placed)
    }

    fn flush(&mut self, chunk: &mut Vec<u8>) -> io::Result<()> {
        if let (Some(current), Some(last)) = (&mut self.current, self.segments.back_mut()) {
            current.write(chunk)?;
            last.bytes = current.bytes();
            chunk.clear();
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.current.as_ref().map_or(Ok(()), Segment::sync)
    }

    /// Ends the current segment and starts the next, with the state that must survive the removal of older ones.
    fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
        let index = self.next_index;
        // Also on error: the file may exist.
        self.next_index += 1;
        let mut segment = Segment::begin(&self.folder, index)?;
        let mut head = Vec::new();
        let (next_seq, counters) = (self.next_seq, self.counters);
        Record::Start { next_seq, counters }.put(segment.salt(), &mut head);
        if let Err(error) = segment.write(&head) {
            self.folder.remove(&segment.name()).ok();
            return Err(error);
        }
        self.segments.push_back(Found {
            file: SegmentFile::New(segment.name()),
            bytes: segment.bytes(),
            live: BTreeSet::new(),
            is_damaged: false,
        });
        self.current = Some(segment);
        Ok(())
    }

    /// Rolls back a group that failed half way, as far as the disk permits: the segments that it started, and what it
    /// appended to the one before.
    fn abandon(&mut self, first_new: u64, before: Option<Segment>) {
        self.current = None;
        while let Some(started) = self.segments.pop_back_if(|s| s.file.index() >= first_new) {
            self.folder.remove(&started.file).ok();
        }
        if let (Some(mut segment), Some(last)) = (before, self.segments.back_mut()) {
            let bytes = segment.bytes();
            if segment.abandon(bytes) {
                last.bytes = bytes;
            }
        }
    }

    /// Removes unneeded segments. On error it is retried the next time: an old segment only takes space.
    pub(super) fn tidy(&mut self) {
        // The last one stays: it has the counters and the next number, unless it is damaged.
        while self.segments.len() > 1 && !self.has_damage {
            let Some(oldest) = self.segments.front() else {
                break;
            };
            let is_needed = !oldest.live.is_empty();
            if is_needed || self.folder.retire(&oldest.file, oldest.is_damaged).is_err() {
                break;
            }
            self.segments.pop_front();
        }
    }

    /// Whether dead events take more space than live ones, beyond some slack, or a damaged segment is to be replaced.
    pub(super) fn must_compact(&self) -> bool {
        let is_wasteful = self.bytes() > 2 * self.live_bytes + 4 * self.segment_bytes;
        is_wasteful || self.has_damage
    }

    /// Copies everything live into new segments, then removes the old ones.
    pub(super) fn compact(&mut self) -> io::Result<()> {
        let mut batch = Batch::default();
        for (&seq, live) in self.live.iter().filter(|(_, live)| live.segment.is_some()) {
            batch.absorb(Op::Append {
                seq,
                order: live.order,
                payload: Arc::clone(&live.payload),
            });
            if live.done > 0 {
                let done = live.done;
                batch.absorb(Op::Progress { seq, done });
            }
        }
        // At least one record, so that a segment is started.
        let value = self.counter();
        batch.absorb(Op::Counter { slot: 0, value });
        self.current = None;
        self.commit(&batch)?;
        self.has_damage = false;
        self.tidy();
        self.folder.sync()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes).sum()
    }

    pub(super) fn counter(&self) -> u64 {
        self.counters[0]
    }

    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }
}

fn cost(payload: usize) -> u64 {
    (payload + RECORD_OVERHEAD) as u64
}
