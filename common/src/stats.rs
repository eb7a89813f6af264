//! Counters as the API shows them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Packets and bytes since the program was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counter {
    /// Frames.
    pub rx_packets: u64,
    /// Bytes, Ethernet header included.
    pub rx_bytes: u64,
}

/// Frames by what the XDP program answered for them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct ActionStats {
    /// Frames too short to hold the headers that they announce, or with more than four VLAN tags: dropped.
    pub xdp_aborted: Counter,
    /// Dropped by a rule.
    pub xdp_drop: Counter,
    /// Let through.
    pub xdp_pass: Counter,
    /// Always zero: Couic sends nothing back.
    pub xdp_tx: Counter,
    /// Always zero: Couic redirects nothing.
    pub xdp_redirect: Counter,
}

/// Frames in which no source address was looked for, by kind. They count in `xdp` too: as passed, but for `vlan`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct NotInspected {
    /// Address resolution, EtherType 0x0806.
    pub arp: Counter,
    /// 802.3 frames with a length in place of an EtherType: spanning tree and the like.
    pub llc: Counter,
    /// MPLS with more than four labels, or with something else than IP behind them.
    pub mpls: Counter,
    /// PPPoE discovery, and what is not IP in a session.
    pub pppoe: Counter,
    /// MACsec, EtherType 0x88e5: encrypted.
    pub macsec: Counter,
    /// More than four VLAN tags. Dropped, and among `XDP_ABORTED`.
    pub vlan: Counter,
    /// Any other EtherType; on links without an Ethernet header, what is neither IPv4 nor IPv6.
    pub other: Counter,
}

impl NotInspected {
    /// Each kind with its name.
    #[must_use]
    pub const fn rows(&self) -> [(&'static str, Counter); 7] {
        [
            ("arp", self.arp),
            ("llc", self.llc),
            ("mpls", self.mpls),
            ("pppoe", self.pppoe),
            ("macsec", self.macsec),
            ("vlan", self.vlan),
            ("other", self.other),
        ]
    }
}

/// Answer of `GET /v1/stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stats {
    /// Rules of policy drop, both families.
    pub drop_cidr_count: u64,
    /// Rules of policy ignore, both families.
    pub ignore_cidr_count: u64,
    /// Frames by verdict.
    pub xdp: ActionStats,
    /// Frames in which no source address was looked for.
    #[serde(default)]
    pub not_inspected: NotInspected,
}

/// Answer of `GET /v1/stats/tags/{policy}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TagStats {
    /// By tag; entries without one count under `untagged`.
    pub tags: BTreeMap<String, Counter>,
}

/// Answer of `GET /v1/metrics`: everything that is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Metrics {
    /// The global figures.
    #[serde(flatten)]
    pub stats: Stats,
    /// Of policy drop, by tag.
    pub drop_tags: BTreeMap<String, Counter>,
    /// Of policy ignore, by tag.
    pub ignore_tags: BTreeMap<String, Counter>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn action_names_are_the_kernels() {
        let value = serde_json::to_value(Metrics::default()).unwrap();
        let names: Vec<&String> = value["xdp"].as_object().unwrap().keys().collect();
        assert_eq!(
            names,
            [
                "XDP_ABORTED",
                "XDP_DROP",
                "XDP_PASS",
                "XDP_TX",
                "XDP_REDIRECT"
            ]
        );
        assert!(value["drop_cidr_count"].is_u64() && value["drop_tags"].is_object());
    }
}
