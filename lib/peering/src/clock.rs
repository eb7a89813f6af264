//! Time: the order of writes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Maximum offset of a peer's wall clock ahead of the local one, in milliseconds. Beyond that, the clock counts as broken:
/// what it writes would outlive its correction.
pub const MAX_AHEAD: u64 = 60 * 60 * 1000;

/// The low bits of the time of a stamp, which count writes within a millisecond.
const COUNT_BITS: u32 = 16;

/// The current time by both clocks of a host, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Unix time. May jump.
    pub wall: u64,
    /// Monotonic time. Never jumps.
    pub mono: u64,
}

/// The id of a node for one run. The upper half is the machine's number, the author of its registers; the lower half is
/// new at each start, so that a node whose clock was set back while it was down never issues the same stamp twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

impl NodeId {
    /// The id of a node that starts now.
    #[must_use]
    pub fn started(machine: u32, start: u32) -> Self {
        Self(u64::from(machine) << 32 | u64::from(start))
    }

    /// The machine, across restarts of the node.
    #[must_use]
    pub const fn machine(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let id = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        id.map(Self).ok_or("a node is 16 hexadecimal digits")
    }
}

impl Serialize for NodeId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for NodeId {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        <String as utoipa::PartialSchema>::schema()
    }
}
#[cfg(feature = "openapi")]
impl utoipa::ToSchema for NodeId {}

/// A mark of the host that a machine's number belongs to, by a name of it that nobody else needs to know.
#[must_use]
pub fn mark_of_host(machine: u32, host: &str) -> u64 {
    twox_hash::XxHash3_64::oneshot_with_seed(u64::from(machine), host.as_bytes())
}

/// Time and node of a write to a register. The later one of a machine wins over its earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Unix milliseconds in the upper 48 bits, a counter in the lower 16.
    pub time: u64,
    /// Breaks ties between writes of the same time.
    pub node: NodeId,
}

impl Stamp {
    /// Unix milliseconds, by the clock of its writer.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.time >> COUNT_BITS
    }
}

/// The time of a write now that is later than `after`, in the form of [`Stamp::time`].
///
/// There is no clock beside the wall clock that others could move: what a register's last write has to be later than is
/// in the registers of its rule.
pub(crate) fn next_time(now: Moment, after: Option<u64>) -> u64 {
    let wall = now.wall << COUNT_BITS;
    wall.max(after.map_or(0, |time| time.saturating_add(1)))
}

impl Stamp {
    /// Whether the clock that made it is too far ahead.
    #[must_use]
    pub const fn is_ahead(self, now: Moment) -> bool {
        self.ms() > now.wall.saturating_add(MAX_AHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(wall: u64) -> Moment {
        Moment { wall, mono: 0 }
    }

    #[test]
    fn a_write_is_later_than_what_it_replaces_whatever_the_wall_clock_does() {
        let mut last = next_time(at(1_000_000), None);
        assert_eq!(last, 1_000_000 << COUNT_BITS);
        for wall in [1_000_000, 1_000_005, 400, 900] {
            let next = next_time(at(wall), Some(last));
            assert!(next > last, "{next:?} after {last:?}");
            last = next;
        }
        assert_eq!(next_time(at(1), Some(u64::MAX)), u64::MAX);
    }

    #[test]
    fn a_stamp_of_the_next_century_is_too_far_ahead() {
        let node = NodeId(1);
        let ahead = |ms: u64| {
            let time = ms << COUNT_BITS;
            Stamp { time, node }.is_ahead(at(1_000_000))
        };
        assert!(!ahead(1_000_000 + MAX_AHEAD) && ahead(1_000_001 + MAX_AHEAD));
        assert!(!ahead(0));
    }

    #[test]
    fn ids_round_trip_as_text() {
        let id = NodeId(0xab);
        assert_eq!(id.to_string(), "00000000000000ab");
        assert_eq!(id.to_string().parse(), Ok(id));
        let id = NodeId::started(7, 9);
        assert_eq!(
            (id.to_string().as_str(), id.machine()),
            ("0000000700000009", 7)
        );
        for bad in ["", "+0000000000000ab", "ab", "00000000000000ag"] {
            assert!(bad.parse::<NodeId>().is_err(), "{bad}");
        }
    }
}
