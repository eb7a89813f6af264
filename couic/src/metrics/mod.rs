//! What is counted, as OpenMetrics 1.0 text.
//!
//! Counting a request costs two atomic additions: handles are found once for each route, method and status. The
//! figures of rules and packets are read when somebody asks for them; nothing is kept twice.

mod figures;
mod notifiers;
mod openmetrics;
mod peers;
mod process;
mod requests;
mod state;

use std::time::Duration;

use couic_common::PeerInfo;
use prometheus::{
    IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector, proto::MetricFamily,
};

use crate::reporting::Notifiers;
use couic_firewall::rules::Firewall;
pub use figures::Figures;
pub use notifiers::ReportingFigures;
use process::ProcessFigures;
#[cfg(test)]
pub(crate) use process::cpu_seconds;
use requests::Requests;
pub use state::StateFigures;

/// Everything that the daemon counts about itself.
pub struct MetricsRegistry {
    registry: Registry,
    requests: Requests,
    differences: IntCounterVec,
    hardening: IntGaugeVec,
    process: ProcessFigures,
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
    /// An empty registry. Make one a process, at its start: it tells the start time.
    #[must_use]
    pub fn new() -> Self {
        let registry = Registry::new();
        let requests = Requests::new();
        requests.register(&registry);
        register(&registry, build_info());
        let differences = differences();
        register(&registry, differences.clone());
        let hardening = gauge_vec(
            "couic_hardening",
            "What confines the daemon: the version of landlock, seccomp 1; 0 where the kernel has none.",
            &["what"],
        );
        register(&registry, hardening.clone());
        Self {
            registry,
            requests,
            differences,
            hardening,
            process: ProcessFigures::since_now(),
        }
    }

    /// Counts a request and how long it took. `route` is the pattern, not the path: few and known beforehand.
    pub fn observe_request(
        &self,
        route: &'static str,
        method: &'static str,
        status: u16,
        elapsed: Duration,
    ) {
        self.requests.observe(route, method, status, elapsed);
    }

    /// Counts what the self-check found: `what` was an interface or a rule, and was healed or was not.
    pub fn count_differences(&self, what: &'static str, healed: bool, count: u64) {
        let labels = [what, if healed { "yes" } else { "no" }];
        self.differences.with_label_values(&labels).inc_by(count);
    }

    /// Shows by what the daemon confines itself: the version of Landlock, and whether the filter of system calls is in
    /// force; 0 where the kernel has none.
    pub fn show_hardening(&self, landlock: i64, seccomp: bool) {
        for (what, value) in [("landlock", landlock), ("seccomp", i64::from(seccomp))] {
            self.hardening.with_label_values(&[what]).set(value);
        }
    }

    /// OpenMetrics text of the figures of the firewall, of reporting and peers where they run, and the daemon's own. Ends in
    /// `# EOF` and a line feed.
    #[must_use]
    pub fn render(
        &self,
        firewall: &Firewall,
        notifiers: Option<&Notifiers>,
        peers: Option<Vec<PeerInfo>>,
        pending_confirmations: usize,
    ) -> String {
        self.render_figures(&Figures {
            peers,
            pending_confirmations,
            reporting: notifiers.map(ReportingFigures::of),
            ..Figures::of(firewall)
        })
    }

    /// OpenMetrics text of these figures and the daemon's own. Ends in `# EOF` and a line feed.
    #[must_use]
    pub fn render_figures(&self, figures: &Figures) -> String {
        let mut families: Vec<MetricFamily> = self.registry.gather();
        families.extend(figures.families());
        families.extend(self.process.families());
        families.sort_by(|a, b| a.name().cmp(b.name()));
        openmetrics::encode(&families)
    }
}

fn build_info() -> IntGaugeVec {
    let gauge = gauge_vec(
        "couic_build_info",
        "The version that runs; always 1.",
        &["version"],
    );
    gauge.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    gauge
}

#[expect(
    clippy::expect_used,
    reason = "names are constants, and every test of this room makes them"
)]
fn differences() -> IntCounterVec {
    let opts = Opts::new(
        "couic_self_check_differences_total",
        "What the self-check found otherwise than it should be, in attached programs and in the tables.",
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
    reason = "names are constants, and every test of this room makes them"
)]
fn register(registry: &Registry, collector: impl Collector + 'static) {
    registry
        .register(Box::new(collector))
        .expect("each name is registered once");
}

#[expect(
    clippy::expect_used,
    reason = "names are constants, and every test of this room makes them"
)]
fn gauge_vec(name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    IntGaugeVec::new(Opts::new(name, help), labels).expect("a valid name")
}

#[cfg(test)]
mod tests;
