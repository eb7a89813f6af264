//! Recovers a spool after a crash.
//!
//! Records with a valid checksum are recovered, all others are lost and counted in bytes. A damaged segment is logged
//! with its losses, and set aside once its events are in other segments.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    sync::Arc,
};

use couic_durable::{Folder, Name, Scanned};

use super::{
    Recovery, StoredEvent, old,
    record::{COUNTERS, Record},
};

impl Recovery {
    /// Whether records are lost. A damaged header costs none.
    #[must_use]
    pub const fn has_losses(&self) -> bool {
        self.lost_bytes > 0 || self.unknown_records > 0
    }

    /// Logs damage: as an error only if records are lost.
    pub(crate) fn log_damage(&self, notifier: &str) {
        let (bytes, unknown_records) = (self.lost_bytes, self.unknown_records);
        if self.has_losses() {
            tracing::error!(
                notifier,
                bytes,
                unknown_records,
                "the notification spool was damaged: notifications in the part that cannot be read are lost, and some may \
             be sent twice. Check the disk"
            );
        } else if self.damaged_segments > 0 {
            tracing::warn!(
                notifier,
                "the notification spool was damaged, but every record was read: no notification is lost. Check the disk"
            );
        }
    }
}

/// The file of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentFile {
    Old(u64),
    New(Name),
}

impl SegmentFile {
    pub(super) const fn index(self) -> u64 {
        match self {
            Self::Old(index) => index,
            Self::New(name) => name.number,
        }
    }
}

impl fmt::Display for SegmentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Old(index) => f.write_str(&old::name(*index)),
            Self::New(name) => name.fmt(f),
        }
    }
}

/// A segment found on disk.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) file: SegmentFile,
    pub(super) bytes: u64,
    /// Its live events.
    pub(super) live: BTreeSet<u64>,
    pub(super) is_damaged: bool,
}

/// The content of a folder of segments.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) segments: Vec<Found>,
    pub(super) events: BTreeMap<u64, StoredEvent>,
    pub(super) next_seq: u64,
    pub(super) next_index: u64,
    pub(super) counters: [u64; COUNTERS],
    pub(super) recovery: Recovery,
    acks: BTreeSet<u64>,
    progress: BTreeMap<u64, u64>,
}

/// Reads all segments in order.
pub(super) fn load(folder: &Folder) -> io::Result<Loaded> {
    let mut loaded = Loaded {
        next_seq: 1,
        ..Loaded::default()
    };
    let mut kept = folder.list()?.kept;
    for file in segment_files(folder)? {
        loaded.next_index = file.index() + 1;
        loaded.recovery.segments += 1;
        loaded.read(folder, file)?;
    }
    folder.forget_oldest(&mut kept);
    let acks = &loaded.acks;
    loaded.events.retain(|seq, _| !acks.contains(seq));
    for (seq, event) in &mut loaded.events {
        event.done = loaded.progress.get(seq).copied().unwrap_or(0);
    }
    for segment in &mut loaded.segments {
        segment.live.retain(|seq| loaded.events.contains_key(seq));
    }
    Ok(loaded)
}

pub(super) fn segment_files(folder: &Folder) -> io::Result<Vec<SegmentFile>> {
    let files = folder.list()?.files;
    let mut files: Vec<_> = files.into_iter().map(SegmentFile::New).collect();
    for entry in fs::read_dir(folder.dir())? {
        let index = entry?.file_name().to_str().and_then(old::index);
        files.extend(index.map(SegmentFile::Old));
    }
    files.sort_by_key(|file| file.index());
    Ok(files)
}

impl Loaded {
    fn read(&mut self, folder: &Folder, file: SegmentFile) -> io::Result<()> {
        let mut live = BTreeSet::new();
        let scanned = match file {
            SegmentFile::New(name) => folder.read(&name, |payload| {
                let record = Record::read(payload);
                record.map(|record| self.apply(record, &mut live)).is_some()
            }),
            SegmentFile::Old(_) => fs::read(folder.path(&file))
                .map(|bytes| old::read(&bytes, |record| self.apply(record, &mut live))),
        }?;
        self.recovery.cut_bytes += scanned.torn;
        let is_damaged = !scanned.is_sound();
        if is_damaged {
            self.count_damage(folder, file, &scanned);
        }
        if scanned.records == 0 {
            // It is empty or unreadable: it must not outlive the segments that have the counters.
            return folder.retire(&file, is_damaged).map(drop);
        }
        self.segments.push(Found {
            file,
            bytes: scanned.length,
            live,
            is_damaged,
        });
        Ok(())
    }

    fn count_damage(&mut self, folder: &Folder, file: SegmentFile, scanned: &Scanned) {
        self.recovery.damaged_segments += 1;
        self.recovery.lost_bytes += scanned.lost_bytes();
        self.recovery.unknown_records += scanned.senseless;
        tracing::error!(
            "the spool segment {} {}; it will be kept under another name",
            folder.path(&file).display(),
            scanned.damage("count")
        );
    }

    fn apply(&mut self, record: Record<'_>, live: &mut BTreeSet<u64>) {
        let used = match record {
            Record::Data { seq, .. } | Record::Ack { seq } | Record::Progress { seq, .. } => {
                seq.saturating_add(1)
            }
            Record::Start { next_seq, .. } => next_seq,
            Record::Counter { .. } => 0,
        };
        self.next_seq = self.next_seq.max(used);
        match record {
            Record::Data {
                seq,
                order,
                payload,
            } => {
                live.insert(seq);
                // After an interrupted compaction, an event may be stored twice.
                self.events.entry(seq).or_insert_with(|| StoredEvent {
                    seq,
                    order,
                    done: 0,
                    payload: Arc::from(payload),
                });
            }
            Record::Ack { seq } => {
                self.acks.insert(seq);
            }
            Record::Progress { seq, done } => {
                self.progress.insert(seq, done);
            }
            Record::Counter { slot, value } => set_counter(&mut self.counters, slot, value),
            Record::Start { counters, .. } => self.counters = counters,
        }
    }
}

/// Slots of later versions are ignored.
pub(super) fn set_counter(counters: &mut [u64; COUNTERS], slot: u64, value: u64) {
    let slot = usize::try_from(slot).ok();
    if let Some(counter) = slot.and_then(|slot| counters.get_mut(slot)) {
        *counter = value;
    }
}
