//! The file that takes frames.

use std::{fs::File, io, sync::Arc};

use crate::{Folder, HEADER, Kind, Medium, Name};

/// A log that is being written. One writer at a time; a [`Handle`] syncs it from another thread meanwhile.
#[derive(Clone, Debug)]
pub struct Segment {
    handle: Handle,
    bytes: u64,
    is_abandoned: bool,
}

/// A segment for a thread that only syncs it.
#[derive(Clone, Debug)]
pub struct Handle {
    name: Name,
    file: Arc<File>,
    medium: Arc<dyn Medium>,
}

impl Segment {
    /// Begins the log of this number. It is on the disk under its name when this returns.
    ///
    /// # Errors
    /// What the system says. A leftover without frames may stay; it says nothing.
    pub fn begin(folder: &Folder, number: u64) -> io::Result<Self> {
        let name = folder.name(number, Kind::Log);
        let medium = folder.medium();
        let file = medium.create(&folder.path(&name))?;
        let begun = medium
            .write(&file, &folder.format().header())
            .and_then(|()| medium.sync(&file))
            .and_then(|()| folder.sync());
        if let Err(error) = begun {
            folder.remove(&name).ok();
            return Err(error);
        }
        let handle = Handle {
            name,
            file: Arc::new(file),
            medium,
        };
        Ok(Self {
            handle,
            bytes: HEADER,
            is_abandoned: false,
        })
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> Name {
        self.handle.name
    }

    /// What its frames are salted with.
    #[must_use]
    pub const fn salt(&self) -> u32 {
        self.handle.name.salt
    }

    /// How long it is, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// For a thread that only syncs it.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Hands frames to the kernel, with one call: from then on they survive the process.
    ///
    /// # Errors
    /// What the system says. Some of the frames may be in the file then: abandon it.
    pub fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        if self.is_abandoned {
            return Err(io::Error::other("an earlier write failed"));
        }
        self.handle.medium.write(&self.handle.file, frames)?;
        self.bytes += frames.len() as u64;
        Ok(())
    }

    /// Brings what was written to the disk.
    ///
    /// # Errors
    /// What the system says. What the disk has is not known then: abandon the segment.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync()
    }

    /// Ends a segment whose last write or sync failed, and cuts it back to its first `bytes`, as far as the disk
    /// allows. Returns whether it was.
    pub fn abandon(&mut self, bytes: u64) -> bool {
        self.is_abandoned = true;
        let is_cut = self.handle.file.set_len(bytes).is_ok();
        if is_cut {
            self.bytes = bytes;
        }
        is_cut
    }

    /// Writes go to `file` from now on: for tests of full disks.
    #[doc(hidden)]
    pub fn redirect(&mut self, file: File) {
        self.handle.file = Arc::new(file);
    }
}

impl Handle {
    /// Whether it is this segment's.
    #[must_use]
    pub fn is_of(&self, segment: &Segment) -> bool {
        self.name == segment.handle.name
    }

    /// Brings what was written to the disk.
    ///
    /// # Errors
    /// As those of [`Segment::sync`].
    pub fn sync(&self) -> io::Result<()> {
        self.medium.sync(&self.file)
    }
}
