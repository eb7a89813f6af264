//! The files of the state: a snapshot, and the journal of what happened since.
//!
//! `snapshot.G` is the state before the first record of `journal.G`. A new generation is begun by making an empty
//! journal, then the snapshot under another name, then renaming it: whenever the machine stops, one complete chain is
//! there. The generation before is kept, so that even a snapshot which the disk damages later costs nothing: the older
//! one and two journals give the same state.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use super::{
    frame::{self, FILE_HEAD, Kind},
    ledger::Ledger,
};

/// A journal that is longer is replaced by a snapshot at the next opportunity.
const ROTATE_AT: u64 = 64 << 20;

/// The files, open for writing.
#[derive(Debug)]
pub(super) struct Store {
    dir: PathBuf,
    generation: u64,
    journal: File,
    /// Up to here the journal is whole and on disk.
    len: u64,
    /// A write failed: what stands behind `len` is not known.
    suspect: bool,
    /// The oldest generation that is kept.
    keep_from: u64,
    buffer: Vec<u8>,
}

impl Store {
    /// Begins a new generation with this state.
    pub(super) fn begin(
        dir: &Path,
        generation: u64,
        keep_from: u64,
        ledger: &Ledger,
    ) -> io::Result<Self> {
        let mut store = Self {
            dir: dir.to_owned(),
            generation,
            journal: new_journal(dir, generation)?,
            len: FILE_HEAD as u64,
            suspect: false,
            keep_from,
            buffer: Vec::new(),
        };
        store.write_snapshot(generation, ledger)?;
        store.remove_old();
        Ok(store)
    }

    /// Writes records and waits until they are on disk.
    ///
    /// # Errors
    /// None of them is in the journal then.
    pub(super) fn append<'p>(
        &mut self,
        payloads: impl Iterator<Item = &'p [u8]>,
    ) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        payloads.for_each(|payload| frame::put(&mut buffer, payload));
        let written = self
            .journal
            .write_all_at(&buffer, self.len)
            .and_then(|()| self.journal.sync_data());
        match &written {
            Ok(()) => self.len += buffer.len() as u64,
            Err(_) => {
                self.suspect = true;
                // A record that was refused must not come back. Where this fails too, the next generation does it.
                drop(self.journal.set_len(self.len));
            }
        }
        buffer.shrink_to(1 << 20);
        self.buffer = buffer;
        written
    }

    /// Whether the journal should be replaced before more is written to it.
    pub(super) fn must_rotate(&self) -> bool {
        self.suspect
    }

    /// Whether the journal has grown so long that a snapshot is due.
    pub(super) fn is_long(&self) -> bool {
        self.len > ROTATE_AT
    }

    /// How long the journal is.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Begins the next generation with this state, which is that of every record so far.
    ///
    /// # Errors
    /// The present generation goes on then.
    pub(super) fn rotate(&mut self, ledger: &Ledger) -> io::Result<()> {
        let next = self.generation + 1;
        let journal = new_journal(&self.dir, next)?;
        self.write_snapshot(next, ledger)?;
        self.keep_from = self.generation;
        self.generation = next;
        self.journal = journal;
        self.len = FILE_HEAD as u64;
        self.suspect = false;
        self.remove_old();
        Ok(())
    }

    fn write_snapshot(&mut self, generation: u64, ledger: &Ledger) -> io::Result<()> {
        let mut payload = Vec::new();
        ledger.encode(&mut payload);
        let mut bytes = frame::file_head(Kind::Snapshot, generation).to_vec();
        frame::put(&mut bytes, &payload);
        let temporary = self.dir.join("snapshot.new");
        let written = create(&temporary).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        if let Err(error) = written {
            // It may be what fills the disk.
            drop(fs::remove_file(&temporary));
            return Err(error);
        }
        fs::rename(&temporary, path(&self.dir, Kind::Snapshot, generation))?;
        sync_dir(&self.dir)
    }

    /// Takes away the generations that are not needed any more. What stays by mistake is taken away next time.
    fn remove_old(&self) {
        for (kind, generation) in list(&self.dir).unwrap_or_default() {
            if generation < self.keep_from {
                drop(fs::remove_file(path(&self.dir, kind, generation)));
            }
        }
    }
}

pub(super) fn path(dir: &Path, kind: Kind, generation: u64) -> PathBuf {
    let name = match kind {
        Kind::Journal => "journal",
        Kind::Snapshot => "snapshot",
    };
    dir.join(format!("{name}.{generation}"))
}

/// Every file of the state, in the order of generations.
pub(super) fn list(dir: &Path) -> io::Result<Vec<(Kind, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let Some((stem, generation)) = name.to_str().and_then(|n| n.split_once('.')) else {
            continue;
        };
        let kind = match stem {
            "journal" => Kind::Journal,
            "snapshot" => Kind::Snapshot,
            _ => continue,
        };
        if let Ok(generation) = generation.parse() {
            found.push((kind, generation));
        }
    }
    found.sort_by_key(|(_, generation)| *generation);
    Ok(found)
}

/// An empty file that only we may read: the figures name addresses.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn new_journal(dir: &Path, generation: u64) -> io::Result<File> {
    let mut file = create(&path(dir, Kind::Journal, generation))?;
    file.write_all(&frame::file_head(Kind::Journal, generation))?;
    file.sync_all()?;
    sync_dir(dir)?;
    Ok(file)
}

fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}
