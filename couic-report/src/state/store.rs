//! The files of the state: a snapshot, and the log of the changes since.
//!
//! The snapshot of a number is the state before the first record of the log of that number. A new generation starts with
//! an empty log, then the snapshot: at any moment, one complete chain exists. The previous generation is kept, so that
//! damage to a snapshot costs nothing: the older one and two logs give the same state.

use std::{
    fmt, fs, io,
    time::{Duration, Instant},
};

use couic_durable::{Folder, Format, Kind, Name, Segment};
use tracing::warn;

use super::{ledger::Ledger, old};
use crate::history::Archive;

/// Records are smaller than the limit: a batch is smaller than its request, whose size is bounded. Version 1 is in
/// [`old`], version 2 has records and snapshots without history.
pub(crate) const FORMAT: Format = Format {
    prefix: "ledger",
    version: 3,
    max_payload: 1 << 30,
};

/// A longer log is replaced by a snapshot.
const ROTATE_AT: u64 = 64 << 20;

/// A longer log is replaced at the end of an interval.
const REPLAYED: u64 = 4 << 20;

/// The history deletes whole logs, by age: a log has the changes of about a day.
const DAY: Duration = Duration::from_secs(86_400);

/// Larger buffers are not reused.
const BUFFER: usize = 1 << 20;

/// A file of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StateFile {
    Old(Kind, u64),
    New(Name),
}

impl StateFile {
    pub(super) const fn kind(self) -> Kind {
        match self {
            Self::Old(kind, _) => kind,
            Self::New(name) => name.kind,
        }
    }

    pub(super) const fn generation(self) -> u64 {
        match self {
            Self::Old(_, generation) => generation,
            Self::New(name) => name.number,
        }
    }

    fn parse_old(text: &str) -> Option<Self> {
        let (stem, generation) = text.split_once('.')?;
        let kind = [Kind::Log, Kind::Snapshot]
            .into_iter()
            .find(|kind| old::stem(*kind) == stem)?;
        Some(Self::Old(kind, generation.parse().ok()?))
    }
}

impl fmt::Display for StateFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Old(kind, generation) => write!(f, "{}.{generation}", old::stem(*kind)),
            Self::New(name) => name.fmt(f),
        }
    }
}

/// The files, open for writing.
#[derive(Debug)]
pub(super) struct Store {
    folder: Folder,
    archive: Archive,
    segment: Segment,
    /// When the log was started.
    begun: Instant,
    /// A write failed: nothing more is appended to the segment.
    suspect: bool,
    /// The oldest generation that is kept.
    keep_from: u64,
    /// Damaged files, which are set aside once they are obsolete.
    damaged: Vec<StateFile>,
    buffer: Vec<u8>,
}

impl Store {
    /// Starts a new generation with this state. `damaged` are files of older ones.
    pub(super) fn begin(
        folder: Folder,
        archive: Archive,
        generation: u64,
        keep_from: u64,
        damaged: Vec<StateFile>,
        ledger: &Ledger,
    ) -> io::Result<Self> {
        let mut store = Self {
            segment: begin_generation(&folder, generation, ledger)?,
            folder,
            archive,
            begun: Instant::now(),
            suspect: false,
            keep_from,
            damaged,
            buffer: Vec::new(),
        };
        if !store.damaged.is_empty() {
            // Twice, so that the damaged files are not needed even if one snapshot is lost.
            store.rotate(ledger)?;
        }
        store.remove_old();
        Ok(store)
    }

    /// Appends records and syncs.
    ///
    /// # Errors
    /// The system's error. None of them is in the log then.
    pub(super) fn append<'p>(
        &mut self,
        mut payloads: impl Iterator<Item = &'p [u8]>,
    ) -> io::Result<()> {
        self.buffer.clear();
        let (buffer, salt) = (&mut self.buffer, self.segment.salt());
        let fits =
            payloads.all(|payload| FORMAT.put(buffer, salt, |out| out.extend_from_slice(payload)));
        if !fits {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        let bytes = self.segment.bytes();
        let written = self
            .segment
            .write(buffer)
            .and_then(|()| self.segment.sync());
        if written.is_err() {
            self.suspect = true;
            // A refused record must not come back. On error the next generation replaces the log.
            self.segment.abandon(bytes);
        }
        self.buffer.shrink_to(BUFFER);
        written
    }

    /// Whether the log must be replaced before the next write.
    pub(super) fn must_rotate(&self) -> bool {
        self.suspect
    }

    /// Whether the log is so long that a snapshot is due.
    pub(super) fn is_long(&self) -> bool {
        self.len() > ROTATE_AT
    }

    /// Whether a snapshot is due at the end of an interval: a replay would take long, or the log has the changes of days.
    pub(super) fn is_due(&self) -> bool {
        self.len() > REPLAYED || self.begun.elapsed() > DAY
    }

    /// The length of the log.
    pub(super) fn len(&self) -> u64 {
        self.segment.bytes()
    }

    /// Starts the next generation with this state, which has every record so far.
    ///
    /// # Errors
    /// The system's error. The present generation is continued then.
    pub(super) fn rotate(&mut self, ledger: &Ledger) -> io::Result<()> {
        let generation = self.segment.name().number;
        self.segment = begin_generation(&self.folder, generation + 1, ledger)?;
        self.begun = Instant::now();
        self.keep_from = generation;
        self.suspect = false;
        self.remove_old();
        Ok(())
    }

    /// Removes obsolete generations. On error, files are removed the next time.
    fn remove_old(&mut self) {
        let (files, mut kept) = list(&self.folder).unwrap_or_default();
        for file in files
            .iter()
            .filter(|file| file.generation() < self.keep_from)
        {
            match self.remove(file) {
                Ok(Some(aside)) => {
                    warn!(
                        "{file} in {} is kept as {aside}",
                        self.folder.dir().display()
                    );
                    kept.push(aside);
                }
                Ok(None) => {}
                Err(error) => warn!(
                    "cannot remove {}: {error}",
                    self.folder.path(file).display()
                ),
            }
        }
        self.folder.forget_oldest(&mut kept);
        self.archive.prune();
    }

    /// Removes a file that the state does not need. A log becomes part of the history; a damaged file is set aside, and its
    /// name returned.
    fn remove(&self, file: &StateFile) -> io::Result<Option<String>> {
        let is_damaged = self.damaged.contains(file);
        if let StateFile::New(name) = file
            && name.kind == Kind::Log
            && !is_damaged
        {
            match self.archive.take(&self.folder, name) {
                Ok(()) => return Ok(None),
                Err(error) => warn!("{file} does not become part of the history: {error}"),
            }
        }
        self.folder.retire(file, is_damaged)
    }
}

fn begin_generation(folder: &Folder, generation: u64, ledger: &Ledger) -> io::Result<Segment> {
    let segment = Segment::begin(folder, generation)?;
    let written = folder.write_snapshot(generation, |out| {
        out.put(|out| ledger.encode(out))?;
        out.put(|out| ledger.books.lock().encode(out))
    });
    match written {
        Ok(_) => Ok(segment),
        Err(error) => {
            // It may have filled the disk. If it stays, it is harmless: it has no records.
            folder.remove(&segment.name()).ok();
            Err(error)
        }
    }
}

/// The files of the state, in reading order, and those that were set aside.
pub(super) fn list(folder: &Folder) -> io::Result<(Vec<StateFile>, Vec<String>)> {
    let listing = folder.list()?;
    let mut files: Vec<StateFile> = listing.files.into_iter().map(StateFile::New).collect();
    for entry in fs::read_dir(folder.dir())? {
        files.extend(entry?.file_name().to_str().and_then(StateFile::parse_old));
    }
    files.sort_by_key(|file| (file.generation(), file.kind()));
    Ok((files, listing.kept))
}
