//! Metrics, as metric families, for the text formats of `couic_httpd`.
//!
//! Counting a request costs two atomic additions: handles are resolved once per route, method and status. Figures of
//! rules and packets are read per scrape, not stored twice.

mod figures;
mod health;
mod notifiers;
mod peers;
mod process;
mod registered;
mod requests;
mod state;

use std::{sync::Arc, time::Duration};

use couic_httpd::{ConnectionCounts, Family, Kind};
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector};

use crate::{events::StreamCounts, logging::changes_summed_up};
pub use figures::Figures;
pub use notifiers::ReportingFigures;
use process::ProcessFigures;
#[cfg(test)]
pub(crate) use process::cpu_seconds;
use requests::Requests;
pub use state::StateFigures;

/// The daemon's own metrics.
pub struct MetricsRegistry {
    registry: Registry,
    requests: Requests,
    differences: IntCounterVec,
    hardening: IntGaugeVec,
    process: ProcessFigures,
    /// The connections of the API.
    pub(crate) api_connections: Arc<ConnectionCounts>,
    /// Those of the listener for metrics.
    pub(crate) scrape_connections: Arc<ConnectionCounts>,
    /// The event streams.
    pub event_streams: Arc<StreamCounts>,
}

impl std::fmt::Debug for MetricsRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsRegistry").finish_non_exhaustive()
    }
}

impl Default for MetricsRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl MetricsRegistry {
    /// An empty registry. Create one per process, at its start: it records the start time.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let requests = Requests::new();
        requests.register(&registry);
        let differences = differences();
        register(&registry, differences.clone());
        let hardening = hardening();
        register(&registry, hardening.clone());
        Self {
            registry,
            requests,
            differences,
            hardening,
            process: ProcessFigures::since_now(),
            api_connections: Arc::default(),
            scrape_connections: Arc::default(),
            event_streams: Arc::default(),
        }
    }

    /// Counts a request and its duration. `route` is the pattern, not the path, to bound the number of series.
    pub fn observe_request(
        &self,
        route: &'static str,
        method: &'static str,
        status: u16,
        elapsed: Duration,
    ) {
        self.requests.observe(route, method, status, elapsed);
    }

    /// Counts differences found by the self-check: `what` is `interface` or `rule`.
    pub fn count_differences(&self, what: &'static str, healed: bool, count: u64) {
        let labels = [what, if healed { "yes" } else { "no" }];
        self.differences.with_label_values(&labels).inc_by(count);
    }

    /// Sets the confinement of the daemon: the Landlock ABI version, 0 without Landlock, and whether seccomp is active.
    pub fn show_hardening(&self, landlock: i64, seccomp: bool) {
        for (what, value) in [("landlock", landlock), ("seccomp", i64::from(seccomp))] {
            self.hardening.with_label_values(&[what]).set(value);
        }
    }

    /// These figures and the daemon's own, by name.
    #[must_use]
    pub fn families(&self, figures: &Figures) -> Vec<Family> {
        let mut families: Vec<Family> = registered::families(&self.registry).collect();
        families.push(build_info());
        families.push(log_summed_up());
        families.extend(ConnectionCounts::families(
            "couic",
            &[
                ("api", &self.api_connections),
                ("metrics", &self.scrape_connections),
            ],
        ));
        families.extend(self.event_streams.families());
        families.extend(figures.families());
        families.extend(self.process.families());
        sorted(families)
    }
}

/// By name, as promised to readers of the text.
pub(crate) fn sorted(mut families: Vec<Family>) -> Vec<Family> {
    families.sort_by(|a, b| a.name().cmp(b.name()));
    families
}

fn log_summed_up() -> Family {
    let help = "Rule changes without a line of their own in the log: a flood was summed up.";
    let name = "couic_log_changes_summed_up_total";
    Family::new(Kind::Counter, name, help).with(&[], changes_summed_up())
}

fn build_info() -> Family {
    let help = "The running version; always 1.";
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    Family::new(Kind::Gauge, "couic_build_info", help).with(&version, 1)
}

#[expect(
    clippy::expect_used,
    reason = "names are constants, and every test of this module creates them"
)]
fn differences() -> IntCounterVec {
    let opts = Opts::new(
        "couic_self_check_differences_total",
        "Differences found by the self-check, in attached programs and in the tables.",
    );
    let counter = IntCounterVec::new(opts, &["what", "healed"]).expect("a valid name");
    for what in ["interface", "rule"] {
        for healed in ["yes", "no"] {
            counter.with_label_values(&[what, healed]).reset();
        }
    }
    counter
}

#[expect(
    clippy::expect_used,
    reason = "names are constants, and every test of this module creates them"
)]
fn register(registry: &Registry, collector: impl Collector + 'static) {
    registry
        .register(Box::new(collector))
        .expect("each name is registered once");
}

#[expect(
    clippy::expect_used,
    reason = "names are constants, and every test of this module creates them"
)]
fn hardening() -> IntGaugeVec {
    let opts = Opts::new(
        "couic_hardening",
        "Confinement of the daemon: the ABI version of landlock, 1 for seccomp; 0 if the kernel lacks it.",
    );
    IntGaugeVec::new(opts, &["what"]).expect("a valid name")
}

#[cfg(test)]
mod tests;
