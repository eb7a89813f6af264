//! Reads a file sequentially, in chunks, with unreadable pages replaced by zeros.

use std::{fs::File, io, os::unix::fs::FileExt};

/// The size of a read.
const CHUNK: usize = 256 << 10;

/// The unit that is replaced by zeros if the disk cannot read it.
const PAGE: usize = 4096;

/// Random access reads.
pub(crate) trait ReadAt {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, into, offset)
    }
}

#[cfg(test)]
impl ReadAt for Vec<u8> {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..));
        let rest = rest.unwrap_or_default();
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }
}

/// Part of a file; the reader is at its offset `place`.
pub(crate) struct Window<'a> {
    source: &'a dyn ReadAt,
    bytes: Vec<u8>,
    place: usize,
    /// The file offset of `bytes`.
    base: u64,
    /// The end of the file.
    end: u64,
    unreadable: u64,
}

impl<'a> Window<'a> {
    pub(crate) fn new(source: &'a dyn ReadAt, offset: u64, end: u64) -> Self {
        Self {
            source,
            bytes: Vec::new(),
            place: 0,
            base: offset,
            end,
            unreadable: 0,
        }
    }

    /// The position of the reader.
    #[inline]
    pub(crate) const fn offset(&self) -> u64 {
        self.base + self.place as u64
    }

    #[inline]
    pub(crate) const fn is_at_end(&self) -> bool {
        self.offset() >= self.end
    }

    pub(crate) const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// The bytes from the position of the reader to the end of the file.
    pub(crate) const fn left(&self) -> u64 {
        self.end.saturating_sub(self.offset())
    }

    /// The next `n` bytes, if the file has as many.
    #[inline]
    pub(crate) fn peek(&mut self, n: usize) -> Option<&[u8]> {
        if self.left() < n as u64 {
            // A damaged length: read nothing.
            return None;
        }
        if self.bytes.len() - self.place < n {
            self.fill(n);
        }
        self.bytes.get(self.place..self.place + n)
    }

    /// Advances by `n` bytes, which were peeked.
    #[inline]
    pub(crate) fn advance(&mut self, n: usize) {
        self.place = (self.place + n).min(self.bytes.len());
    }

    /// Advances to the next `byte` after the current position, or to the end of the buffer. Returns the distance.
    pub(crate) fn skip_to(&mut self, byte: u8) -> u64 {
        if self.bytes.len() - self.place < 2 {
            self.fill(CHUNK);
        }
        let ahead = &self.bytes[self.place..];
        let found = ahead.iter().skip(1).position(|b| *b == byte);
        let n = found.map_or(ahead.len(), |at| at + 1);
        self.place += n;
        n as u64
    }

    /// Reads until `n` bytes are buffered, or the file ends.
    fn fill(&mut self, n: usize) {
        self.bytes.drain(..self.place);
        self.base += self.place as u64;
        self.place = 0;
        while self.bytes.len() < n {
            let at = self.base + self.bytes.len() as u64;
            let left = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
            if left == 0 {
                return;
            }
            let had = self.bytes.len();
            self.bytes.resize(had + left.min(CHUNK), 0);
            let got = self.read(had, at);
            self.bytes.truncate(had + got);
            if got == 0 {
                // It was truncated meanwhile.
                self.end = at;
            }
        }
    }

    /// Reads into the buffer from `from` on. On error, replaces the unreadable page by zeros.
    fn read(&mut self, from: usize, at: u64) -> usize {
        let into = &mut self.bytes[from..];
        match retry(|| self.source.read_at(into, at)) {
            Ok(got) => got,
            Err(_) => {
                let page = into
                    .len()
                    .min(PAGE - usize::try_from(at % PAGE as u64).unwrap_or(0));
                let into = &mut into[..page];
                retry(|| self.source.read_at(into, at)).unwrap_or_else(|_| {
                    into.fill(0);
                    self.unreadable += page as u64;
                    page
                })
            }
        }
    }
}

fn retry(mut read: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match read() {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ones, with an unreadable page.
    struct Bad;

    impl ReadAt for Bad {
        fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
            let bad = 2 * PAGE as u64..3 * PAGE as u64;
            let end = offset + into.len() as u64;
            if offset < bad.end && end > bad.start {
                return Err(io::Error::from_raw_os_error(libc::EIO));
            }
            into.fill(1);
            Ok(into.len())
        }
    }

    #[test]
    fn an_unreadable_page_is_zeros_and_the_rest_is_read() {
        let end = 5 * PAGE as u64 + 7;
        let mut window = Window::new(&Bad, 100, end);
        let all = window.peek(5 * PAGE + 7 - 100).unwrap();
        let zeros: Vec<usize> = (0..all.len()).filter(|i| all[*i] == 0).collect();
        assert_eq!(zeros, (2 * PAGE - 100..3 * PAGE - 100).collect::<Vec<_>>());
        assert_eq!(window.unreadable(), PAGE as u64);
        assert_eq!(window.peek(5 * PAGE + 8 - 100), None);
    }

    #[test]
    fn a_truncated_file_ends_early() {
        let bytes = vec![3_u8; 10];
        let mut window = Window::new(&bytes, 4, 1_000_000);
        assert_eq!(window.peek(7), None);
        assert_eq!(window.peek(6), Some(&[3_u8; 6][..]));
        window.advance(6);
        assert!(window.is_at_end());
    }
}
