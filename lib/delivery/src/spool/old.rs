//! Segments of version 1, `0000000000000007.seg`, which are read until their last event is acknowledged.
//!
//! ```text
//! segment  "COUICSP1" | salt u64 | next_seq u64 | 2 counters u64 | xxh3 u64 of these 40 bytes, seed 0
//! record   "CREC" | len u32 | seq u64 | arg u64 | kind u32 | 0 u32 | payload[len] | xxh3 u64, seed salt
//! ```
//! All numbers are little endian.

use couic_durable::Scanned;
use twox_hash::XxHash3_64;

use super::record::{MAX_PAYLOAD, Record};

const SEGMENT_MAGIC: [u8; 8] = *b"COUICSP1";
const RECORD_MAGIC: [u8; 4] = *b"CREC";
/// Bytes of a segment's header.
const SEGMENT_HEAD: usize = 48;
const RECORD_HEAD: usize = 32;
const CHECKSUM: usize = 8;

const EXTENSION: &str = ".seg";

/// The name of the segment `index`.
pub(super) fn name(index: u64) -> String {
    format!("{index:016x}{EXTENSION}")
}

/// The inverse of [`name`].
pub(super) fn index(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_suffix(EXTENSION)?, 16).ok()
}

/// Calls `each` with every record, the header first. Without a valid header there are none, since it has the seed of
/// the checksums.
pub(super) fn read(bytes: &[u8], mut each: impl FnMut(Record<'_>)) -> Scanned {
    let mut scanned = Scanned {
        length: bytes.len() as u64,
        ..Scanned::default()
    };
    let Some(salt) = read_head(bytes, &mut each) else {
        scanned.headless = true;
        scanned.damaged_bytes = scanned.length.saturating_sub(SEGMENT_HEAD as u64);
        return scanned;
    };
    scanned.records = 1;
    let mut at = SEGMENT_HEAD;
    while at < bytes.len() {
        if let Some((record, length)) = decode(&bytes[at..], salt) {
            each(record);
            scanned.records += 1;
            at += length;
        } else if let Some(next) = resync(bytes, at + 1, salt) {
            scanned.damaged_bytes += (next - at) as u64;
            scanned.first_damage.get_or_insert(at as u64);
            at = next;
        } else {
            scanned.torn = (bytes.len() - at) as u64;
            break;
        }
    }
    scanned
}

/// Returns the seed of the checksums.
fn read_head(bytes: &[u8], each: &mut impl FnMut(Record<'_>)) -> Option<u64> {
    let sum = read_u64(bytes, SEGMENT_HEAD - CHECKSUM)?;
    let signed = &bytes[..SEGMENT_HEAD - CHECKSUM];
    if !signed.starts_with(&SEGMENT_MAGIC) || sum != XxHash3_64::oneshot(signed) {
        return None;
    }
    each(Record::Start {
        next_seq: read_u64(bytes, 16)?,
        counters: [read_u64(bytes, 24)?, read_u64(bytes, 32)?],
    });
    read_u64(bytes, 8)
}

/// The record at the start of `bytes` and its length, if it is complete and valid.
fn decode(bytes: &[u8], salt: u64) -> Option<(Record<'_>, usize)> {
    if !bytes.starts_with(&RECORD_MAGIC) {
        return None;
    }
    let length = read_u32(bytes, 4)? as usize;
    if length > MAX_PAYLOAD {
        return None;
    }
    let signed = RECORD_HEAD + length;
    if read_u64(bytes, signed)? != XxHash3_64::oneshot_with_seed(salt, &bytes[..signed]) {
        return None;
    }
    let (seq, second) = (read_u64(bytes, 8)?, read_u64(bytes, 16)?);
    let kind = read_u32(bytes, 24)?;
    let record = Record::of(kind, seq, second, &bytes[RECORD_HEAD..signed])?;
    Some((record, signed + CHECKSUM))
}

/// The offset of the next valid record at or after `from`.
fn resync(bytes: &[u8], from: usize, salt: u64) -> Option<usize> {
    (from..bytes.len()).find(|&at| decode(&bytes[at..], salt).is_some())
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(field.try_into().ok()?))
}
