//! Counting requests, on the hot path of a hundred thousand per second.

use std::{sync::OnceLock, time::Duration};

use prometheus::{
    Counter, CounterVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts,
    Registry,
};

/// In seconds. Most requests take some 20 µs, a reload of large sets half a second.
const BUCKETS: [f64; 16] = [
    0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0, 5.0,
];

/// A power of two, several times the number of combinations of route, method and status (some 20 × 3 × 4).
const SLOTS: usize = 1024;

/// Slots tried before falling back to a lookup in the vectors, which costs more.
const PROBES: usize = 16;

/// The handles of one combination.
struct Slot {
    key: Key,
    count: IntCounter,
    seconds: Counter,
    duration: Histogram,
}

impl Slot {
    fn observe(&self, seconds: f64) {
        self.count.inc();
        self.seconds.inc_by(seconds);
        self.duration.observe(seconds);
    }
}

/// Strings by address: two copies of one string have two slots, which share their handles.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    route: (usize, usize),
    method: (usize, usize),
    status: u16,
}

impl Key {
    fn new(route: &'static str, method: &'static str, status: u16) -> Self {
        let place = |text: &'static str| (text.as_ptr().addr(), text.len());
        Self {
            route: place(route),
            method: place(method),
            status,
        }
    }

    /// Fibonacci hashing, whose high bits are the well-mixed ones.
    fn start(self) -> usize {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut hash = 0_u64;
        for part in [self.route.0, self.method.0, usize::from(self.status)] {
            hash = (hash.rotate_left(23) ^ part as u64).wrapping_mul(GOLDEN);
        }
        (hash >> 54) as usize % SLOTS
    }
}

/// Counts by route, method and status; time spent by route; durations by class of status. A histogram by route would be
/// 19 lines for each route and class, most of every scrape.
pub(super) struct Requests {
    counts: IntCounterVec,
    seconds: CounterVec,
    durations: HistogramVec,
    /// Each is filled once, and read without a lock.
    slots: Box<[OnceLock<Slot>]>,
}

impl Requests {
    #[expect(
        clippy::expect_used,
        reason = "names and buckets are constants, and every test of this module creates them"
    )]
    pub(super) fn new() -> Self {
        let counts = Opts::new("couic_api_requests_total", "Requests answered.");
        let seconds = Opts::new(
            "couic_api_route_seconds_total",
            "Time spent on requests, by route.",
        );
        let durations = HistogramOpts::new(
            "couic_api_request_duration_seconds",
            "Time from the end of a request's head to its answer.",
        )
        .buckets(BUCKETS.into());
        Self {
            counts: IntCounterVec::new(counts, &["route", "method", "status"]).expect("valid"),
            seconds: CounterVec::new(seconds, &["route"]).expect("valid"),
            durations: HistogramVec::new(durations, &["status"]).expect("valid"),
            slots: std::iter::repeat_with(OnceLock::new).take(SLOTS).collect(),
        }
    }

    pub(super) fn register(&self, registry: &Registry) {
        super::register(registry, self.counts.clone());
        super::register(registry, self.seconds.clone());
        super::register(registry, self.durations.clone());
    }

    pub(super) fn observe(
        &self,
        route: &'static str,
        method: &'static str,
        status: u16,
        elapsed: Duration,
    ) {
        let key = Key::new(route, method, status);
        let seconds = elapsed.as_secs_f64();
        for step in 0..PROBES {
            let slot = self.slots[(key.start() + step) % SLOTS]
                .get_or_init(|| self.resolve(key, route, method, status));
            if slot.key == key {
                slot.observe(seconds);
                return;
            }
        }
        self.resolve(key, route, method, status).observe(seconds);
    }

    fn resolve(&self, key: Key, route: &str, method: &str, status: u16) -> Slot {
        let class = match status / 100 {
            2 => "2xx",
            4 => "4xx",
            5 => "5xx",
            _ => "other",
        };
        Slot {
            key,
            count: self
                .counts
                .with_label_values(&[route, method, &status.to_string()]),
            seconds: self.seconds.with_label_values(&[route]),
            duration: self.durations.with_label_values(&[class]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaked(n: usize) -> &'static str {
        format!("/v1/route{n}").leak()
    }

    #[test]
    fn every_combination_is_counted_separately_even_beyond_the_slots() {
        let requests = Requests::new();
        let routes: Vec<_> = (0..SLOTS).map(leaked).collect();
        for round in 1..=3 {
            for route in &routes {
                for status in [200, 404] {
                    requests.observe(route, "GET", status, Duration::from_micros(30));
                }
            }
            for route in &routes {
                for status in ["200", "404"] {
                    let count = requests.counts.with_label_values(&[*route, "GET", status]);
                    assert_eq!(count.get(), round);
                }
            }
        }
        let seconds = requests.seconds.with_label_values(&[routes[7]]).get();
        assert!((seconds - 0.000_18).abs() < 1e-9, "{seconds}");
        let duration = requests.durations.with_label_values(&["2xx"]);
        assert_eq!(duration.get_sample_count(), 3 * SLOTS as u64);
        let expected = 0.000_09 * SLOTS as f64;
        assert!((duration.get_sample_sum() - expected).abs() < 1e-6);
    }

    #[test]
    fn two_copies_of_a_route_share_a_counter() {
        let requests = Requests::new();
        for _ in 0..2 {
            requests.observe(leaked(1), "GET", 200, Duration::ZERO);
        }
        let count = requests
            .counts
            .with_label_values(&[leaked(1), "GET", "200"]);
        assert_eq!(count.get(), 2);
    }

    #[test]
    fn threads_lose_nothing() {
        let requests = Requests::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        requests.observe("/v1/drop", "POST", 201, Duration::from_micros(20));
                    }
                });
            }
        });
        let count = requests
            .counts
            .with_label_values(&["/v1/drop", "POST", "201"]);
        assert_eq!(count.get(), 40_000);
    }
}
