//! Time: the order of writes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Maximum offset of a peer's clock ahead of the local one, in milliseconds. Beyond that, the clock counts as broken: a
/// node with a clock in the next century would win every conflict forever.
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

/// The id of a node for one run. The upper half identifies the machine permanently; the lower half is new at each
/// start, so that a node whose clock was set back while it was down never issues the same stamp twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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

/// Time and node of a write to a register. The later one wins; no two writes have the same stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Unix milliseconds of the logical clock in the upper 48 bits, a counter in the lower 16.
    pub time: u64,
    /// Breaks ties between writes of the same time.
    pub node: NodeId,
}

impl Stamp {
    /// Unix milliseconds, by the logical clock.
    #[must_use]
    pub const fn ms(self) -> u64 {
        self.time >> COUNT_BITS
    }
}

/// The clock of a peer is too far ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its clock is {} min ahead of the local one: set the clocks (NTP), they may differ by an hour", .by_ms / 60_000)]
pub struct TooFarAhead {
    /// The offset in milliseconds.
    pub by_ms: u64,
}

/// A hybrid logical clock: never behind the wall clock or any observed stamp, and ticking between messages. A node
/// whose clock is late thus still orders its writes after those that it knows, even after a partition.
#[derive(Clone, Copy, Debug)]
pub struct Hlc {
    node: NodeId,
    /// A reading of the clock, and the monotonic time of that reading.
    base: (u64, u64),
    /// The latest time issued or observed.
    last: u64,
}

impl Hlc {
    /// The clock of a node without peers so far.
    #[must_use]
    pub const fn new(node: NodeId, now: Moment) -> Self {
        Self {
            node,
            base: (now.wall, now.mono),
            last: 0,
        }
    }

    /// The node of this clock.
    #[must_use]
    pub const fn node(&self) -> NodeId {
        self.node
    }

    /// The current reading, in the format of [`Stamp::time`].
    pub fn time(&mut self, now: Moment) -> u64 {
        let (shown, at) = self.base;
        let ticked = shown.saturating_add(now.mono.saturating_sub(at));
        self.base = (ticked.max(now.wall), now.mono);
        (self.base.0 << COUNT_BITS).max(self.last)
    }

    /// A stamp later than all those issued or observed.
    pub fn stamp(&mut self, now: Moment) -> Stamp {
        self.last = self.time(now).max(self.last.saturating_add(1));
        Stamp {
            time: self.last,
            node: self.node,
        }
    }

    /// Restores a time that this node issued or observed before a restart, so that new writes are later.
    pub fn recall(&mut self, time: u64) {
        self.last = self.last.max(time);
    }

    /// Observes a time issued by another node.
    ///
    /// # Errors
    /// [`TooFarAhead`]: the time is ignored.
    pub fn observe(&mut self, time: u64, now: Moment) -> Result<(), TooFarAhead> {
        let ms = time >> COUNT_BITS;
        let by_ms = ms.saturating_sub(now.wall);
        if by_ms > MAX_AHEAD {
            return Err(TooFarAhead { by_ms });
        }
        self.time(now);
        self.base.0 = self.base.0.max(ms);
        self.last = self.last.max(time);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(wall: u64, mono: u64) -> Moment {
        Moment { wall, mono }
    }

    #[test]
    fn stamps_only_grow_whatever_the_wall_clock_does() {
        let mut hlc = Hlc::new(NodeId(1), at(1_000_000, 0));
        let mut last = hlc.stamp(at(1_000_000, 0));
        for (wall, mono) in [(1_000_000, 0), (1_000_005, 5), (400, 6), (900, 500)] {
            let next = hlc.stamp(at(wall, mono));
            assert!(next > last, "{next:?} after {last:?}");
            last = next;
        }
        assert_eq!(last.ms(), 1_000_500, "it ticks on while the wall is behind");
    }

    #[test]
    fn a_late_clock_catches_up_and_keeps_ticking() {
        let mut late = Hlc::new(NodeId(1), at(700_000, 0));
        let mut right = Hlc::new(NodeId(2), at(1_000_000, 0));
        let seen = right.stamp(at(1_000_000, 0));
        late.observe(seen.time, at(700_010, 10)).unwrap();
        assert!(late.stamp(at(700_010, 10)) > seen);
        // After a partition of a minute, a new write is later than one of half a minute ago.
        let theirs = right.stamp(at(1_030_000, 30_000));
        assert!(late.stamp(at(760_000, 60_000)) > theirs);
    }

    #[test]
    fn a_clock_in_the_next_century_is_rejected() {
        let mut hlc = Hlc::new(NodeId(1), at(1_000_000, 0));
        let far = (1_000_000 + MAX_AHEAD + 60_000) << COUNT_BITS;
        let error = hlc.observe(far, at(1_000_000, 0)).unwrap_err();
        assert!(error.to_string().contains("61 min"), "{error}");
        assert_eq!(hlc.stamp(at(1_000_000, 0)).ms(), 1_000_000);
        assert!(hlc.observe(u64::MAX, at(0, 0)).is_err());
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
