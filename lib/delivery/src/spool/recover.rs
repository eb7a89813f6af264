//! Reading a spool back after a crash.
//!
//! Whatever proves itself by its checksum counts, whatever does not is lost and counted in bytes. A torn tail is cut
//! off; damage in the middle costs only the records that it hit.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Recovery, StoredEvent,
    record::{self, COUNTERS, Record, SEGMENT_HEAD, SegmentHead},
};

const EXTENSION: &str = "seg";

/// A segment found on disk.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) index: u64,
    pub(super) path: PathBuf,
    pub(super) bytes: u64,
    /// The live events that stand in it.
    pub(super) live: BTreeSet<u64>,
}

/// Everything that a folder of segments says.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) segments: Vec<Found>,
    pub(super) events: BTreeMap<u64, StoredEvent>,
    pub(super) next_seq: u64,
    pub(super) next_index: u64,
    pub(super) counters: [u64; COUNTERS],
    pub(super) recovery: Recovery,
}

/// The file of the segment `index`.
pub(super) fn segment_path(dir: &Path, index: u64) -> PathBuf {
    dir.join(format!("{index:016x}.{EXTENSION}"))
}

/// Reads all segments in order and cuts torn tails.
pub(super) fn load(dir: &Path) -> io::Result<Loaded> {
    let mut loaded = Loaded {
        next_seq: 1,
        ..Loaded::default()
    };
    let mut acks = BTreeSet::new();
    let mut progress = BTreeMap::new();
    for (index, path) in segment_files(dir)? {
        loaded.next_index = index + 1;
        loaded.recovery.segments += 1;
        load_segment(&mut loaded, &mut acks, &mut progress, index, &path)?;
    }
    loaded.events.retain(|seq, _| !acks.contains(seq));
    for (seq, event) in &mut loaded.events {
        event.done = progress.get(seq).copied().unwrap_or(0);
    }
    for segment in &mut loaded.segments {
        segment.live.retain(|seq| loaded.events.contains_key(seq));
    }
    Ok(loaded)
}

fn segment_files(dir: &Path) -> io::Result<BTreeMap<u64, PathBuf>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|found| found != EXTENSION) {
            continue;
        }
        let stem = path.file_stem().and_then(|stem| stem.to_str());
        if let Some(index) = stem.and_then(|stem| u64::from_str_radix(stem, 16).ok()) {
            files.insert(index, path);
        }
    }
    Ok(files)
}

fn load_segment(
    loaded: &mut Loaded,
    acks: &mut BTreeSet<u64>,
    progress: &mut BTreeMap<u64, u64>,
    index: u64,
    path: &Path,
) -> io::Result<()> {
    let bytes = fs::read(path)?;
    let Some(head) = SegmentHead::decode(&bytes) else {
        return set_aside(loaded, path, bytes.len());
    };
    loaded.next_seq = loaded.next_seq.max(head.next_seq);
    loaded.counters = head.counters;
    let mut found = Found {
        index,
        path: path.to_owned(),
        bytes: 0,
        live: BTreeSet::new(),
    };
    let mut at = SEGMENT_HEAD;
    while at < bytes.len() {
        let Some((record, len)) = record::decode(&bytes[at..], head.salt) else {
            let Some(next) = record::resync(&bytes, at + 1, head.salt) else {
                cut(path, at)?;
                loaded.recovery.cut_bytes += (bytes.len() - at) as u64;
                break;
            };
            loaded.recovery.damaged_bytes += (next - at) as u64;
            at = next;
            continue;
        };
        at += len;
        match record {
            Record::Data {
                seq,
                order,
                payload,
            } => {
                loaded.next_seq = loaded.next_seq.max(seq.saturating_add(1));
                found.live.insert(seq);
                // After a compaction that was cut short, an event may stand there twice.
                loaded.events.entry(seq).or_insert_with(|| StoredEvent {
                    seq,
                    order,
                    done: 0,
                    payload: Arc::from(payload),
                });
            }
            Record::Ack { seq } => {
                acks.insert(seq);
            }
            Record::Progress { seq, done } => {
                progress.insert(seq, done);
            }
            Record::Counter { slot, value } => set_counter(&mut loaded.counters, slot, value),
        }
    }
    found.bytes = at as u64;
    loaded.segments.push(found);
    Ok(())
}

/// A segment without a sound header. Within the header's length it is a crash at its creation, before anything was
/// acknowledged. Otherwise the disk has rotted: keep it for whoever wants to look.
fn set_aside(loaded: &mut Loaded, path: &Path, len: usize) -> io::Result<()> {
    if len <= SEGMENT_HEAD {
        loaded.recovery.cut_bytes += len as u64;
        return fs::remove_file(path);
    }
    loaded.recovery.damaged_bytes += len as u64;
    fs::rename(path, path.with_extension("damaged"))
}

fn cut(path: &Path, len: usize) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    file.set_len(len as u64)?;
    file.sync_data()
}

/// Makes creations, renames and removals in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A slot that a later version added is ignored.
pub(super) fn set_counter(counters: &mut [u64; COUNTERS], slot: u64, value: u64) {
    let slot = usize::try_from(slot).ok();
    if let Some(counter) = slot.and_then(|slot| counters.get_mut(slot)) {
        *counter = value;
    }
}
