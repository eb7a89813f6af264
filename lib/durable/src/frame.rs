//! The file format.
//!
//! A file begins with a header that names the format. Frames follow: a mark, a length, a checksum, a payload. The checksum
//! is a CRC-32 of length and payload whose initial value is the salt in the file's name.

use crate::window::Window;

/// The first bytes of every file.
const MAGIC: [u8; 8] = *b"couic\r\n\x1a";

/// Size of the header.
pub const HEADER: u64 = 16;

/// The first bytes of a frame. The first one never occurs in UTF-8 text.
pub(crate) const MARK: [u8; 2] = [0xc0, 0x1c];

/// Mark, length and checksum.
pub(crate) const HEAD: usize = 10;

/// Identifies the files of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The prefix of its file names.
    pub prefix: &'static str,
    /// The version that is written. Files of a later one are not read, so a kind of record that must not be ignored
    /// needs a new version.
    pub version: u32,
    /// The longest payload, in bytes.
    pub max_payload: usize,
}

/// The state of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// A readable version.
    Known(u32),
    /// A later version.
    Newer(u32),
    /// Damaged or incomplete.
    Damaged,
}

impl Format {
    /// The header of a new file.
    pub(crate) fn header(self) -> [u8; 16] {
        header_of(self.version)
    }

    /// Parses the first bytes of a file.
    pub(crate) fn read_header(self, bytes: &[u8]) -> Header {
        let Some(bytes) = bytes.first_chunk::<16>() else {
            return Header::Damaged;
        };
        let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
        if *bytes != header_of(version) {
            return Header::Damaged;
        }
        if version > self.version {
            return Header::Newer(version);
        }
        Header::Known(version)
    }

    /// Adds a frame whose payload `write` appends. Returns false and adds nothing if the payload is too long.
    pub fn put(self, out: &mut Vec<u8>, salt: u32, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let start = out.len();
        out.extend_from_slice(&MARK);
        out.extend_from_slice(&[0; 8]);
        write(out);
        let length = out.len() - start - HEAD;
        let fits = u32::try_from(length)
            .ok()
            .filter(|_| length <= self.max_payload);
        let Some(length) = fits else {
            out.truncate(start);
            return false;
        };
        let sum = checksum(salt, length, &out[start + HEAD..]);
        out[start + 2..start + 6].copy_from_slice(&length.to_le_bytes());
        out[start + 6..start + HEAD].copy_from_slice(&sum.to_le_bytes());
        true
    }

    /// The payload of the frame at the window's position, if there is a valid one.
    #[inline]
    pub(crate) fn frame<'a>(self, window: &'a mut Window<'_>, salt: u32) -> Option<&'a [u8]> {
        let head = window.peek(HEAD)?;
        if head[..2] != MARK {
            return None;
        }
        let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        let wanted = u32::from_le_bytes([head[6], head[7], head[8], head[9]]);
        let size = usize::try_from(length)
            .ok()
            .filter(|n| *n <= self.max_payload)?;
        let payload = &window.peek(HEAD + size)?[HEAD..];
        (checksum(salt, length, payload) == wanted).then_some(payload)
    }

    /// Whether the file ends within a frame at the window's position: the write of that frame was interrupted.
    pub(crate) fn is_cut(self, window: &mut Window<'_>) -> bool {
        let left = usize::try_from(window.left()).unwrap_or(usize::MAX);
        let Some(head) = window.peek(left.min(HEAD)) else {
            return false;
        };
        if !head.iter().zip(MARK).all(|(byte, mark)| *byte == mark) {
            return false;
        }
        let Some(head) = head.first_chunk::<HEAD>() else {
            return true;
        };
        let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        length <= self.max_payload && length > left - HEAD
    }
}

fn header_of(version: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    let sum = crc32fast::hash(&header[..12]);
    header[12..].copy_from_slice(&sum.to_le_bytes());
    header
}

#[inline]
fn checksum(salt: u32, length: u32, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(salt);
    hasher.update(&length.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// The number of frames in `frames`, which are complete.
#[must_use]
pub fn count_frames(mut frames: &[u8]) -> u64 {
    let mut count = 0;
    while let Some((head, rest)) = frames.split_first_chunk::<HEAD>() {
        let length = u32::from_le_bytes([head[2], head[3], head[4], head[5]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        frames = rest.get(length..).unwrap_or_default();
        count += 1;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format {
        prefix: "test",
        version: 3,
        max_payload: 100,
    };

    #[test]
    fn headers_are_known_newer_or_damaged() {
        let header = FORMAT.header();
        assert_eq!(FORMAT.read_header(&header), Header::Known(3));
        assert_eq!(FORMAT.read_header(&header_of(2)), Header::Known(2));
        assert_eq!(FORMAT.read_header(&header_of(7)), Header::Newer(7));
        assert_eq!(FORMAT.read_header(&header[..15]), Header::Damaged);
        for bit in 0..128 {
            let mut flipped = header;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FORMAT.read_header(&flipped), Header::Damaged, "bit {bit}");
        }
    }

    #[test]
    fn a_payload_that_is_too_long_adds_nothing() {
        let mut out = vec![7];
        assert!(!FORMAT.put(&mut out, 1, |out| out.resize(112, 0)));
        assert_eq!(out, [7]);
        assert!(FORMAT.put(&mut out, 1, |out| out.resize(111, 0)));
        assert_eq!(count_frames(&out[1..]), 1);
    }

    #[test]
    fn the_bytes_are_those_of_the_journal_of_2_0() {
        let mut out = Vec::new();
        FORMAT.put(&mut out, 0, |out| out.extend_from_slice(b"abc"));
        let sum = crc32fast::hash(b"\x03\0\0\0abc").to_le_bytes();
        assert_eq!(out, [&[0xc0, 0x1c, 3, 0, 0, 0], &sum[..], b"abc"].concat());
    }
}
