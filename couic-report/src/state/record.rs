//! The journal's records: accepted batches and traffic, ends of intervals, summaries that were handed on.
//!
//! A batch is encoded while its request is parsed, and the same bytes are written, applied, replayed after a crash, and
//! searched later: so counting, replay and history cannot differ.

mod batch;

use uuid::Uuid;

pub(crate) use self::batch::{Batch, BatchRecord, BatchWriter, Row};
use crate::codec::{Malformed, Put, Take};

/// A batch of format 2: the added CIDRs with their tags.
const ADDS: u8 = 1;
const SEAL: u8 = 2;
const HANDED: u8 = 3;
const BATCH: u8 = 4;
const TRAFFIC: u8 = 5;

/// A record with encoded content.
pub(crate) enum Record<'a> {
    /// Accepted reports.
    Batch(BatchRecord<'a>),
    /// The traffic of a firewall.
    Traffic(TrafficRecord<'a>),
    /// The end of an interval and the start of the next.
    Seal(Seal),
    /// The summary with this id was handed to the dispatcher.
    Handed(Uuid),
}

/// What a firewall passed and dropped.
pub(crate) struct TrafficRecord<'a> {
    /// The sender's id of the request, the same in every attempt.
    pub(crate) id: Option<Uuid>,
    /// When it was received, Unix seconds.
    pub(crate) received: u64,
    /// The Couic instance that sent it.
    pub(crate) source: &'a str,
    /// A `couic_plugin_api::Traffic`, as JSON.
    pub(crate) json: &'a [u8],
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

impl TrafficRecord<'_> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![TRAFFIC];
        out.put_u128(self.id.unwrap_or_default().as_u128());
        out.put_u64(self.received);
        out.put_short(self.source);
        out.put_bytes(self.json);
        out
    }
}

impl<'a> Record<'a> {
    pub(crate) fn decode(payload: &'a [u8]) -> Result<Self, Malformed> {
        let mut from = Take(payload);
        match from.u8()? {
            ADDS => BatchRecord::decode_old(from).map(Self::Batch),
            BATCH => BatchRecord::decode(from).map(Self::Batch),
            TRAFFIC => Ok(Self::Traffic(TrafficRecord {
                id: id(&mut from)?,
                received: from.u64()?,
                source: from.short()?,
                json: from.bytes()?,
            })),
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

fn id(from: &mut Take<'_>) -> Result<Option<Uuid>, Malformed> {
    let id = Uuid::from_u128(from.u128()?);
    Ok((!id.is_nil()).then_some(id))
}

#[cfg(test)]
mod tests {
    use couic_common::{OwnerKind, PeerAction, Policy};

    use super::*;

    #[test]
    fn a_batch_round_trips() {
        let id = Uuid::from_u128(7);
        let mut writer = BatchWriter::new(Some(id), "fw1", 70, 0);
        let owner = Some((OwnerKind::Client, Some("f2b")));
        let rows = [
            Row {
                tag: "ssh",
                policy: Some(Policy::Drop),
                at: 60,
                expiration: 90,
                reason: "sshd",
                owner,
                ..Row::add("192.0.2.0/24".parse().unwrap())
            },
            Row {
                tag: "ssh",
                action: PeerAction::Remove,
                at: 60,
                owner,
                ..Row::add("192.0.2.0/24".parse().unwrap())
            },
            Row {
                owner: Some((OwnerKind::Set, None)),
                policy: Some(Policy::Ignore),
                ..Row::add("2001:db8::1/128".parse().unwrap())
            },
        ];
        rows.iter().for_each(|row| writer.push(row));
        let batch = writer.finish();
        assert_eq!((batch.id, batch.adds, batch.removes), (Some(id), 2, 1));
        let Ok(Record::Batch(read)) = Record::decode(&batch.payload) else {
            panic!("no batch");
        };
        let head = (read.id, read.source, read.received, read.removes, read.adds);
        assert_eq!(head, (Some(id), "fw1", Some(70), 1, 2));
        let read: Result<Vec<Row<'_>>, _> = read.rows().collect();
        assert_eq!(read.unwrap(), rows);
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
