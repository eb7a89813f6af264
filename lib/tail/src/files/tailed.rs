//! One file that is read at its end.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Instant, SystemTime},
};

use memchr::{memchr, memrchr};
use nix::unistd::{Whence, lseek};

use super::identity::{FileId, HEAD, Print, head};
use crate::{StreamId, lines::Lines};

#[derive(Debug)]
pub(super) struct Tailed {
    pub(super) id: FileId,
    /// Where it was seen last.
    pub(super) path: PathBuf,
    /// `None` while it is idle and others need the descriptor.
    pub(super) file: Option<Arc<File>>,
    /// The next byte to read.
    pub(super) offset: u64,
    pub(super) lines: Lines,
    pub(super) print: Print,
    pub(super) stream: StreamId,
    /// Since when no pattern finds it any more: it was renamed or removed.
    pub(super) retired: Option<Instant>,
    pub(super) last_data: Instant,
    /// There may be something to read.
    pub(super) dirty: bool,
    /// It is a copy of this file, which is read itself: what the copy is good for is known when that one is truncated.
    pub(super) copy_of: Option<FileId>,
    /// When it was created, if the file system knows: an original is older than its copies.
    pub(super) born: Option<SystemTime>,
    /// Nothing was handed over since it began.
    pub(super) fresh: bool,
    /// What comes next does not follow what was handed over last.
    pub(super) torn: bool,
    /// Until when it is known to have been what it is, in Unix milliseconds.
    pub(super) looked_ms: u64,
    /// Bytes before this were read in the file that it is a copy of.
    pub(super) ours: u64,
    /// Reading failed, which has been told.
    pub(super) failing: bool,
}

/// What a reading found.
pub(super) enum Step {
    /// So many bytes are in the buffer, and there may be more.
    Data(usize),
    /// Everything is read.
    End,
    /// It begins otherwise than it did, or is shorter: what was not read is gone.
    Truncated,
}

impl Tailed {
    /// A file that is open, to be read from `offset`, where a line starts.
    pub(super) fn new(
        path: PathBuf,
        file: Arc<File>,
        id: FileId,
        print: Print,
        offset: u64,
        stream: StreamId,
    ) -> Self {
        Self {
            id,
            path,
            file: Some(file),
            offset,
            lines: Lines::default(),
            print,
            stream,
            retired: None,
            last_data: Instant::now(),
            dirty: true,
            copy_of: None,
            born: None,
            fresh: offset == 0,
            torn: false,
            looked_ms: 0,
            ours: 0,
            failing: false,
        }
    }

    /// The start of the unfinished line: where a reader would go on after a restart.
    pub(super) fn line_start(&self) -> u64 {
        self.offset.saturating_sub(self.lines.pending())
    }

    /// The open file; opened again if it was closed. `NotFound` if its name is another file's now.
    pub(super) fn opened(&mut self) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let file = open(&self.path)?;
        if FileId::of(&file.metadata()?) != self.id {
            return Err(io::ErrorKind::NotFound.into());
        }
        let file = Arc::new(file);
        self.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Reads the next chunk. The head is compared after reading, so that bytes of a file that was truncated and written
    /// again meanwhile are never taken for the rest of what it was.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Step> {
        let file = self.opened()?;
        let read = file.read_at(buffer, self.offset)?;
        let (head, len) = head(&file)?;
        let head = head.get(..len).unwrap_or_default();
        if !self.print.fits(head) {
            return Ok(Step::Truncated);
        }
        if read == 0 {
            let short = file.metadata()?.len() < self.offset;
            return Ok(if short { Step::Truncated } else { Step::End });
        }
        if self.offset == 0 {
            let first = buffer.get(..read.min(HEAD)).unwrap_or_default();
            if !head.starts_with(first) {
                return Ok(Step::Truncated);
            }
        }
        if !self.print.is_full() {
            self.print = Print::of(head);
        }
        Ok(Step::Data(read))
    }

    /// Jumps over a hole at the beginning, which reads as zeros. Returns whether there is one.
    pub(super) fn jump_hole(&mut self, start: &[u8]) -> bool {
        if self.offset == 0 && start.first() == Some(&0) && self.restart().is_ok() {
            return self.offset > 0;
        }
        false
    }

    /// Its size, unless it cannot be read or has been truncated.
    pub(super) fn length(&mut self) -> io::Result<u64> {
        let file = self.opened()?;
        let length = file.metadata()?.len();
        let (head, len) = head(&file)?;
        if self.print.fits(head.get(..len).unwrap_or_default()) {
            return Ok(length);
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Begins anew, after a truncation.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.lines.reset();
        self.print = Print::default();
        self.fresh = true;
        self.torn = true;
        self.ours = 0;
        self.offset = first_data(&*self.opened()?)?;
        Ok(())
    }
}

/// Opens a file for reading, without waiting for the other end of a FIFO. `InvalidInput` if it is not a regular one.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    Ok(file)
}

/// Where a truncated file begins. A writer without `O_APPEND` goes on at its old place, and what is before it is a hole.
fn first_data(file: &File) -> io::Result<u64> {
    let (head, len) = head(file)?;
    let head = head.get(..len).unwrap_or_default();
    if head.is_empty() || head.iter().any(|byte| *byte != 0) {
        return Ok(0);
    }
    let mut at = match lseek(file, 0, Whence::SeekData) {
        Ok(at) => u64::try_from(at).unwrap_or(0),
        Err(_) => 0,
    };
    // The hole ends within a block, whose first bytes read as zero; at most 1 MiB for file systems that know no holes.
    let mut block = [0; 4_096];
    for _ in 0..256 {
        let read = file.read_at(&mut block, at)?;
        let block = block.get(..read).unwrap_or_default();
        match block.iter().position(|byte| *byte != 0) {
            Some(first) => return Ok(at + first as u64),
            None if read == 0 => break,
            None => at += read as u64,
        }
    }
    Ok(at)
}

/// The start of the first line at or after `from`, looked for up to `end`.
pub(super) fn line_after(file: &File, from: u64, end: u64) -> io::Result<Option<u64>> {
    let Some(mut at) = from.checked_sub(1) else {
        return Ok(Some(0));
    };
    let mut block = vec![0; 64 << 10];
    while at < end {
        let read = file.read_at(&mut block, at)?;
        if read == 0 {
            break;
        }
        if let Some(found) = memchr(b'\n', block.get(..read).unwrap_or_default()) {
            let start = at + found as u64 + 1;
            return Ok((start <= end).then_some(start));
        }
        at += read as u64;
    }
    Ok(None)
}

/// The start of the line that is not finished at `end`; `None` if it is a long one.
pub(super) fn line_before(file: &File, end: u64) -> io::Result<Option<u64>> {
    let mut block = vec![0; 64 << 10];
    let from = end.saturating_sub(block.len() as u64);
    let length = usize::try_from(end - from).unwrap_or(0);
    let Some(block) = block.get_mut(..length) else {
        return Ok(None);
    };
    let read = file.read_at(block, from)?;
    let newline = memrchr(b'\n', block.get(..read).unwrap_or_default());
    Ok(match newline {
        Some(at) => Some(from + at as u64 + 1),
        None if from == 0 => Some(0),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _};

    use super::*;

    #[test]
    fn line_starts_are_found_forwards_and_backwards() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "one\ntwo\nthr").unwrap();
        let file = open(&path).unwrap();
        let forwards: Vec<_> = (0..=11)
            .map(|from| line_after(&file, from, 11).unwrap())
            .collect();
        let expected = [0, 4, 4, 4, 4, 8, 8, 8, 8].map(Some);
        assert_eq!(forwards[..9], expected);
        assert_eq!(forwards[9..], [None; 3]);
        let backwards = [0, 3, 4, 8, 11].map(|end| line_before(&file, end).unwrap());
        assert_eq!(backwards, [0, 0, 4, 8, 8].map(Some));
        fs::write(&path, vec![b'x'; 100_000]).unwrap();
        assert_eq!(line_before(&file, 100_000).unwrap(), None);
    }

    #[test]
    fn a_writer_that_does_not_append_leaves_a_hole_that_is_jumped_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let mut writer = File::create(&path).unwrap();
        writer.write_all(&vec![b'x'; 1_000_003]).unwrap();
        writer.set_len(0).unwrap();
        assert_eq!(first_data(&open(&path).unwrap()).unwrap(), 0);
        writer.write_all(b"line\n").unwrap();
        assert_eq!(first_data(&open(&path).unwrap()).unwrap(), 1_000_003);
    }

    #[test]
    fn fifos_and_directories_are_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR).unwrap();
        for path in [fifo.as_path(), dir.path()] {
            assert_eq!(open(path).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
    }
}
