//! Writes a snapshot: to a temporary file, which is synced and renamed.

use std::{fs::File, io, sync::Arc};

use crate::{Folder, Format, Kind, Medium, Name};

/// The least size of a write.
const CHUNK: usize = 1 << 20;

/// A snapshot that is being written.
#[derive(Debug)]
pub struct Snapshot {
    format: Format,
    salt: u32,
    file: File,
    medium: Arc<dyn Medium>,
    frames: Vec<u8>,
    written: u64,
    records: u64,
}

/// A snapshot that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its name.
    pub name: Name,
    /// The number of its frames.
    pub records: u64,
    /// Its length, in bytes.
    pub bytes: u64,
}

impl Snapshot {
    /// Adds a frame. A payload that is too long is omitted.
    ///
    /// # Errors
    /// The system's error.
    pub fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        if self.format.put(&mut self.frames, self.salt, write) {
            self.records += 1;
        }
        if self.frames.len() >= CHUNK {
            self.flush()?;
        }
        Ok(())
    }

    /// The number of frames so far.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    fn flush(&mut self) -> io::Result<()> {
        self.medium.write(&self.file, &self.frames)?;
        self.written += self.frames.len() as u64;
        self.frames.clear();
        Ok(())
    }
}

impl Folder {
    /// Writes the snapshot of this number. It is on the disk under its name when this returns.
    ///
    /// # Errors
    /// Those of `fill`, or the system's. There is no snapshot of that name then.
    pub fn write_snapshot(
        &self,
        number: u64,
        fill: impl FnOnce(&mut Snapshot) -> io::Result<()>,
    ) -> io::Result<Written> {
        let name = self.name(number, Kind::Snapshot);
        let temporary = format!("{name}.tmp");
        let written = self
            .fill_snapshot(name, &temporary, fill)
            .and_then(|written| {
                self.rename(&temporary, &name.to_string())?;
                self.sync()?;
                Ok(written)
            });
        if written.is_err() {
            // It may have filled the disk. If it stays, the next listing removes it.
            self.remove(&temporary).ok();
            // Also after the rename: the name may not be on the disk, and the caller continues without it.
            self.remove(&name).ok();
        }
        written
    }

    fn fill_snapshot(
        &self,
        name: Name,
        temporary: &str,
        fill: impl FnOnce(&mut Snapshot) -> io::Result<()>,
    ) -> io::Result<Written> {
        let mut snapshot = Snapshot {
            format: self.format(),
            salt: name.salt,
            file: self.medium().create(&self.path(&temporary))?,
            medium: self.medium(),
            frames: self.format().header().to_vec(),
            written: 0,
            records: 0,
        };
        fill(&mut snapshot)?;
        snapshot.flush()?;
        snapshot.medium.sync(&snapshot.file)?;
        Ok(Written {
            name,
            records: snapshot.records,
            bytes: snapshot.written,
        })
    }
}
