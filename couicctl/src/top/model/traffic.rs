//! Rates from counters: packets and bits per second by verdict and by tag, and their history.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use couic_common::{Counter, Metrics};

use crate::render;

/// Readings kept: ten minutes at one a second.
const HISTORY: usize = 600;

/// Packets and bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::top) struct Flow {
    pub(in crate::top) packets: f64,
    pub(in crate::top) bits: f64,
}

impl Flow {
    /// None if a counter was reset, or no time has passed.
    fn between(before: Counter, after: Counter, elapsed: Duration) -> Option<Self> {
        let (packets, bytes) = render::per_second(before, after, elapsed)?;
        Some(Self {
            packets,
            bits: bytes * 8.0,
        })
    }
}

/// Frames that rules of policy drop with this tag decided about.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::top) struct Tag {
    pub(in crate::top) name: String,
    pub(in crate::top) total: Counter,
    pub(in crate::top) flow: Option<Flow>,
}

/// The order of tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::top) enum TagSort {
    #[default]
    Rate,
    Total,
    Name,
}

impl TagSort {
    pub(in crate::top) const fn next(self) -> Self {
        match self {
            Self::Rate => Self::Total,
            Self::Total => Self::Name,
            Self::Name => Self::Rate,
        }
    }

    pub(in crate::top) const fn name(self) -> &'static str {
        match self {
            Self::Rate => "packets/s",
            Self::Total => "packets",
            Self::Name => "name",
        }
    }
}

/// Packets per second of one reading; `None` = not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::top) struct Point {
    pub(in crate::top) pass: Option<f64>,
    pub(in crate::top) drop: Option<f64>,
}

/// The rates of the last reading, and their history.
#[derive(Debug, Default)]
pub(in crate::top) struct Traffic {
    pub(in crate::top) pass: Option<Flow>,
    pub(in crate::top) drop: Option<Flow>,
    pub(in crate::top) aborted: Option<Flow>,
    pub(in crate::top) tags: Vec<Tag>,
    last: Option<(Instant, Metrics)>,
    history: VecDeque<Point>,
    /// Readings ever made, so that the columns of the history do not flicker.
    readings: usize,
}

impl Traffic {
    pub(super) fn take(&mut self, metrics: Metrics, at: Instant) {
        let last = self.last.take();
        let elapsed = last.as_ref().map_or(Duration::ZERO, |(before, _)| {
            at.saturating_duration_since(*before)
        });
        let last = last.map(|(_, metrics)| metrics);
        let flow =
            |of: fn(&Metrics) -> Counter| Flow::between(of(last.as_ref()?), of(&metrics), elapsed);
        self.pass = flow(|m| m.stats.xdp.xdp_pass);
        self.drop = flow(|m| m.stats.xdp.xdp_drop);
        self.aborted = flow(|m| m.stats.xdp.xdp_aborted);
        let tag = |(name, total): (&String, &Counter)| {
            // A tag that is new began at zero.
            let before = last.as_ref().map(|last| last.drop_tags.get(name).copied());
            let before = before.map(Option::unwrap_or_default);
            Tag {
                name: name.clone(),
                total: *total,
                flow: before.and_then(|before| Flow::between(before, *total, elapsed)),
            }
        };
        self.tags = metrics.drop_tags.iter().map(tag).collect();
        self.record(Point {
            pass: self.pass.map(|flow| flow.packets),
            drop: self.drop.map(|flow| flow.packets),
        });
        self.last = Some((at, metrics));
    }

    /// A reading that failed.
    pub(super) fn gap(&mut self) {
        (self.pass, self.drop, self.aborted) = (None, None, None);
        self.tags.iter_mut().for_each(|tag| tag.flow = None);
        self.record(Point::default());
    }

    fn record(&mut self, point: Point) {
        self.history.push_back(point);
        self.readings += 1;
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
    }

    /// Rules in force, drop and ignore.
    pub(in crate::top) fn rules(&self) -> Option<(u64, u64)> {
        let (_, metrics) = self.last.as_ref()?;
        Some((
            metrics.stats.drop_cidr_count,
            metrics.stats.ignore_cidr_count,
        ))
    }

    /// The history in this many columns, oldest first: the mean of each, and the readings a column has.
    pub(in crate::top) fn columns(
        &self,
        width: usize,
        of: fn(&Point) -> Option<f64>,
    ) -> (Vec<Option<u64>>, usize) {
        if width == 0 {
            return (Vec::new(), 1);
        }
        // Five minutes on a screen of 80 columns, the minutes that there are on a wider one.
        let per = (HISTORY / 2).div_ceil(width).max(1);
        let first = self.readings - self.history.len();
        let mut columns: Vec<(usize, f64, u64)> = Vec::new();
        for (index, point) in self.history.iter().enumerate() {
            let column = (first + index) / per;
            if columns.last().is_none_or(|(last, ..)| *last != column) {
                columns.push((column, 0.0, 0));
            }
            if let (Some(value), Some((_, sum, count))) = (of(point), columns.last_mut()) {
                *sum += value;
                *count += 1;
            }
        }
        let mean = |(_, sum, count): &(usize, f64, u64)| {
            (*count > 0).then(|| (sum / *count as f64).ceil() as u64)
        };
        let skipped = columns.len().saturating_sub(width);
        (columns[skipped..].iter().map(mean).collect(), per)
    }

    /// The tags in this order.
    pub(in crate::top) fn sorted(&self, sort: TagSort) -> Vec<&Tag> {
        let mut tags: Vec<&Tag> = self.tags.iter().collect();
        let rate = |tag: &Tag| tag.flow.map_or(-1.0, |flow| flow.packets);
        match sort {
            TagSort::Rate => tags.sort_by(|a, b| {
                let rates = rate(b).total_cmp(&rate(a));
                rates.then(b.total.rx_packets.cmp(&a.total.rx_packets))
            }),
            TagSort::Total => tags.sort_by_key(|tag| std::cmp::Reverse(tag.total.rx_packets)),
            // The daemon's order.
            TagSort::Name => {}
        }
        tags
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn metrics(drop: u64, tags: &[(&str, u64)]) -> Metrics {
        let counter = |n: u64| Counter {
            rx_packets: n,
            rx_bytes: 100 * n,
        };
        let mut metrics = Metrics::default();
        metrics.stats.xdp.xdp_drop = counter(drop);
        metrics.drop_tags = tags
            .iter()
            .map(|(t, n)| ((*t).to_owned(), counter(*n)))
            .collect();
        metrics
    }

    #[test]
    fn rates_of_verdicts_and_tags() {
        let start = Instant::now();
        let mut traffic = Traffic::default();
        traffic.take(metrics(10, &[("a", 1), ("b", 9)]), start);
        assert!(traffic.drop.is_none() && traffic.tags.iter().all(|t| t.flow.is_none()));
        let next = metrics(50, &[("a", 21), ("b", 9), ("new", 4)]);
        traffic.take(next, start + Duration::from_secs(2));
        let flow = traffic.drop.unwrap();
        assert_eq!((flow.packets, flow.bits), (20.0, 16_000.0));
        let names = |sort| -> Vec<_> {
            let tags = traffic.sorted(sort);
            tags.iter()
                .map(|t| (t.name.as_str(), t.flow.unwrap().packets))
                .collect()
        };
        assert_eq!(
            names(TagSort::Rate),
            [("a", 10.0), ("new", 2.0), ("b", 0.0)]
        );
        assert_eq!(names(TagSort::Total)[..2], [("a", 10.0), ("b", 0.0)]);
        assert_eq!(names(TagSort::Name)[1], ("b", 0.0));
        // A restart resets counters.
        traffic.take(metrics(0, &[("a", 0)]), start + Duration::from_secs(3));
        assert!(traffic.drop.is_none() && traffic.tags[0].flow.is_none());
    }

    #[test]
    fn the_history_is_bounded_and_fits_any_width() {
        let mut traffic = Traffic::default();
        let start = Instant::now();
        for second in 0..2_000 {
            let at = start + Duration::from_secs(second);
            traffic.take(metrics(7 * second, &[]), at);
        }
        traffic.gap();
        for width in [0, 1, 7, 80, 300, 1_000] {
            let (columns, per) = traffic.columns(width, |p| p.drop);
            assert!(columns.len() <= width && per >= 1, "{width}");
            let (_, full) = columns
                .split_last()
                .map_or((None, &[][..]), |(l, f)| (*l, f));
            assert!(full.iter().all(|c| *c == Some(7)), "{width}: {columns:?}");
        }
        assert_eq!(traffic.columns(300, |p| p.drop).0.last(), Some(&None));
    }
}
