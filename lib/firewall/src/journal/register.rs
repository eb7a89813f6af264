//! Registers of peering, as records.
//!
//! Kind 4: policy, network, `u32` author, a byte for its state (0 forgotten, 1 deleted, 2 live); unless forgotten `u64`
//! time and `u64` node of the stamp, `u64` covers, `u64` revokes, `i64` shift, a byte of flags (1 direct, 2 ended, 4 heeded), the
//! peer's name (empty for this node); if live the tag, `u64` until.
//!
//! Kind 6 is kind 4 with a reason at the end; it is written only if there is one.
//!
//! Kind 2 is of versions with one register per rule: no author, revokes, shift and flags. Its owner's name is the peer's.

use couic_common::{ClientName, Reason, RuleKey, Tag};
use couic_peering::{NodeId, Record as Written, RecordState, Stamp};

use super::record::{Reader, put_key, put_text};

/// A register of peering, or that it was forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterRow {
    /// The rule.
    pub key: RuleKey,
    /// The machine that writes it; None for the only register of a rule, as of earlier versions.
    pub author: Option<u32>,
    /// The register; None if it was forgotten.
    pub register: Option<Register>,
}

/// The content of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// The last write.
    pub record: Written,
    /// By how much this machine's clock is ahead of the writer's, in milliseconds.
    pub shift: i64,
    /// The peer that it came from; None for this node.
    pub from: Option<ClientName>,
    /// Whether that peer wrote it.
    pub direct: bool,
    /// Whether it was ended here.
    pub ended: bool,
    /// Whether what it revokes ends the rules of others here.
    pub heeded: bool,
    /// Why the rule is there.
    pub reason: Option<Reason>,
}

/// Kinds of payloads.
const OLD_REGISTER: u8 = 2;
const REGISTER: u8 = 4;
const REGISTER_WITH_REASON: u8 = 6;

/// States of a register.
const FORGOTTEN: u8 = 0;
const DELETED: u8 = 1;
const LIVE: u8 = 2;

/// Flags.
const DIRECT: u8 = 1;
const ENDED: u8 = 2;
const HEEDED: u8 = 4;

/// A kind of registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RegisterKind {
    Old,
    Plain,
    WithReason,
}

pub(super) const fn kind_of_register(kind: u8) -> Option<RegisterKind> {
    match kind {
        OLD_REGISTER => Some(RegisterKind::Old),
        REGISTER => Some(RegisterKind::Plain),
        REGISTER_WITH_REASON => Some(RegisterKind::WithReason),
        _ => None,
    }
}

pub(super) fn put_register(out: &mut Vec<u8>, row: &RegisterRow) {
    let RegisterRow {
        key,
        author,
        register,
    } = row;
    let reason = register.as_ref().and_then(|r| r.reason.as_ref());
    out.push(match reason {
        Some(_) => REGISTER_WITH_REASON,
        None => REGISTER,
    });
    put_key(out, *key);
    out.extend_from_slice(&author.unwrap_or(0).to_le_bytes());
    let Some(register) = register else {
        return out.push(FORGOTTEN);
    };
    let record = &register.record;
    out.push(match record.state {
        RecordState::Deleted => DELETED,
        RecordState::Live { .. } => LIVE,
    });
    let Stamp { time, node } = record.stamp;
    for number in [time, node.0, record.covers, record.revokes] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&register.shift.to_le_bytes());
    let flags = [
        (register.direct, DIRECT),
        (register.ended, ENDED),
        (register.heeded, HEEDED),
    ];
    out.push(
        flags
            .iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, flag)| flag)
            .sum(),
    );
    put_text(out, register.from.as_ref().map_or("", ClientName::as_str));
    if let RecordState::Live { tag, until } = &record.state {
        put_text(out, tag.as_ref().map_or("", Tag::as_str));
        out.extend_from_slice(&until.to_le_bytes());
    }
    if let Some(reason) = reason {
        put_text(out, reason.as_str());
    }
}

/// Reads a register of this kind.
pub(super) fn read_register(reader: &mut Reader<'_>, kind: RegisterKind) -> Option<RegisterRow> {
    let old = kind == RegisterKind::Old;
    let key = reader.key()?;
    let author = if old { None } else { Some(reader.u32()?) };
    let says = reader.u8()?;
    let register = match says {
        FORGOTTEN if kind != RegisterKind::WithReason => None,
        DELETED | LIVE => {
            let (time, node) = (reader.u64()?, NodeId(reader.u64()?));
            let covers = reader.u64()?;
            let (revokes, shift, flags) = if old {
                (0, 0, 0)
            } else {
                (reader.u64()?, reader.u64()?.cast_signed(), reader.u8()?)
            };
            let from = match reader.text()? {
                "" => None,
                name => Some(name.parse().ok()?),
            };
            let state = if says == DELETED {
                RecordState::Deleted
            } else {
                let tag = Tag::parse(reader.text()?).ok()?;
                let until = reader.u64()?;
                RecordState::Live { tag, until }
            };
            let record = Written {
                stamp: Stamp { time, node },
                state,
                covers,
                revokes,
            };
            let reason = match kind {
                RegisterKind::WithReason => Some(reader.reason()??),
                RegisterKind::Old | RegisterKind::Plain => None,
            };
            Some(Register {
                record,
                shift,
                from,
                direct: flags & DIRECT != 0,
                ended: flags & ENDED != 0,
                heeded: flags & HEEDED != 0,
                reason,
            })
        }
        _ => return None,
    };
    Some(RegisterRow {
        key,
        author,
        register,
    })
}

#[cfg(test)]
mod tests {
    use couic_common::Policy;

    use super::{
        super::record::{Payload, Record, read},
        *,
    };

    fn register(state: RecordState, from: Option<&str>) -> Register {
        let stamp = Stamp {
            time: 77,
            node: NodeId::started(5, 6),
        };
        Register {
            record: Written {
                stamp,
                state,
                covers: 8,
                revokes: 9,
            },
            shift: -3,
            from: from.map(|name| name.parse().unwrap()),
            direct: from.is_some(),
            ended: from.is_none(),
            heeded: from.is_some(),
            reason: None,
        }
    }

    #[test]
    fn registers_round_trip() {
        let live = RecordState::Live {
            tag: Tag::parse("t").unwrap(),
            until: 4,
        };
        let mut with_reason = register(live.clone(), None);
        with_reason.reason = Reason::of("sshd: 5 failures");
        for register in [
            None,
            Some(register(RecordState::Deleted, None)),
            Some(register(live, Some("fw2"))),
            Some(with_reason),
        ] {
            let row = RegisterRow {
                key: RuleKey::new(Policy::Ignore, "2001:db8::/32".parse().unwrap()),
                author: Some(5),
                register,
            };
            let mut bytes = Vec::new();
            put_register(&mut bytes, &row);
            let whole = read(&bytes);
            assert_eq!(whole, Some(Payload::Record(Record::Register(row))));
            for cut in 0..bytes.len() {
                assert_eq!(read(&bytes[..cut]), None);
            }
        }
    }
}
