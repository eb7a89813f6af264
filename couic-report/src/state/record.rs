//! The journal's records: accepted batches, ends of intervals, summaries that were handed on.
//!
//! A batch is encoded while its request is parsed, and the same bytes are written, applied, and replayed after a crash:
//! so counting and replay cannot differ.

use couic_common::Cidr;
use uuid::Uuid;

use crate::codec::{Malformed, Put, Take};

const BATCH: u8 = 1;
const SEAL: u8 = 2;
const HANDED: u8 = 3;

/// A record with encoded content.
pub(crate) enum Record<'a> {
    /// Accepted reports.
    Batch(BatchRecord<'a>),
    /// The end of an interval and the start of the next.
    Seal(Seal),
    /// The summary with this id was handed to the dispatcher.
    Handed(Uuid),
}

/// The reports of one request.
pub(crate) struct BatchRecord<'a> {
    /// The sender's id of the request, the same in every attempt.
    pub(crate) id: Option<Uuid>,
    /// The Couic instance that sent it.
    pub(crate) source: &'a str,
    pub(crate) removes: u32,
    pub(crate) adds: u32,
    rows: Take<'a>,
}

/// The end of an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    /// When it ended, Unix seconds.
    pub(crate) until: u64,
    /// When the next one starts: the same, unless the clock was set back.
    pub(crate) next_from: u64,
    /// The id of the next one.
    pub(crate) next_id: Uuid,
}

impl Seal {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = vec![SEAL];
        out.put_u64(self.until);
        out.put_u64(self.next_from);
        out.put_u128(self.next_id.as_u128());
        out
    }
}

/// The record of a summary that was handed on.
pub(crate) fn handed(id: Uuid) -> Vec<u8> {
    let mut out = vec![HANDED];
    out.put_u128(id.as_u128());
    out
}

impl<'a> Record<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut from = Take(payload);
        let kind = from.u8()?;
        match kind {
            BATCH => BatchRecord::decode(from).map(Self::Batch),
            SEAL => Ok(Self::Seal(Seal {
                until: from.u64()?,
                next_from: from.u64()?,
                next_id: Uuid::from_u128(from.u128()?),
            })),
            HANDED => Ok(Self::Handed(Uuid::from_u128(from.u128()?))),
            _ => Err(Malformed),
        }
    }
}

impl<'a> BatchRecord<'a> {
    fn decode(mut from: Take<'a>) -> Result<Self, Malformed> {
        let id = Uuid::from_u128(from.u128()?);
        Ok(Self {
            id: (!id.is_nil()).then_some(id),
            removes: from.u32()?,
            adds: from.u32()?,
            source: from.short()?,
            rows: from,
        })
    }

    /// The CIDRs and tags that were added, in the order of the request.
    pub(crate) fn rows(self) -> impl Iterator<Item = Result<(Cidr, &'a str), Malformed>> {
        let mut rows = self.rows;
        (0..self.adds).map(move |_| Ok((rows.cidr()?, rows.short()?)))
    }
}

/// A batch that is ready for the journal.
#[derive(Debug)]
pub(crate) struct Batch {
    /// As in [`BatchRecord`].
    pub(crate) id: Option<Uuid>,
    pub(crate) adds: u32,
    pub(crate) removes: u32,
    pub(crate) payload: Vec<u8>,
}

/// Writes a batch, report by report.
pub(crate) struct BatchWriter {
    id: Option<Uuid>,
    adds: u32,
    removes: u32,
    out: Vec<u8>,
}

/// The offset of the numbers of removes and adds: after the kind and the id.
const COUNTS: usize = 1 + 16;

impl BatchWriter {
    /// `expected` is an estimate of the size.
    pub(crate) fn new(id: Option<Uuid>, source: &str, expected: usize) -> Self {
        let mut out = Vec::with_capacity(64 + source.len() + expected);
        out.put_u8(BATCH);
        out.put_u128(id.unwrap_or_default().as_u128());
        out.put_u64(0);
        out.put_short(source);
        Self {
            id,
            adds: 0,
            removes: 0,
            out,
        }
    }

    pub(crate) fn add(&mut self, cidr: Cidr, tag: &str) {
        self.adds += 1;
        self.out.put_cidr(cidr);
        self.out.put_short(tag);
    }

    pub(crate) fn remove(&mut self) {
        self.removes += 1;
    }

    /// The number of reports.
    pub(crate) fn len(&self) -> u32 {
        self.adds + self.removes
    }

    pub(crate) fn finish(self) -> Batch {
        let Self {
            id,
            adds,
            removes,
            mut out,
        } = self;
        out[COUNTS..COUNTS + 4].copy_from_slice(&removes.to_le_bytes());
        out[COUNTS + 4..COUNTS + 8].copy_from_slice(&adds.to_le_bytes());
        Batch {
            id,
            adds,
            removes,
            payload: out,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_round_trips() {
        let id = Uuid::from_u128(7);
        let mut writer = BatchWriter::new(Some(id), "fw1", 0);
        writer.add("192.0.2.0/24".parse().unwrap(), "ssh");
        writer.remove();
        writer.add("2001:db8::1/128".parse().unwrap(), "");
        let batch = writer.finish();
        assert_eq!((batch.id, batch.adds, batch.removes), (Some(id), 2, 1));
        let Ok(Record::Batch(read)) = Record::decode(&batch.payload) else {
            panic!("no batch");
        };
        assert_eq!((read.id, read.source, read.removes), (Some(id), "fw1", 1));
        let rows: Vec<_> = read
            .rows()
            .map(|row| row.map(|(cidr, tag)| format!("{cidr} {tag}")).unwrap())
            .collect();
        assert_eq!(rows, ["192.0.2.0/24 ssh", "2001:db8::1/128 "]);
    }

    #[test]
    fn seals_and_hand_overs_round_trip_and_others_are_refused() {
        let seal = Seal {
            until: 9,
            next_from: 8,
            next_id: Uuid::from_u128(3),
        };
        assert!(matches!(Record::decode(&seal.encode()), Ok(Record::Seal(read)) if read == seal));
        let id = Uuid::from_u128(5);
        assert!(matches!(Record::decode(&handed(id)), Ok(Record::Handed(read)) if read == id));
        assert!(Record::decode(&[]).is_err());
        assert!(Record::decode(&[9, 9]).is_err());
    }
}
