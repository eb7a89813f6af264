//! The record of a request's reports.
//!
//! A row repeats nothing of the row before it: lists have one tag, owner and expiration in thousands of rows.

use couic_common::{Cidr, OwnerKind, PeerAction, Policy};
use uuid::Uuid;

use super::{BATCH, id};
use crate::codec::{Malformed, Put, Take};

// The bits of a row's first byte.
const REMOVE: u8 = 1;
const DROP: u8 = 2;
const IGNORE: u8 = 4;
const SAME_TAG: u8 = 8;
const SAME_TIME: u8 = 16;
const SAME_EXPIRATION: u8 = 32;
const SAME_REASON: u8 = 64;
const SAME_OWNER: u8 = 128;

/// The offset of the numbers of removes and adds: after the kind and the id.
const COUNTS: usize = 1 + 16;

/// One report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    pub(crate) action: PeerAction,
    pub(crate) policy: Option<Policy>,
    pub(crate) cidr: Cidr,
    /// Empty if it has none.
    pub(crate) tag: &'a str,
    /// When, as the sender says, Unix seconds; 0 if it does not say.
    pub(crate) at: u64,
    /// Unix seconds; 0 = never.
    pub(crate) expiration: u64,
    /// Empty if it has none.
    pub(crate) reason: &'a str,
    pub(crate) owner: Option<(OwnerKind, Option<&'a str>)>,
}

/// The reports of one request.
pub(crate) struct BatchRecord<'a> {
    /// The sender's id of the request, the same in every attempt.
    pub(crate) id: Option<Uuid>,
    /// The Couic instance that sent it.
    pub(crate) source: &'a str,
    /// When it was received, Unix seconds; None in files of format 2.
    pub(crate) received: Option<u64>,
    pub(crate) removes: u32,
    pub(crate) adds: u32,
    rows: Take<'a>,
}

impl Row<'_> {
    /// An add with nothing else.
    pub(crate) fn add(cidr: Cidr) -> Self {
        Row {
            action: PeerAction::Add,
            policy: None,
            cidr,
            tag: "",
            at: 0,
            expiration: 0,
            reason: "",
            owner: None,
        }
    }
}

impl<'a> BatchRecord<'a> {
    pub(super) fn decode(mut from: Take<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            id: id(&mut from)?,
            removes: from.u32()?,
            adds: from.u32()?,
            received: Some(from.u64()?),
            source: from.short()?,
            rows: from,
        })
    }

    pub(super) fn decode_old(mut from: Take<'a>) -> Result<Self, Malformed> {
        Ok(Self {
            id: id(&mut from)?,
            removes: from.u32()?,
            adds: from.u32()?,
            received: None,
            source: from.short()?,
            rows: from,
        })
    }

    /// The reports, in the order of the request. Format 2 has the adds only.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Result<Row<'a>, Malformed>> + use<'a> {
        let mut rows = Take(self.rows.0);
        let is_old = self.received.is_none();
        let count = if is_old {
            self.adds
        } else {
            self.adds.saturating_add(self.removes)
        };
        let mut last = None;
        (0..count).map(move |_| {
            let row = if is_old {
                let cidr = rows.cidr()?;
                let tag = rows.short()?;
                Row {
                    tag,
                    ..Row::add(cidr)
                }
            } else {
                read_row(&mut rows, last)?
            };
            last = Some(row);
            Ok(row)
        })
    }
}

fn read_row<'a>(from: &mut Take<'a>, last: Option<Row<'a>>) -> Result<Row<'a>, Malformed> {
    let bits = from.u8()?;
    let cidr = from.cidr()?;
    let last = last.unwrap_or(Row::add(cidr));
    let is = |bit: u8| bits & bit != 0;
    Ok(Row {
        action: if is(REMOVE) {
            PeerAction::Remove
        } else {
            PeerAction::Add
        },
        policy: match (is(DROP), is(IGNORE)) {
            (true, _) => Some(Policy::Drop),
            (_, true) => Some(Policy::Ignore),
            _ => None,
        },
        cidr,
        tag: if is(SAME_TAG) {
            last.tag
        } else {
            from.short()?
        },
        at: if is(SAME_TIME) { last.at } else { from.u64()? },
        expiration: if is(SAME_EXPIRATION) {
            last.expiration
        } else {
            from.u64()?
        },
        reason: if is(SAME_REASON) {
            last.reason
        } else {
            from.short()?
        },
        owner: if is(SAME_OWNER) {
            last.owner
        } else {
            read_owner(from)?
        },
    })
}

fn read_owner<'a>(from: &mut Take<'a>) -> Result<Option<(OwnerKind, Option<&'a str>)>, Malformed> {
    let kind = match from.u8()? {
        0 => return Ok(None),
        1 => OwnerKind::Set,
        2 => OwnerKind::Client,
        3 => OwnerKind::Peer,
        _ => return Err(Malformed),
    };
    let name = from.short()?;
    Ok(Some((kind, (!name.is_empty()).then_some(name))))
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
    last: Last,
    out: Vec<u8>,
}

/// What the last row had: the places of its texts in the record.
#[derive(Default)]
struct Last {
    at: u64,
    expiration: u64,
    tag: (usize, usize),
    reason: (usize, usize),
    owner: (usize, usize),
}

impl BatchWriter {
    /// `received` is the time, `expected` an estimate of the size.
    pub(crate) fn new(id: Option<Uuid>, source: &str, received: u64, expected: usize) -> Self {
        let mut out = Vec::with_capacity(64 + source.len() + expected);
        out.put_u8(BATCH);
        out.put_u128(id.unwrap_or_default().as_u128());
        out.put_u64(0);
        out.put_u64(received);
        out.put_short(source);
        Self {
            id,
            adds: 0,
            removes: 0,
            last: Last::default(),
            out,
        }
    }

    pub(crate) fn push(&mut self, row: &Row<'_>) {
        let mut bits = match row.policy {
            None => 0,
            Some(Policy::Drop) => DROP,
            Some(Policy::Ignore) => IGNORE,
        };
        if row.action == PeerAction::Remove {
            bits |= REMOVE;
            self.removes += 1;
        } else {
            self.adds += 1;
        }
        let start = self.out.len();
        self.out.put_u8(0);
        self.out.put_cidr(row.cidr);
        bits |= put_text(&mut self.out, &mut self.last.tag, row.tag, SAME_TAG);
        bits |= put_number(&mut self.out, &mut self.last.at, row.at, SAME_TIME);
        let expiration = &mut self.last.expiration;
        bits |= put_number(&mut self.out, expiration, row.expiration, SAME_EXPIRATION);
        bits |= put_text(
            &mut self.out,
            &mut self.last.reason,
            row.reason,
            SAME_REASON,
        );
        bits |= self.put_owner(row.owner);
        self.out[start] = bits;
    }

    fn put_owner(&mut self, owner: Option<(OwnerKind, Option<&str>)>) -> u8 {
        let start = self.out.len();
        if let Some((kind, name)) = owner {
            self.out.put_u8(match kind {
                OwnerKind::Set => 1,
                OwnerKind::Client => 2,
                OwnerKind::Peer => 3,
            });
            self.out.put_short(name.unwrap_or_default());
        }
        let (from, to) = self.last.owner;
        if self.out[from..to] == self.out[start..] {
            self.out.truncate(start);
            return SAME_OWNER;
        }
        self.last.owner = (start, self.out.len());
        if owner.is_none() {
            self.out.put_u8(0);
        }
        0
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
            ..
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

/// Writes a text, unless it is the last one: `same` then.
fn put_text(out: &mut Vec<u8>, last: &mut (usize, usize), text: &str, same: u8) -> u8 {
    let text = &text[..text.floor_char_boundary(usize::from(u8::MAX))];
    if &out[last.0..last.1] == text.as_bytes() {
        return same;
    }
    out.put_short(text);
    *last = (out.len() - text.len(), out.len());
    0
}

fn put_number(out: &mut Vec<u8>, last: &mut u64, number: u64, same: u8) -> u8 {
    if *last == number {
        return same;
    }
    out.put_u64(number);
    *last = number;
    0
}
