//! Frames of the journal: length, checksum, payload. And the heads of files, which say what they are.

use crate::codec::{Put, Take};

/// No record is larger: a request's batch is smaller than the request, and those are bounded.
pub(super) const MAX_RECORD: usize = 1 << 30;

/// Length and CRC-32.
const FRAME_HEAD: usize = 8;

/// Magic, version and generation in front of every file.
pub(super) const FILE_HEAD: usize = 16;

const VERSION: u8 = 1;

/// Which file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Journal,
    Snapshot,
}

impl Kind {
    fn magic(self) -> [u8; 7] {
        match self {
            Self::Journal => *b"CRJOURN",
            Self::Snapshot => *b"CRSNAPS",
        }
    }
}

/// What is wrong with a file's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    /// Torn, or not ours.
    Torn,
    /// Written by another version of couic-report.
    Version(u8),
}

pub(super) fn file_head(kind: Kind, generation: u64) -> [u8; FILE_HEAD] {
    let mut head = [0; FILE_HEAD];
    head[..7].copy_from_slice(&kind.magic());
    head[7] = VERSION;
    head[8..].copy_from_slice(&generation.to_le_bytes());
    head
}

/// What stands behind the head of a file of this kind and generation.
pub(super) fn body(kind: Kind, generation: u64, file: &[u8]) -> Result<&[u8], HeadError> {
    let (head, body) = file
        .split_first_chunk::<FILE_HEAD>()
        .ok_or(HeadError::Torn)?;
    let expected = file_head(kind, generation);
    if head[..7] != expected[..7] || head[8..] != expected[8..] {
        return Err(HeadError::Torn);
    }
    match head[7] {
        VERSION => Ok(body),
        other => Err(HeadError::Version(other)),
    }
}

/// Appends a frame.
pub(super) fn put(out: &mut Vec<u8>, payload: &[u8]) {
    out.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    out.put_u32(crc32fast::hash(payload));
    out.extend_from_slice(payload);
}

/// The whole frames in front, each with where it ends. Stops at the first that is torn.
pub(super) fn frames(bytes: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let payload = frame(&bytes[at..])?;
        at += FRAME_HEAD + payload.len();
        Some((payload, at))
    })
}

fn frame(bytes: &[u8]) -> Option<&[u8]> {
    let mut from = Take(bytes);
    let (len, sum) = (from.u32().ok()? as usize, from.u32().ok()?);
    // A file that was made longer before its content was written reads as zeroes, and the checksum of nothing is zero.
    if len == 0 || len > MAX_RECORD {
        return None;
    }
    let payload = from.slice(len).ok()?;
    (crc32fast::hash(payload) == sum).then_some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_or_a_flipped_bit_ends_the_frames_there() {
        let mut bytes = Vec::new();
        for payload in [&b"one"[..], b"three", b"x"] {
            put(&mut bytes, payload);
        }
        let ends: Vec<usize> = frames(&bytes).map(|(_, end)| end).collect();
        assert_eq!(ends, [11, 24, 33]);
        for cut in 0..bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(frames(&bytes[..cut]).count(), whole, "{cut}");
            let mut zeroes = bytes[..cut].to_vec();
            zeroes.resize(bytes.len() + 100, 0);
            assert!(frames(&zeroes).count() <= whole + 1, "{cut}");
            let mut flipped = bytes.clone();
            flipped[cut] ^= 4;
            assert_eq!(frames(&flipped).count(), whole, "{cut}");
        }
        assert_eq!(frames(&[0; 64]).count(), 0);
    }

    #[test]
    fn heads_tell_torn_from_another_version() {
        let mut head = file_head(Kind::Journal, 7).to_vec();
        assert_eq!(body(Kind::Journal, 7, &head), Ok(&[][..]));
        assert_eq!(body(Kind::Journal, 8, &head), Err(HeadError::Torn));
        assert_eq!(body(Kind::Snapshot, 7, &head), Err(HeadError::Torn));
        assert_eq!(body(Kind::Journal, 7, &head[..15]), Err(HeadError::Torn));
        head[7] = 9;
        assert_eq!(body(Kind::Journal, 7, &head), Err(HeadError::Version(9)));
    }
}
