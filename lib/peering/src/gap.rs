//! The offset between the clocks of two hosts.

use std::collections::VecDeque;

use crate::Moment;

/// Number of offset samples kept.
const SAMPLES: usize = 8;

/// Offsets up to this count as zero, whatever the measurement, in milliseconds.
const SAME_CLOCK: u64 = 20;

/// Maximum age of a sample, as clocks drift, in milliseconds.
const SAMPLE_AGE: u64 = 10 * 60 * 1000;

/// The offset of a peer's wall clock from the local one, measured as in NTP: the response is assumed to take half of
/// the round trip. The sample with the shortest round trip counts; its error is at most half of that.
#[derive(Clone, Debug, Default)]
pub struct Gap {
    samples: VecDeque<Sample>,
}

#[derive(Clone, Copy, Debug)]
struct Sample {
    gap: i64,
    round_trip: u64,
    at: u64,
}

impl Gap {
    /// Adds a sample: a request sent at `sent`, answered at `received`, with the peer's clock at `theirs`.
    pub fn measure(&mut self, sent: Moment, received: Moment, theirs: u64) {
        let round_trip = received.mono.saturating_sub(sent.mono);
        let ours = sent.wall.saturating_add(round_trip / 2);
        let gap = theirs.cast_signed().wrapping_sub(ours.cast_signed());
        let sample = Sample {
            gap,
            round_trip,
            at: received.mono,
        };
        // One of the clocks was set: older samples are invalid.
        if let Some(best) = self.best()
            && best.gap.abs_diff(gap) > (best.round_trip + round_trip) / 2 + 100
        {
            self.samples.clear();
        }
        let oldest = received.mono.saturating_sub(SAMPLE_AGE);
        self.samples.retain(|s| s.at >= oldest);
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    fn best(&self) -> Option<&Sample> {
        self.samples.iter().min_by_key(|s| s.round_trip)
    }

    /// The offset in milliseconds, positive if the peer's clock is ahead. None before the first sample. An offset
    /// within the error of measurement is zero, so that nodes with NTP have identical expirations.
    #[must_use]
    pub fn ms(&self) -> Option<i64> {
        let Sample {
            gap, round_trip, ..
        } = *self.best()?;
        let apart = gap.unsigned_abs() > round_trip / 2 + SAME_CLOCK;
        Some(if apart { gap } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(wall: u64, mono: u64) -> Moment {
        Moment { wall, mono }
    }

    #[test]
    fn the_shortest_round_trip_determines_the_gap() {
        let mut gap = Gap::default();
        assert_eq!(gap.ms(), None);
        gap.measure(at(1_000, 0), at(1_100, 100), 301_090);
        assert_eq!(gap.ms(), Some(300_040));
        gap.measure(at(2_000, 1_000), at(2_010, 1_010), 302_005);
        assert_eq!(gap.ms(), Some(300_000));
        // A slow sample is ignored; one that contradicts the others replaces them.
        gap.measure(at(3_000, 2_000), at(4_000, 3_000), 303_900);
        assert_eq!(gap.ms(), Some(300_000));
        gap.measure(at(5_000, 4_000), at(5_020, 4_020), 5_010);
        assert_eq!(gap.ms(), Some(0));
        // The error is up to half of the round trip.
        let mut gap = Gap::default();
        gap.measure(at(1_000, 0), at(2_000, 1_000), 1_950);
        assert_eq!(gap.ms(), Some(0));
        gap.measure(at(3_000, 2_000), at(3_100, 2_100), 3_550);
        assert_eq!(gap.ms(), Some(500));
    }
}
