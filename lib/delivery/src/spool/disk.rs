//! The segments of one spool, as their only writer sees them.
//!
//! Segments go from the oldest on, once nothing in them is live: an acknowledgement never goes before the event that
//! it is about. Where one old event holds up many dead ones, the live ones are copied ahead (compaction), so that the
//! folder stays within twice the live bytes and some segments.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use uuid::Uuid;

use super::{
    batch::{Batch, Op},
    record::{COUNTERS, RECORD_OVERHEAD, Record, SEGMENT_HEAD, SegmentHead},
    recover::{Found, Loaded, segment_path, set_counter, sync_dir},
};

/// Written at once at most, so that a large group needs no second copy of itself.
const CHUNK: usize = 1 << 20;

/// Where records go. A seam: tests fill the disk with it.
pub(super) trait Medium: Send {
    /// Creates a new segment's file, which must not be there.
    fn create(&mut self, path: &Path) -> io::Result<File>;
    /// Appends.
    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was appended durable.
    fn sync(&mut self, file: &File) -> io::Result<()>;
}

/// The file system.
pub(super) struct RealMedium;

impl Medium for RealMedium {
    fn create(&mut self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600).open(path)
    }

    fn write(&mut self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&mut self, file: &File) -> io::Result<()> {
        file.sync_data()
    }
}

struct Current {
    file: File,
    salt: u64,
}

/// A live event, shared with the owner's queue.
struct Live {
    order: u64,
    done: u64,
    payload: Arc<[u8]>,
    /// The segment that it stands in, if it is on disk.
    segment: Option<u64>,
}

/// The segments and what is live in them.
pub(super) struct Disk {
    dir: PathBuf,
    segment_bytes: u64,
    medium: Box<dyn Medium>,
    segments: VecDeque<Found>,
    current: Option<Current>,
    live: HashMap<u64, Live>,
    live_bytes: u64,
    next_index: u64,
    next_seq: u64,
    counters: [u64; COUNTERS],
}

impl Disk {
    pub(super) fn new(
        dir: PathBuf,
        segment_bytes: u64,
        medium: Box<dyn Medium>,
        loaded: Loaded,
    ) -> Self {
        let mut disk = Self {
            dir,
            segment_bytes,
            medium,
            segments: VecDeque::new(),
            current: None,
            live: HashMap::new(),
            live_bytes: 0,
            next_index: loaded.next_index,
            next_seq: loaded.next_seq,
            counters: loaded.counters,
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
            let (index, events) = (segment.index, segment.live.clone());
            disk.segments.push_back(segment);
            events.into_iter().for_each(|seq| disk.locate(seq, index));
        }
        disk
    }

    /// Takes note of a change, before it is written.
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
        if let Ok(at) = self.segments.binary_search_by_key(&index, |s| s.index) {
            self.segments[at].live.remove(&seq);
        }
    }

    /// The event stands in this segment now, and no more where it stood before.
    fn locate(&mut self, seq: u64, index: u64) {
        let Some(live) = self.live.get_mut(&seq) else {
            return;
        };
        let old = live.segment.replace(index);
        self.forget(seq, old);
        if let Ok(at) = self.segments.binary_search_by_key(&index, |s| s.index) {
            self.segments[at].live.insert(seq);
        }
    }

    /// Writes a group and makes it durable. On error nothing of it counts, and the next group starts a new segment:
    /// after a failed fsync nobody knows what the old one holds.
    pub(super) fn commit(&mut self, batch: &Batch) -> io::Result<()> {
        let first_new = self.next_index;
        let end = self.segments.back().map_or(0, |s| s.bytes);
        let written = self.write_records(batch.records());
        match written.and_then(|placed| self.sync().map(|()| placed)) {
            Ok(placed) => {
                placed
                    .into_iter()
                    .for_each(|(seq, index)| self.locate(seq, index));
                Ok(())
            }
            Err(error) => {
                self.abandon(first_new, end);
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
            record.encode(current.salt, &mut chunk);
            if let (Record::Data { seq, .. }, Some(last)) = (record, self.segments.back()) {
                placed.push((seq, last.index));
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
            self.medium.write(&mut current.file, chunk)?;
            last.bytes += chunk.len() as u64;
            chunk.clear();
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        match &self.current {
            Some(current) => self.medium.sync(&current.file),
            None => Ok(()),
        }
    }

    /// Ends the current segment and starts the next.
    fn rotate(&mut self) -> io::Result<()> {
        self.sync()?;
        let index = self.next_index;
        let path = segment_path(&self.dir, index);
        let head = SegmentHead {
            salt: Uuid::new_v4().as_u64_pair().0,
            next_seq: self.next_seq,
            counters: self.counters,
        };
        // Also where this fails: the file may be there.
        self.next_index += 1;
        let mut file = self.medium.create(&path)?;
        let started =
            (self.medium.write(&mut file, &head.encode())).and_then(|()| sync_dir(&self.dir));
        if let Err(error) = started {
            // A leftover without records is removed at the next start, if it cannot be now.
            fs::remove_file(&path).ok();
            return Err(error);
        }
        self.segments.push_back(Found {
            index,
            path,
            bytes: SEGMENT_HEAD as u64,
            live: BTreeSet::new(),
        });
        self.current = Some(Current {
            file,
            salt: head.salt,
        });
        Ok(())
    }

    /// Takes back a group that failed half way, as far as the disk lets us: the segments that it started, and what it
    /// appended to the one before.
    fn abandon(&mut self, first_new: u64, end: u64) {
        while self.segments.back().is_some_and(|s| s.index >= first_new) {
            if let Some(started) = self.segments.pop_back() {
                fs::remove_file(&started.path).ok();
            }
        }
        let appended_to = self.segments.back_mut().filter(|s| s.bytes != end);
        if let (Some(_), Some(last)) = (self.current.take(), appended_to) {
            let file = OpenOptions::new().write(true).open(&last.path);
            if file.and_then(|file| file.set_len(end)).is_ok() {
                last.bytes = end;
            }
        }
    }

    /// Removes what nobody needs any more. Errors wait for the next time: an old segment only costs room.
    pub(super) fn tidy(&mut self) {
        // The last one stays: it knows the counter and the next number.
        while self.segments.len() > 1 {
            let Some(oldest) = self.segments.front() else {
                break;
            };
            if !oldest.live.is_empty() || fs::remove_file(&oldest.path).is_err() {
                break;
            }
            self.segments.pop_front();
        }
    }

    /// True where dead events take more room than live ones, beyond some slack.
    pub(super) fn is_wasteful(&self) -> bool {
        self.bytes() > 2 * self.live_bytes + 4 * self.segment_bytes
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
        self.current = None;
        self.commit(&batch)?;
        self.tidy();
        sync_dir(&self.dir)
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
