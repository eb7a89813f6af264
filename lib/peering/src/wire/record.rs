//! A register in a message. Its values are validated when it is read.

use couic_common::{Cidr, Reason, Tag};
use serde::{Deserialize, Serialize};

use crate::{MAX_AHEAD, NodeId, Offer, Record, RecordState, Slot, Stamp, record::NEVER};

/// A register in a message. Not yet validated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WireRecord {
    /// `ADDRESS/PREFIX`.
    pub cidr: String,
    /// The time of its stamp.
    pub time: u64,
    /// The node of its stamp.
    pub node: NodeId,
    /// Expiration of the rule by its author's clock, 0 = never. Absent if the rule was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// By how much the sender's clock is ahead of the author's, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero_signed")]
    pub shift: i64,
    /// Time until which a replaced write may be in force on other nodes, by the author's clock; 0 = none, 1 = forever.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub covers: u64,
    /// Registers of other authors with an earlier time are ended, where this author is trusted with that; 0 = none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub revokes: u64,
    /// Whether the sender, who did not write it, holds it as ended: it takes back what it passed on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ended: bool,
    /// Whether what it revokes ends the rules of others at the sender, who did not write it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub heeded: bool,
    /// Why the rule is there. Nodes that know no reasons ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde requires"
)]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde requires"
)]
const fn is_zero_signed(n: &i64) -> bool {
    *n == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde requires"
)]
const fn is_false(b: &bool) -> bool {
    !*b
}

/// The value of `covers` for [`NEVER`].
const FOREVER: u64 = 1;

/// The greatest shift, in milliseconds: over two nodes, each with a clock as wrong as is accepted.
const MAX_SHIFT: u64 = 2 * MAX_AHEAD;

impl WireRecord {
    /// The message form of a register.
    #[must_use]
    pub fn new(cidr: Cidr, slot: &Slot, reason: Option<&Reason>) -> Self {
        let record = &slot.record;
        let until = match &record.state {
            RecordState::Deleted => None,
            RecordState::Live { until: NEVER, .. } => Some(0),
            RecordState::Live { until, .. } => Some(*until),
        };
        let Stamp { time, node } = record.stamp;
        Self {
            cidr: cidr.to_string(),
            time,
            node,
            until,
            tag: slot.tag().map(|tag| tag.as_str().to_owned()),
            shift: slot.shift,
            covers: if record.covers == NEVER {
                FOREVER
            } else {
                record.covers
            },
            revokes: record.revokes,
            ended: slot.ended,
            heeded: slot.heeded,
            reason: reason.map(|reason| reason.as_str().to_owned()),
        }
    }

    /// Validates the values. `gap` is by how many milliseconds the receiver's clock is ahead of the sender's.
    ///
    /// # Errors
    /// A description of the invalid value.
    pub fn read(&self, gap: i64) -> Result<Offer, String> {
        let said = |e: &dyn std::fmt::Display| {
            let cidr: String = self.cidr.chars().take(64).collect();
            format!("{cidr:?}: {e}")
        };
        let cidr: Cidr = self.cidr.parse().map_err(|e| said(&e))?;
        let shift = self.shift.saturating_add(gap);
        if shift.unsigned_abs() > MAX_SHIFT {
            return Err(said(&"its author's clock is more than two hours off"));
        }
        if self.revokes > self.time {
            return Err(said(&"it revokes what is later than itself"));
        }
        let state = match self.until {
            None => RecordState::Deleted,
            Some(until) => RecordState::Live {
                tag: Tag::parse(self.tag.as_deref().unwrap_or_default()).map_err(|e| said(&e))?,
                until: if until == 0 { NEVER } else { until },
            },
        };
        let covers = match self.covers {
            FOREVER => NEVER,
            until => until,
        };
        let stamp = Stamp {
            time: self.time,
            node: self.node,
        };
        let record = Record {
            stamp,
            state,
            covers,
            revokes: self.revokes,
        };
        Ok(Offer {
            cidr,
            record,
            shift,
            ended: self.ended,
            heeded: self.heeded,
            reason: self.reason.as_deref().and_then(Reason::of),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PeerId;

    fn slot(state: RecordState, covers: u64) -> Slot {
        let stamp = Stamp {
            time: 7 << 16,
            node: NodeId(9),
        };
        Slot {
            record: Record {
                stamp,
                state,
                covers,
                revokes: 3,
            },
            shift: 50,
            from: PeerId::SELF,
            direct: false,
            ended: false,
            heeded: false,
            in_force: false,
            reason: couic_common::ReasonId::NONE,
        }
    }

    fn live(tag: &str, until: u64) -> RecordState {
        let tag = Tag::parse(tag).unwrap();
        RecordState::Live { tag, until }
    }

    #[test]
    fn registers_round_trip_as_their_author_wrote_them() {
        let cidr: Cidr = "10.0.0.0/8".parse().unwrap();
        let why = Reason::of("sshd: 5 failures").unwrap();
        for (state, covers) in [
            (RecordState::Deleted, 0),
            (live("", NEVER), NEVER),
            (live("t", 5_000), 9_000),
        ] {
            let before = slot(state, covers);
            let text = serde_json::to_string(&WireRecord::new(cidr, &before, Some(&why))).unwrap();
            let read: WireRecord = serde_json::from_str(&text).unwrap();
            let read = read.read(-80).unwrap();
            assert_eq!((read.cidr, read.record), (cidr, before.record), "{text}");
            assert_eq!(read.reason.as_ref(), Some(&why));
            assert_eq!(read.shift, -30);
        }
    }

    #[test]
    fn invalid_registers_are_rejected() {
        for bad in [
            r#"{"cidr":"1.2.3.4","time":1,"node":"0000000000000001"}"#,
            r#"{"cidr":"1.0.0.0/8","time":1,"node":"0000000000000001","until":0,"tag":"x.couic"}"#,
            r#"{"cidr":"1.0.0.0/8","time":1,"node":"0000000000000001","until":0,"tag":"é"}"#,
            r#"{"cidr":"1.0.0.0/8","time":1,"node":"0000000000000001","shift":-8000000}"#,
            r#"{"cidr":"1.0.0.0/8","time":1,"node":"0000000000000001","revokes":2}"#,
        ] {
            let read: WireRecord = serde_json::from_str(bad).unwrap();
            assert!(read.read(0).is_err(), "{bad}");
        }
        let far: WireRecord =
            serde_json::from_str(r#"{"cidr":"1.0.0.0/8","time":1,"node":"0000000000000001"}"#)
                .unwrap();
        assert!(far.read(i64::MIN).is_err());
    }
}
