//! Figures over time: by minute for a day, by quarter of an hour for 30 days.

use std::collections::BTreeMap;

use super::view::{Point, Range, Series, TrafficPoint};
use crate::codec::{Malformed, Put, Take};

pub(super) const MINUTE: u64 = 60;
pub(super) const HOUR: u64 = 3_600;
pub(super) const DAY: u64 = 86_400;
const QUARTER: u64 = 900;

/// How long quarters of an hour, and everything else of a firewall, are kept.
pub(super) const KEPT: u64 = 30 * DAY;

/// The figures of one firewall. Steps without any take no memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Steps {
    /// By time divided by the length of a step.
    minutes: BTreeMap<u64, Point>,
    quarters: BTreeMap<u64, Point>,
}

impl Range {
    /// The number of steps and their length in seconds.
    const fn steps(self) -> (usize, u64) {
        match self {
            Self::Hour => (60, MINUTE),
            Self::Day => (288, 300),
            Self::Week => (168, HOUR),
            Self::Month => (120, 6 * HOUR),
        }
    }

    /// Its length, in seconds.
    pub(super) const fn secs(self) -> u64 {
        let (count, step) = self.steps();
        count as u64 * step
    }

    /// The steps up to now, empty.
    pub(super) fn series(self, now: u64) -> Series {
        let (count, step_secs) = self.steps();
        Series {
            from: ((now / step_secs + 1) * step_secs).saturating_sub(self.secs()),
            step_secs,
            points: vec![Point::default(); count],
        }
    }
}

impl Steps {
    /// Adds the figures of a time, unless it is too long ago.
    pub(super) fn add(&mut self, at: u64, now: u64, figures: &Point) {
        if at + DAY >= now {
            self.minutes.entry(at / MINUTE).or_default().add(figures);
        }
        if at + KEPT >= now {
            self.quarters.entry(at / QUARTER).or_default().add(figures);
        }
    }

    /// Forgets what is too old, and what is in the future since the clock was set back.
    pub(super) fn prune(&mut self, now: u64) {
        for (steps, length, kept) in [
            (&mut self.minutes, MINUTE, DAY),
            (&mut self.quarters, QUARTER, KEPT),
        ] {
            let oldest = now.saturating_sub(kept) / length;
            let newest = (now + DAY) / length;
            steps.retain(|step, _| (oldest..=newest).contains(step));
        }
    }

    /// Adds the figures to those of other firewalls.
    pub(super) fn add_to(&self, series: &mut Series) {
        let (steps, length) = if series.step_secs < QUARTER {
            (&self.minutes, MINUTE)
        } else {
            (&self.quarters, QUARTER)
        };
        for (step, figures) in steps.range(series.from / length..) {
            let at = (step * length - series.from) / series.step_secs;
            let point = usize::try_from(at)
                .ok()
                .and_then(|at| series.points.get_mut(at));
            if let Some(point) = point {
                point.add(figures);
            }
        }
    }

    /// The totals since a time, to the minute, of at most a day.
    pub(super) fn since(&self, from: u64) -> Point {
        let mut total = Point::default();
        for (_, figures) in self.minutes.range(from / MINUTE..) {
            total.add(figures);
        }
        total
    }

    /// The number of steps that have figures.
    pub(super) fn len(&self) -> usize {
        self.minutes.len() + self.quarters.len()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for steps in [&self.minutes, &self.quarters] {
            out.put_u32(u32::try_from(steps.len()).unwrap_or(u32::MAX));
            for (step, figures) in steps {
                out.put_u64(*step);
                out.put_u64(figures.adds);
                out.put_u64(figures.removes);
                out.put_u8(u8::from(figures.traffic.is_some()));
                let numbers = figures.traffic.iter().flat_map(TrafficPoint::numbers);
                numbers.for_each(|number| out.put_u64(number));
            }
        }
    }

    pub(super) fn decode(from: &mut Take<'_>) -> Result<Self, Malformed> {
        let steps = |from: &mut Take<'_>| {
            let mut steps = BTreeMap::new();
            for _ in 0..from.u32()? {
                let step = from.u64()?;
                let figures = Point {
                    adds: from.u64()?,
                    removes: from.u64()?,
                    traffic: match from.u8()? {
                        0 => None,
                        _ => Some(TrafficPoint {
                            passed_packets: from.u64()?,
                            passed_bytes: from.u64()?,
                            dropped_packets: from.u64()?,
                            dropped_bytes: from.u64()?,
                        }),
                    },
                };
                steps.insert(step, figures);
            }
            Ok(steps)
        };
        Ok(Self {
            minutes: steps(from)?,
            quarters: steps(from)?,
        })
    }
}

impl Point {
    pub(super) fn add(&mut self, other: &Self) {
        self.adds = self.adds.saturating_add(other.adds);
        self.removes = self.removes.saturating_add(other.removes);
        if let Some(other) = other.traffic {
            let [a, b, c, d] = self.traffic.unwrap_or_default().numbers();
            let [e, f, g, h] = other.numbers();
            self.traffic = Some(TrafficPoint {
                passed_packets: a.saturating_add(e),
                passed_bytes: b.saturating_add(f),
                dropped_packets: c.saturating_add(g),
                dropped_bytes: d.saturating_add(h),
            });
        }
    }
}

impl TrafficPoint {
    fn numbers(&self) -> [u64; 4] {
        [
            self.passed_packets,
            self.passed_bytes,
            self.dropped_packets,
            self.dropped_bytes,
        ]
    }

    /// One of `n` parts of about the same size, whose sum is the whole.
    pub(super) fn part(&self, index: u64, n: u64) -> Self {
        let of = |number: u64| number / n + u64::from(index < number % n);
        Self {
            passed_packets: of(self.passed_packets),
            passed_bytes: of(self.passed_bytes),
            dropped_packets: of(self.dropped_packets),
            dropped_bytes: of(self.dropped_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_ends_with_the_open_step_and_sums_smaller_ones() {
        let now = 1_000_000 * HOUR + 90;
        let mut steps = Steps::default();
        for (at, adds) in [(now, 1), (now - 60, 2), (now - 3_600, 4), (now - 86_500, 8)] {
            steps.add(
                at,
                at,
                &Point {
                    adds,
                    ..Point::default()
                },
            );
        }
        let sum = |range: Range| -> Vec<u64> {
            let mut series = range.series(now);
            steps.add_to(&mut series);
            let points = series.points.iter().map(|point| point.adds);
            points.filter(|adds| *adds > 0).collect()
        };
        assert_eq!(sum(Range::Hour), [2, 1]);
        assert_eq!(sum(Range::Day), [4, 3]);
        assert_eq!(sum(Range::Week), [8, 4, 3]);
        let series = Range::Hour.series(now);
        assert_eq!(series.from + 59 * 60, now / 60 * 60);
        steps.prune(now);
        assert_eq!(steps.minutes.len(), 3);
        assert_eq!(steps.since(now - DAY).adds, 7);
        steps.prune(now - 3 * DAY);
        assert_eq!(steps.len(), 0);
    }

    #[test]
    fn parts_add_up() {
        let whole = TrafficPoint {
            passed_packets: 10,
            passed_bytes: 3,
            dropped_packets: 0,
            dropped_bytes: u64::MAX,
        };
        let mut sum = Point::default();
        for index in 0..7 {
            sum.add(&Point {
                traffic: Some(whole.part(index, 7)),
                ..Point::default()
            });
        }
        assert_eq!(sum.traffic, Some(whole));
    }
}
