//! Figures of the firewall, as metric families. The names are the contract's.

use std::collections::BTreeMap;

use couic_common::{ActionStats, Counter, PeerInfo, Policy, Stats};
use prometheus::{IntCounterVec, Opts, core::Collector, proto::MetricFamily};

use super::{ReportingFigures, gauge_vec, peers, state::StateFigures};
use couic_firewall::rules::{Firewall, Usage};

/// One reading.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Rules, and frames by verdict.
    pub stats: Stats,
    /// Hits of policy drop, by tag.
    pub drop_tags: BTreeMap<String, Counter>,
    /// Hits of policy ignore, by tag.
    pub ignore_tags: BTreeMap<String, Counter>,
    /// The usage of the tables.
    pub usage: Vec<Usage>,
    /// The rules on disk, if they are persisted.
    pub state: Option<StateFigures>,
    /// Reporting, if it is enabled.
    pub reporting: Option<ReportingFigures>,
    /// The peers, if peering is enabled.
    pub peers: Option<Vec<PeerInfo>>,
    /// Whether the panic switch is on: every packet passes.
    pub panic: bool,
    /// Changes pending confirmation.
    pub pending_confirmations: usize,
}

impl Figures {
    /// Reads the current figures.
    #[must_use]
    pub fn of(firewall: &Firewall) -> Self {
        Self {
            stats: firewall.stats(),
            drop_tags: firewall.tag_stats(Policy::Drop),
            ignore_tags: firewall.tag_stats(Policy::Ignore),
            usage: firewall.usage(),
            state: StateFigures::of(firewall),
            reporting: None,
            peers: None,
            panic: firewall.passes_all(),
            pending_confirmations: 0,
        }
    }

    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let mut families = self.rules();
        families.extend(counters(
            "couic_stats",
            "action",
            "seen, by verdict",
            &actions(&self.stats.xdp),
        ));
        families.extend(counters(
            "couic_not_inspected",
            "kind",
            "whose source address was not inspected, by kind",
            &self.stats.not_inspected.rows(),
        ));
        for (policy, tags) in [
            (Policy::Drop, &self.drop_tags),
            (Policy::Ignore, &self.ignore_tags),
        ] {
            let rows: Vec<_> = tags.iter().map(|(tag, c)| (tag.as_str(), *c)).collect();
            let what = format!("matched by rules of policy {policy}, by tag");
            families.extend(counters(
                &format!("couic_{policy}_tag"),
                "tag",
                &what,
                &rows,
            ));
        }
        families.extend(self.switches());
        families.extend(self.state.iter().flat_map(StateFigures::families));
        families.extend(self.reporting.iter().flat_map(ReportingFigures::families));
        families.extend(self.peers.iter().flat_map(|peers| peers::families(peers)));
        families
    }

    fn switches(&self) -> Vec<MetricFamily> {
        let panic = gauge_vec(
            "couic_panic",
            "Whether the panic switch lets every packet pass; 1 = yes.",
            &[],
        );
        let pending = gauge_vec(
            "couic_pending_confirmations",
            "Changes that are undone unless they are confirmed.",
            &[],
        );
        let count = i64::try_from(self.pending_confirmations).unwrap_or(i64::MAX);
        for (gauge, value) in [(&panic, i64::from(self.panic)), (&pending, count)] {
            gauge.with_label_values::<&str>(&[]).set(value);
        }
        let mut families = panic.collect();
        families.extend(pending.collect());
        families
    }

    fn rules(&self) -> Vec<MetricFamily> {
        let mut families = Vec::new();
        for (policy, count) in [
            (Policy::Drop, self.stats.drop_cidr_count),
            (Policy::Ignore, self.stats.ignore_cidr_count),
        ] {
            let help = format!("Rules of policy {policy}, both address families.");
            let gauge = gauge_vec(&format!("couic_{policy}_cidr_total"), &help, &[]);
            gauge
                .with_label_values::<&str>(&[])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
            families.extend(gauge.collect());
        }
        let labels = ["policy", "family"];
        let rules = gauge_vec("couic_rules", "Rules in force.", &labels);
        let limits = gauge_vec("couic_rules_limit", "The limit of rules.", &labels);
        for usage in &self.usage {
            let labels = [usage.policy.as_str(), usage.family];
            for (gauge, value) in [(&rules, usage.rules), (&limits, usage.limit)] {
                gauge
                    .with_label_values(&labels)
                    .set(i64::try_from(value).unwrap_or(i64::MAX));
            }
        }
        families.extend(rules.collect());
        families.extend(limits.collect());
        families
    }
}

fn actions(stats: &ActionStats) -> [(&'static str, Counter); 5] {
    [
        ("XDP_ABORTED", stats.xdp_aborted),
        ("XDP_DROP", stats.xdp_drop),
        ("XDP_PASS", stats.xdp_pass),
        ("XDP_TX", stats.xdp_tx),
        ("XDP_REDIRECT", stats.xdp_redirect),
    ]
}

/// Two families, packets and bytes, with one sample per row.
#[expect(
    clippy::expect_used,
    reason = "names are constants, and every test of this module creates them"
)]
fn counters(prefix: &str, label: &str, what: &str, rows: &[(&str, Counter)]) -> Vec<MetricFamily> {
    let vec = |unit: &str, noun: &str| {
        let opts = Opts::new(
            format!("{prefix}_rx_{unit}_total"),
            format!("{noun} {what}."),
        );
        IntCounterVec::new(opts, &[label]).expect("a valid name")
    };
    let packets = vec("packets", "Frames");
    let bytes = vec("bytes", "Bytes of frames");
    for (value, counter) in rows {
        packets
            .with_label_values(&[value])
            .inc_by(counter.rx_packets);
        bytes.with_label_values(&[value]).inc_by(counter.rx_bytes);
    }
    let mut families = packets.collect();
    families.extend(bytes.collect());
    families
}
