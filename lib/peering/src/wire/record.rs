//! A register in a message. Its values are validated, and its times translated, when it is read.

use couic_common::{Cidr, Tag};
use serde::{Deserialize, Serialize};

use crate::{NodeId, Record, RecordState, Stamp, record::NEVER};

/// A register in a message. Not yet validated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WireRecord {
    /// `ADDRESS/PREFIX`.
    pub cidr: String,
    /// The time of its stamp.
    pub time: u64,
    /// The node of its stamp.
    pub node: NodeId,
    /// Expiration of the rule, 0 = never. Absent if the rule was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Time until which a replaced write may be in force on other nodes; 0 = none, 1 = forever.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub covers: u64,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde requires"
)]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The value of `covers` for [`NEVER`].
const FOREVER: u64 = 1;

impl WireRecord {
    /// The message form of a register.
    #[must_use]
    pub fn new(cidr: Cidr, record: &Record) -> Self {
        let (until, tag) = match &record.state {
            RecordState::Deleted => (None, None),
            RecordState::Live { tag, until } => {
                let tag = tag.as_ref().map(|t| t.as_str().to_owned());
                (Some(if *until == NEVER { 0 } else { *until }), tag)
            }
        };
        let Stamp { time, node } = record.stamp;
        Self {
            cidr: cidr.to_string(),
            time,
            node,
            until,
            tag,
            covers: if record.covers == NEVER {
                FOREVER
            } else {
                record.covers
            },
        }
    }

    /// Validates the values, and translates times by `gap` milliseconds.
    ///
    /// # Errors
    /// A description of the invalid value.
    pub fn read(&self, gap: i64) -> Result<(Cidr, Record), String> {
        let said = |e: &dyn std::fmt::Display| {
            let cidr: String = self.cidr.chars().take(64).collect();
            format!("{cidr:?}: {e}")
        };
        let cidr: Cidr = self.cidr.parse().map_err(|e| said(&e))?;
        let shifted = |ms: u64| ms.saturating_add_signed(gap).clamp(2, NEVER - 1);
        let state = match self.until {
            None => RecordState::Deleted,
            Some(until) => RecordState::Live {
                tag: Tag::parse(self.tag.as_deref().unwrap_or_default()).map_err(|e| said(&e))?,
                until: if until == 0 { NEVER } else { shifted(until) },
            },
        };
        let covers = match self.covers {
            0 => 0,
            FOREVER => NEVER,
            until => shifted(until),
        };
        let stamp = Stamp {
            time: self.time,
            node: self.node,
        };
        Ok((
            cidr,
            Record {
                stamp,
                state,
                covers,
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(state: RecordState, covers: u64) -> Record {
        Record {
            stamp: Stamp {
                time: 7 << 16,
                node: NodeId(9),
            },
            state,
            covers,
        }
    }

    #[test]
    fn registers_round_trip_and_times_are_translated() {
        let cidr: Cidr = "10.0.0.0/8".parse().unwrap();
        for (state, covers) in [
            (RecordState::Deleted, 0),
            (
                RecordState::Live {
                    tag: None,
                    until: NEVER,
                },
                NEVER,
            ),
            (
                RecordState::Live {
                    tag: Tag::parse("t").unwrap(),
                    until: 5_000,
                },
                9_000,
            ),
        ] {
            let before = record(state, covers);
            let text = serde_json::to_string(&WireRecord::new(cidr, &before)).unwrap();
            let read: WireRecord = serde_json::from_str(&text).unwrap();
            assert_eq!(read.read(0), Ok((cidr, before)), "{text}");
        }
        let finite = record(
            RecordState::Live {
                tag: None,
                until: 5_000,
            },
            9_000,
        );
        let (_, moved) = WireRecord::new(cidr, &finite).read(-1_000).unwrap();
        assert_eq!((moved.to_cover(), moved.ends(NEVER)), (8_000, 8_000));
        let (_, early) = WireRecord::new(cidr, &finite).read(i64::MIN).unwrap();
        assert!(!early.is_live(10));
    }

    #[test]
    fn invalid_registers_are_rejected() {
        for bad in [
            r#"{"cidr":"1.2.3.4","time":1,"node":"0000000000000001"}"#,
            r#"{"cidr":"1.0.0.0/8","time":1,"node":"0000000000000001","until":0,"tag":"x.couic"}"#,
            r#"{"cidr":"1.0.0.0/8","time":1,"node":"0000000000000001","until":0,"tag":"é"}"#,
        ] {
            let read: WireRecord = serde_json::from_str(bad).unwrap();
            assert!(read.read(0).is_err(), "{bad}");
        }
    }
}
