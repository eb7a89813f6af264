//! The records, and their format on disk.
//!
//! A record is the complete state of its key. So the last one wins, repeating one is harmless, and a snapshot may be
//! written while changes continue.
//!
//! A payload is a byte for the kind and the kind's fields; numbers are little-endian. A text is a byte for its length and
//! its bytes. Kind 3, claims: policy, network, `u16` count, for each claim a byte for its owner's kind (0 an unknown
//! client, 1 a client, 2 a peer), the owner's name (empty if unknown), the tag (empty for none), `u64` expiration, `u64`
//! creation. Kind 5 is kind 3 with a reason at the end of each claim (empty for none); it is written only for rules that
//! have one, so that earlier versions read all others. Kinds 2, 4 and 6, a register of peering: see `register`.
//!
//! Kind 1 is read and no longer written: claims from before clients were told apart. It is kind 3 without the byte for the
//! kind, where an empty name is an unknown client's, and any other a peer's.

use std::net::IpAddr;

use couic_common::{Cidr, Policy, Reason, RuleKey, Tag};

use super::register::{RegisterRow, kind_of_register, put_register, read_register};
use crate::rules::{Claim, ClaimRef, Owner};

/// A persistent record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The claims on a rule.
    Claims(RuleClaims),
    /// A register of a rule that peers share: what one machine wrote.
    Register(RegisterRow),
}

/// The claims of clients and peers on a rule, in the order in which they are shown. Empty if they have none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleClaims {
    /// The rule.
    pub key: RuleKey,
    /// The claims. Those of sets are in the set files.
    pub claims: Vec<Claim>,
}

/// Kinds of payloads.
const END: u8 = 0;
const CLAIMS_BEFORE_OWNERS: u8 = 1;
const CLAIMS: u8 = 3;
const CLAIMS_WITH_REASONS: u8 = 5;

/// Kinds of owners.
const UNKNOWN_CLIENT: u8 = 0;
const CLIENT: u8 = 1;
const PEER: u8 = 2;

/// The most claims of a rule in a record: more than a mesh can have peers.
const MAX_CLAIMS: usize = 4096;

/// A parsed payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Payload {
    Record(Record),
    /// The last frame of a snapshot, with the number of records before it.
    End(u64),
}

impl Record {
    /// Appends the payload.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Claims(rule) => {
                put_claims(out, rule.key, rule.claims.iter().map(ClaimRef::from));
            }
            Self::Register(row) => put_register(out, row),
        }
    }
}

/// The kind and name of an owner in records of claims. None for a set, whose claims are not recorded.
fn kind_of(owner: &Owner) -> Option<(u8, &str)> {
    match owner {
        Owner::Set(_) => None,
        Owner::Api => Some((UNKNOWN_CLIENT, "")),
        Owner::Client(name) => Some((CLIENT, name.as_str())),
        Owner::Peer(name) => Some((PEER, name.as_str())),
    }
}

fn owner_of_kind(kind: u8, name: &str) -> Option<Owner> {
    match kind {
        UNKNOWN_CLIENT => name.is_empty().then_some(Owner::Api),
        CLIENT => Some(Owner::Client(name.parse().ok()?)),
        PEER => Some(Owner::Peer(name.parse().ok()?)),
        _ => None,
    }
}

fn owner_named(name: &str) -> Option<Owner> {
    match name {
        "" => Some(Owner::Api),
        name => Some(Owner::Peer(name.parse().ok()?)),
    }
}

/// Appends the payload of [`Record::Claims`].
pub(super) fn put_claims<'a>(
    out: &mut Vec<u8>,
    key: RuleKey,
    claims: impl Iterator<Item = ClaimRef<'a>> + Clone,
) {
    let has_reasons = claims.clone().any(|claim| claim.reason.is_some());
    out.push(if has_reasons {
        CLAIMS_WITH_REASONS
    } else {
        CLAIMS
    });
    put_key(out, key);
    let at = out.len();
    out.extend_from_slice(&[0; 2]);
    let mut count = 0_u16;
    let recorded = claims.filter_map(|claim| Some((kind_of(claim.owner)?, claim)));
    for ((kind, owner), claim) in recorded.take(MAX_CLAIMS) {
        count += 1;
        out.push(kind);
        put_text(out, owner);
        put_text(out, claim.tag.map_or("", Tag::as_str));
        out.extend_from_slice(&claim.expiration.to_le_bytes());
        out.extend_from_slice(&claim.creation.to_le_bytes());
        if has_reasons {
            put_text(out, claim.reason.map_or("", Reason::as_str));
        }
    }
    out[at..at + 2].copy_from_slice(&count.to_le_bytes());
}

/// Appends the payload of the end of a snapshot.
pub(super) fn write_end(out: &mut Vec<u8>, records: u64) {
    out.push(END);
    out.extend_from_slice(&records.to_le_bytes());
}

/// Parses a payload. None if it is invalid, or of a kind of a later version.
pub(super) fn read(payload: &[u8]) -> Option<Payload> {
    let mut reader = Reader(payload);
    let payload = match reader.u8()? {
        END => Payload::End(reader.u64()?),
        kind @ (CLAIMS | CLAIMS_WITH_REASONS) => {
            let owner = |reader: &mut Reader<'_>| owner_of_kind(reader.u8()?, reader.text()?);
            let has_reasons = kind == CLAIMS_WITH_REASONS;
            Payload::Record(Record::Claims(read_claims(
                &mut reader,
                owner,
                has_reasons,
            )?))
        }
        CLAIMS_BEFORE_OWNERS => {
            let owner = |reader: &mut Reader<'_>| owner_named(reader.text()?);
            Payload::Record(Record::Claims(read_claims(&mut reader, owner, false)?))
        }
        kind => {
            let row = read_register(&mut reader, kind_of_register(kind)?)?;
            Payload::Record(Record::Register(row))
        }
    };
    reader.0.is_empty().then_some(payload)
}

fn read_claims(
    reader: &mut Reader<'_>,
    owner: impl Fn(&mut Reader<'_>) -> Option<Owner>,
    has_reasons: bool,
) -> Option<RuleClaims> {
    let key = reader.key()?;
    let count = reader.u16()?;
    let mut claims = Vec::new();
    for _ in 0..count {
        claims.push(Claim {
            owner: owner(reader)?,
            tag: Tag::parse(reader.text()?).ok()?,
            expiration: reader.u64()?,
            creation: reader.u64()?,
            reason: if has_reasons { reader.reason()? } else { None },
        });
    }
    // The kind is written only if there is one.
    let is_right = !has_reasons || claims.iter().any(|claim| claim.reason.is_some());
    is_right.then_some(RuleClaims { key, claims })
}

/// Policy, family, length, address.
pub(super) fn put_key(out: &mut Vec<u8>, key: RuleKey) {
    out.push(match key.policy {
        Policy::Drop => 0,
        Policy::Ignore => 1,
    });
    let family = if key.cidr.is_ipv4() { 4 } else { 6 };
    out.extend_from_slice(&[family, key.cidr.prefix()]);
    match key.cidr.addr() {
        IpAddr::V4(addr) => out.extend_from_slice(&addr.octets()),
        IpAddr::V6(addr) => out.extend_from_slice(&addr.octets()),
    }
}

/// Names and tags have at most 64 bytes, reasons 200.
pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).unwrap_or(u8::MAX);
    out.push(length);
    out.extend_from_slice(&text.as_bytes()[..usize::from(length)]);
}

/// The rest of a payload.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.bytes().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.bytes().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.bytes().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.bytes().map(u64::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = usize::from(self.u8()?);
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    /// A reason, or the empty text for none.
    pub(super) fn reason(&mut self) -> Option<Option<Reason>> {
        let text = self.text()?;
        let reason = Reason::of(text);
        // What was written was fit to be kept.
        (reason.as_ref().map_or("", Reason::as_str) == text).then_some(reason)
    }

    pub(super) fn key(&mut self) -> Option<RuleKey> {
        let policy = match self.u8()? {
            0 => Policy::Drop,
            1 => Policy::Ignore,
            _ => return None,
        };
        let (family, length) = (self.u8()?, self.u8()?);
        let addr: IpAddr = match family {
            4 => self.bytes::<4>()?.into(),
            6 => self.bytes::<16>()?.into(),
            _ => return None,
        };
        let cidr = Cidr::new(addr, length).ok()?;
        // Networks with host bits are never written.
        (cidr.addr() == addr).then_some(RuleKey::new(policy, cidr))
    }
}

#[cfg(test)]
mod tests;
