//! Appends, commits and syncs records.

use std::{
    io, mem,
    sync::atomic::Ordering::{Acquire, Release},
};

use couic_common::RuleKey;
use couic_durable::{Segment, count_frames};

use super::{
    FORMAT, Journal, Writer,
    record::{self, Record},
};
use crate::rules::ClaimRef;

/// The most records that may wait for a [`Journal::commit`], some 50 bytes each.
const WAITING: u64 = 1024;

/// Larger buffers are not reused.
const BUFFER: usize = 1 << 20;

impl Journal {
    /// Appends a record. It survives the process after the next [`Journal::commit`].
    pub fn append(&self, record: &Record) {
        self.append_with(|out| record.write(out));
    }

    /// Appends the claims of clients and peers on a rule, as [`Record::Claims`].
    pub fn append_claims<'a>(
        &self,
        key: RuleKey,
        claims: impl Iterator<Item = ClaimRef<'a>> + Clone,
    ) {
        self.append_with(|out| record::put_claims(out, key, claims));
    }

    fn append_with(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let mut pending = self.pending.lock();
        if !pending.recording {
            pending.unrecorded += 1;
            pending.missing += 1;
            return;
        }
        let salt = pending.salt;
        // Records are far below the limit.
        FORMAT.put(&mut pending.frames, salt, write);
        pending.records += 1;
        self.appended.store(pending.records, Release);
    }

    /// Whether so many records are buffered that the caller should commit.
    pub fn is_behind(&self) -> bool {
        let settled = self.settled.load(Acquire);
        self.appended.load(Acquire).saturating_sub(settled) >= WAITING
    }

    /// Writes all appended records, of any thread, to the page cache.
    pub fn commit(&self) {
        let wanted = self.appended.load(Acquire);
        if self.settled.load(Acquire) >= wanted {
            return;
        }
        let mut writer = self.writer.lock();
        // Under the writer's lock: a thread that took these records meanwhile has written them.
        let (mut frames, taken) = {
            let mut pending = self.pending.lock();
            if pending.frames.is_empty() {
                return;
            }
            let spare = mem::take(&mut writer.spare);
            (mem::replace(&mut pending.frames, spare), pending.records)
        };
        match writer.write(&frames) {
            Ok(()) => {
                frames.clear();
                if frames.capacity() <= BUFFER {
                    writer.spare = frames;
                }
            }
            Err(e) => self.stop_recording(&mut writer, &frames, &format!("write the log: {e}")),
        }
        self.settled.fetch_max(taken, Release);
    }

    /// Flushes committed records to the disk.
    pub fn sync(&self) {
        let handle = {
            let mut writer = self.writer.lock();
            if !mem::take(&mut writer.unsynced) {
                return;
            }
            let segment = writer.segment.as_ref();
            segment.map(|segment| (segment.handle(), segment.bytes()))
        };
        let Some((handle, bytes)) = handle else {
            return;
        };
        let Err(e) = handle.sync() else {
            return handle.note_synced(bytes);
        };
        // The kernel drops data that it could not write: this log may have a hole.
        let mut writer = self.writer.lock();
        if writer.segment.as_ref().is_some_and(|now| handle.is_of(now)) {
            self.stop_recording(&mut writer, &[], &format!("sync the log: {e}"));
        }
    }

    /// Commits and syncs.
    pub fn close(&self) {
        self.commit();
        self.sync();
    }

    /// Stops recording. `lost` are frames of which some may have been written.
    pub(super) fn stop_recording(&self, writer: &mut Writer, lost: &[u8], why: &str) {
        writer.log_bytes += writer.segment.take().map_or(0, |segment| segment.bytes());
        let mut pending = self.pending.lock();
        let frames = mem::take(&mut pending.frames);
        let count = count_frames(lost) + count_frames(&frames);
        pending.recording = false;
        pending.unrecorded += count;
        pending.missing += count;
        pending.has_hole = true;
        self.settled.fetch_max(pending.records, Release);
        drop(pending);
        self.health.lock().raise(why);
    }
}

impl Writer {
    pub(super) fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        let Some(segment) = &mut self.segment else {
            return Err(io::Error::other("there is no log"));
        };
        self.unsynced = true;
        segment.write(frames)
    }

    /// Bytes of all logs since the last snapshot.
    pub(super) fn log_bytes(&self) -> u64 {
        self.log_bytes + self.segment.as_ref().map_or(0, Segment::bytes)
    }
}
