//! Figures of the firewall, as metric families. The names are the contract's.

use std::collections::BTreeMap;

use couic_common::{ActionStats, Counter, Health, PeerInfo, Policy, Stats};
use couic_httpd::{Family, Kind};

use super::{ReportingFigures, health, peers, state::StateFigures};
use couic_firewall::rules::{AddressShare, Firewall, ReasonUsage, TagUsage, Usage};

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
    /// The tags in use.
    pub tags: Vec<TagUsage>,
    /// The reasons of rules.
    pub reasons: ReasonUsage,
    /// The shares of the address space that rules cover.
    pub shares: Vec<AddressShare>,
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
    /// The answer of `GET /v1/health`.
    pub health: Option<Health>,
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
            tags: firewall.tag_usage(),
            reasons: firewall.reasons(),
            shares: firewall.shares(),
            state: StateFigures::of(firewall),
            reporting: None,
            peers: None,
            panic: firewall.passes_all(),
            pending_confirmations: 0,
            health: None,
        }
    }

    pub(super) fn families(&self) -> Vec<Family> {
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
        families.extend(self.health.iter().flat_map(health::families));
        families
    }

    /// The two families of Couic 1.0 whose names are not those of gauges. They have the figures of `couic_rules`.
    #[must_use]
    pub fn old_families(&self) -> [Family; 2] {
        let policies = [
            (Policy::Drop, self.stats.drop_cidr_count),
            (Policy::Ignore, self.stats.ignore_cidr_count),
        ];
        policies.map(|(policy, count)| {
            let name = format!("couic_{policy}_cidr_total");
            let help = format!("Rules of policy {policy}, both address families.");
            Family::new(Kind::Gauge, name, help).with(&[], count)
        })
    }

    fn switches(&self) -> [Family; 2] {
        let pending = u64::try_from(self.pending_confirmations).unwrap_or(u64::MAX);
        [
            Family::new(
                Kind::Gauge,
                "couic_panic",
                "Whether the panic switch lets every packet pass; 1 = yes.",
            )
            .with(&[], u64::from(self.panic)),
            Family::new(
                Kind::Gauge,
                "couic_pending_confirmations",
                "Changes that are undone unless they are confirmed.",
            )
            .with(&[], pending),
        ]
    }

    fn rules(&self) -> Vec<Family> {
        let mut rules = Family::new(Kind::Gauge, "couic_rules", "Rules in force.");
        let mut limits = Family::new(Kind::Gauge, "couic_rules_limit", "The limit of rules.");
        for usage in &self.usage {
            let labels = [("family", usage.family), ("policy", usage.policy.as_str())];
            rules = rules.with(&labels, usage.rules as u64);
            limits = limits.with(&labels, usage.limit as u64);
        }
        let (mut tags, mut most) = (
            Family::new(Kind::Gauge, "couic_tags", "Tags in use."),
            Family::new(Kind::Gauge, "couic_tags_limit", "The limit of tags."),
        );
        for usage in &self.tags {
            let labels = [("policy", usage.policy.as_str())];
            tags = tags.with(&labels, usage.tags as u64);
            most = most.with(&labels, usage.limit as u64);
        }
        let help =
            "The share of all addresses that rules cover, of IPv6 those of 2000::/3; 1 = all.";
        let mut shares = Family::new(Kind::Gauge, "couic_address_share_ratio", help);
        for share in &self.shares {
            let labels = [("family", share.family), ("policy", share.policy.as_str())];
            shares.push(&labels, share.ratio());
        }
        let mut families = vec![rules, limits, tags, most, shares];
        families.extend(self.reasons());
        families
    }

    fn reasons(&self) -> [Family; 2] {
        let kept = self.reasons.kept as u64;
        [
            Family::new(
                Kind::Gauge,
                "couic_reasons",
                "Different reasons of rules, of 65535 at most.",
            )
            .with(&[], kept),
            Family::new(
                Kind::Counter,
                "couic_reasons_not_kept_total",
                "Rules stored without their reason, for want of a place.",
            )
            .with(&[], self.reasons.not_kept),
        ]
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
fn counters(prefix: &str, label: &str, what: &str, rows: &[(&str, Counter)]) -> [Family; 2] {
    let family = |unit, noun, value: fn(&Counter) -> u64| {
        let name = format!("{prefix}_rx_{unit}_total");
        let family = Family::new(Kind::Counter, name, format!("{noun} {what}."));
        rows.iter().fold(family, |family, (text, counter)| {
            family.with(&[(label, text)], value(counter))
        })
    };
    [
        family("packets", "Frames", |c| c.rx_packets),
        family("bytes", "Bytes of frames", |c| c.rx_bytes),
    ]
}
