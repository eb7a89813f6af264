//! The file to which frames are appended.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use crate::{
    Folder, HEADER, Kind, Medium, Name,
    extent::{self, EXTENT},
};

/// A log that is being written. It has one writer; a [`Handle`] syncs it from another thread.
#[derive(Clone, Debug)]
pub struct Segment {
    handle: Handle,
    bytes: u64,
    is_abandoned: bool,
}

/// A handle that can only sync the segment, for another thread.
#[derive(Clone, Debug)]
pub struct Handle {
    name: Name,
    file: Arc<File>,
    medium: Arc<dyn Medium>,
}

impl Segment {
    /// Creates the log of this number. It is on the disk when this returns, and gets its name once its header is.
    ///
    /// # Errors
    /// The system's error. There is no log of that name then.
    pub fn begin(folder: &Folder, number: u64) -> io::Result<Self> {
        let name = folder.name(number, Kind::Log);
        let temporary = format!("{name}.tmp");
        let medium = folder.medium();
        let mut head = folder.format().header().to_vec();
        head.extend_from_slice(&extent::write(name.salt, HEADER + EXTENT));
        let file = medium.create(&folder.path(&temporary))?;
        let begun = medium
            .write(&file, &head)
            .and_then(|()| medium.sync(&file))
            .and_then(|()| folder.rename(&temporary, &name.to_string()))
            .and_then(|()| folder.sync());
        if let Err(error) = begun {
            folder.remove(&temporary).ok();
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
            bytes: head.len() as u64,
            is_abandoned: false,
        })
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> Name {
        self.handle.name
    }

    /// The salt of its frames.
    #[must_use]
    pub const fn salt(&self) -> u32 {
        self.handle.name.salt
    }

    /// Its length, in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A handle for syncing.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Writes frames to the page cache, with one call: they survive the process then.
    ///
    /// # Errors
    /// The system's error. Some of the frames may be in the file then: abandon it.
    pub fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        if self.is_abandoned {
            return Err(io::Error::other("an earlier write failed"));
        }
        self.handle.medium.write(&self.handle.file, frames)?;
        self.bytes += frames.len() as u64;
        Ok(())
    }

    /// Flushes written data to the disk, and records that.
    ///
    /// # Errors
    /// The system's error. The content of the disk is unknown then: abandon the segment.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync()?;
        self.handle.note_synced(self.bytes);
        Ok(())
    }

    /// Ends a segment whose last write or sync failed, and tries to truncate it to its first `bytes`. Returns whether it
    /// was truncated.
    pub fn abandon(&mut self, bytes: u64) -> bool {
        self.is_abandoned = true;
        // Before it is cut, which must not look like damage.
        self.handle.note_synced(bytes);
        let is_cut = self.handle.file.set_len(bytes).is_ok();
        if is_cut {
            self.bytes = bytes;
        }
        is_cut
    }

    /// Redirects writes to `file`: for tests of full disks.
    #[doc(hidden)]
    pub fn redirect(&mut self, file: File) {
        self.handle.file = Arc::new(file);
    }
}

impl Handle {
    /// Whether it belongs to this segment.
    #[must_use]
    pub fn is_of(&self, segment: &Segment) -> bool {
        self.name == segment.handle.name
    }

    /// Flushes written data to the disk.
    ///
    /// # Errors
    /// As [`Segment::sync`].
    pub fn sync(&self) -> io::Result<()> {
        self.medium.sync(&self.file)
    }

    /// Records in the log that its first `bytes` are on the disk. On error, or if the process is killed before, an earlier
    /// figure stays, by which less damage is found.
    pub fn note_synced(&self, bytes: u64) {
        let _ = (self.file).write_all_at(&extent::write(self.name.salt, bytes), HEADER);
    }
}
