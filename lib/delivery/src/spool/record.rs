//! The records of a spool, as payloads of the frames of `couic_durable`.
//!
//! A byte for the kind, two `u64` (little-endian) for the kind's numbers, and for an event its payload.

use couic_durable::Format;

/// Bytes of a record before its payload.
const HEAD: usize = 17;

/// Overhead of a record on disk: this head and the frame's.
pub(super) const RECORD_OVERHEAD: usize = HEAD + 10;

/// The largest payload.
pub(super) const MAX_PAYLOAD: usize = 64 << 20;

/// The number of counters.
pub(super) const COUNTERS: usize = 2;

/// Version 1 is in `old.rs`.
pub(super) const FORMAT: Format = Format {
    prefix: "spool",
    version: 2,
    max_payload: MAX_PAYLOAD + HEAD,
};

/// A record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// An event with its position.
    Data {
        seq: u64,
        order: u64,
        payload: &'a [u8],
    },
    /// The event is acknowledged.
    Ack { seq: u64 },
    /// The first `done` parts of the event are done.
    Progress { seq: u64, done: u64 },
    /// The owner's counter in this slot has this value.
    Counter { slot: u64, value: u64 },
    /// The first record of a segment, with the state that must survive the removal of older ones: the lowest unused
    /// number, and the counters.
    Start {
        next_seq: u64,
        counters: [u64; COUNTERS],
    },
}

impl<'a> Record<'a> {
    /// Appends the record, as a frame.
    pub(super) fn put(self, salt: u32, out: &mut Vec<u8>) {
        let (kind, first, second, payload): (u8, u64, u64, &[u8]) = match self {
            Self::Data {
                seq,
                order,
                payload,
            } => (1, seq, order, payload),
            Self::Ack { seq } => (2, seq, 0, &[]),
            Self::Progress { seq, done } => (3, seq, done, &[]),
            Self::Counter { slot, value } => (4, slot, value, &[]),
            Self::Start {
                next_seq,
                counters: [first, second],
            } => (5, next_seq, first, &second.to_le_bytes()),
        };
        // `Spool::append` refuses a payload that is too long.
        FORMAT.put(out, salt, |out| {
            out.push(kind);
            out.extend_from_slice(&first.to_le_bytes());
            out.extend_from_slice(&second.to_le_bytes());
            out.extend_from_slice(payload);
        });
    }

    /// Parses a frame's payload. None if it is invalid.
    pub(super) fn read(frame: &'a [u8]) -> Option<Self> {
        let (&[kind], rest) = frame.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (second, payload) = rest.split_first_chunk()?;
        let (seq, second) = (u64::from_le_bytes(*first), u64::from_le_bytes(*second));
        Self::of(u32::from(kind), seq, second, payload)
    }

    /// A record from its fields. Version 1 has the same kind numbers.
    pub(super) fn of(kind: u32, seq: u64, second: u64, payload: &'a [u8]) -> Option<Self> {
        Some(match kind {
            1 => Self::Data {
                seq,
                order: second,
                payload,
            },
            2 => Self::Ack { seq },
            3 => Self::Progress { seq, done: second },
            4 => Self::Counter {
                slot: seq,
                value: second,
            },
            5 => Self::Start {
                next_seq: seq,
                counters: [second, u64::from_le_bytes(payload.try_into().ok()?)],
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut out = Vec::new();
        for record in [
            Record::Data {
                seq: 7,
                order: 3,
                payload: b"{\"a\":1}",
            },
            Record::Ack { seq: u64::MAX },
            Record::Progress {
                seq: 7,
                done: 5_000,
            },
            Record::Counter { slot: 1, value: 12 },
            Record::Start {
                next_seq: 8,
                counters: [1, 2],
            },
        ] {
            out.clear();
            record.put(1, &mut out);
            assert_eq!(Record::read(&out[10..]), Some(record));
            assert_eq!(Record::read(&out[10..26]), None, "too short");
            out[10] = 9;
            assert_eq!(Record::read(&out[10..]), None, "an unknown kind");
        }
    }
}
