//! The bytes of a spool: one header per segment, then records that each prove themselves.
//!
//! A record's checksum is keyed with a random number that only its segment's header holds. So neither the payload,
//! which is text chosen by attackers, nor stale blocks of an older file can ever pass for a record.
//!
//! ```text
//! segment  "COUICSP1" | salt u64 | next_seq u64 | 2 counters u64 | xxh3 u64 of these 40 bytes, seed 0
//! record   "CREC" | len u32 | seq u64 | arg u64 | kind u32 | 0 u32 | payload[len] | xxh3 u64, seed salt
//! ```
//! All numbers are little endian.

use twox_hash::XxHash3_64;

const SEGMENT_MAGIC: [u8; 8] = *b"COUICSP1";
const RECORD_MAGIC: [u8; 4] = *b"CREC";
/// Bytes of a segment's header.
pub(super) const SEGMENT_HEAD: usize = 48;
/// How many counters the owner has.
pub(super) const COUNTERS: usize = 2;
const RECORD_HEAD: usize = 32;
const CHECKSUM: usize = 8;
/// What a record costs beside its payload.
pub(super) const RECORD_OVERHEAD: usize = RECORD_HEAD + CHECKSUM;
/// The largest payload. A length beyond it is a torn or rotten header, and is not believed.
pub(super) const MAX_PAYLOAD: usize = 64 << 20;

/// The head of a segment: all that must survive the deletion of the segments before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHead {
    /// Key of the checksums of this segment.
    pub(super) salt: u64,
    /// The lowest sequence number that no segment before this one has used.
    pub(super) next_seq: u64,
    /// The owner's counters as they were then.
    pub(super) counters: [u64; COUNTERS],
}

impl SegmentHead {
    pub(super) fn encode(self) -> [u8; SEGMENT_HEAD] {
        let mut bytes = [0; SEGMENT_HEAD];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..16].copy_from_slice(&self.salt.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.next_seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.counters[0].to_le_bytes());
        bytes[32..40].copy_from_slice(&self.counters[1].to_le_bytes());
        let sum = XxHash3_64::oneshot(&bytes[..40]);
        bytes[40..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_at_checked(8)?;
        if magic != SEGMENT_MAGIC || read_u64(bytes, 40)? != XxHash3_64::oneshot(&bytes[..40]) {
            return None;
        }
        Some(Self {
            salt: read_u64(rest, 0)?,
            next_seq: read_u64(rest, 8)?,
            counters: [read_u64(rest, 16)?, read_u64(rest, 24)?],
        })
    }
}

/// What a record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// An event, with its place among the others.
    Data {
        seq: u64,
        order: u64,
        payload: &'a [u8],
    },
    /// The event is dealt with.
    Ack { seq: u64 },
    /// The first `done` parts of the event are dealt with.
    Progress { seq: u64, done: u64 },
    /// The owner's counter in this slot has this value.
    Counter { slot: u64, value: u64 },
}

impl Record<'_> {
    /// Appends the record to `out`.
    pub(super) fn encode(self, salt: u64, out: &mut Vec<u8>) {
        let (kind, seq, arg, payload): (u32, u64, u64, &[u8]) = match self {
            Record::Data {
                seq,
                order,
                payload,
            } => (1, seq, order, payload),
            Record::Ack { seq } => (2, seq, 0, &[]),
            Record::Progress { seq, done } => (3, seq, done, &[]),
            Record::Counter { slot, value } => (4, slot, value, &[]),
        };
        let start = out.len();
        // `Spool::append` refuses what is longer than MAX_PAYLOAD, which fits.
        let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&RECORD_MAGIC);
        out.extend_from_slice(&len.to_le_bytes());
        out.extend_from_slice(&seq.to_le_bytes());
        out.extend_from_slice(&arg.to_le_bytes());
        out.extend_from_slice(&kind.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(payload);
        let sum = XxHash3_64::oneshot_with_seed(salt, &out[start..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }
}

/// The record at the start of `bytes` and its length, if there is a whole and sound one.
pub(super) fn decode(bytes: &[u8], salt: u64) -> Option<(Record<'_>, usize)> {
    if bytes.len() < RECORD_OVERHEAD || bytes[..4] != RECORD_MAGIC {
        return None;
    }
    let len = read_u32(bytes, 4)? as usize;
    if len > MAX_PAYLOAD {
        return None;
    }
    let signed = RECORD_HEAD + len;
    if read_u64(bytes, signed)? != XxHash3_64::oneshot_with_seed(salt, &bytes[..signed]) {
        return None;
    }
    let (seq, arg) = (read_u64(bytes, 8)?, read_u64(bytes, 16)?);
    let record = match read_u32(bytes, 24)? {
        1 => Record::Data {
            seq,
            order: arg,
            payload: &bytes[RECORD_HEAD..signed],
        },
        2 => Record::Ack { seq },
        3 => Record::Progress { seq, done: arg },
        4 => Record::Counter {
            slot: seq,
            value: arg,
        },
        _ => return None,
    };
    Some((record, signed + CHECKSUM))
}

/// The offset of the next sound record at or after `from`: what stands between is lost.
pub(super) fn resync(bytes: &[u8], from: usize, salt: u64) -> Option<usize> {
    (from..bytes.len().saturating_sub(RECORD_OVERHEAD - 1))
        .find(|&at| bytes[at..at + 4] == RECORD_MAGIC && decode(&bytes[at..], salt).is_some())
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(field.try_into().ok()?))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(field.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: u64 = 0x5eed;

    fn records(payload: &[u8]) -> [Record<'_>; 4] {
        [
            Record::Data {
                seq: 7,
                order: 3,
                payload,
            },
            Record::Ack { seq: u64::MAX },
            Record::Progress {
                seq: 7,
                done: 5_000,
            },
            Record::Counter { slot: 1, value: 12 },
        ]
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for record in records(b"{\"a\":1}") {
            let mut bytes = Vec::new();
            record.encode(SALT, &mut bytes);
            let len = bytes.len();
            bytes.extend_from_slice(b"what follows");
            assert_eq!(decode(&bytes, SALT), Some((record, len)));
            assert_eq!(decode(&bytes, SALT + 1), None, "another segment's key");
            for cut in 0..len {
                assert_eq!(decode(&bytes[..cut], SALT), None, "cut at {cut}");
            }
        }
        let head = SegmentHead {
            salt: 1,
            next_seq: 2,
            counters: [3, 4],
        };
        let bytes = head.encode();
        assert_eq!(SegmentHead::decode(&bytes), Some(head));
        for cut in 0..bytes.len() {
            assert_eq!(SegmentHead::decode(&bytes[..cut]), None);
        }
    }

    proptest! {
        /// Any single changed bit is noticed, and the record behind it found.
        #[test]
        fn a_changed_bit_is_noticed(payload: Vec<u8>, at: prop::sample::Index, bit in 0_u8..8) {
            let mut bytes = Vec::new();
            Record::Data { seq: 1, order: 1, payload: &payload }.encode(SALT, &mut bytes);
            let first = bytes.len();
            Record::Ack { seq: 1 }.encode(SALT, &mut bytes);
            let at = at.index(first);
            bytes[at] ^= 1 << bit;
            prop_assert_eq!(decode(&bytes, SALT), None);
            prop_assert_eq!(resync(&bytes, 1, SALT), Some(first));
        }

        /// A payload that is itself a record, made without the key, is never taken for one.
        #[test]
        fn a_forged_record_is_not_found(seq: u64, salt: u64) {
            prop_assume!(salt != SALT);
            let mut forged = Vec::new();
            Record::Ack { seq }.encode(salt, &mut forged);
            let mut bytes = Vec::new();
            Record::Data { seq: 1, order: 1, payload: &forged }.encode(SALT, &mut bytes);
            bytes[4] ^= 1;
            prop_assert_eq!(resync(&bytes, 1, SALT), None);
        }

        #[test]
        fn noise_is_refused(bytes: Vec<u8>, salt: u64) {
            prop_assert!(decode(&bytes, salt).is_none());
            prop_assert!(SegmentHead::decode(&bytes).is_none());
        }
    }
}
