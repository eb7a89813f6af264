//! Counters, as in the API.

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

/// Frames by XDP verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub struct ActionStats {
    /// Frames too short for the headers that they announce, or with more than four VLAN tags: dropped.
    pub xdp_aborted: Counter,
    /// Dropped by a rule.
    pub xdp_drop: Counter,
    /// Passed.
    pub xdp_pass: Counter,
    /// Always zero: Couic transmits nothing.
    pub xdp_tx: Counter,
    /// Always zero: Couic redirects nothing.
    pub xdp_redirect: Counter,
}

/// Frames without source address inspection, by kind. They are included in `xdp`, as passed except for `vlan`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct NotInspected {
    /// ARP, EtherType 0x0806.
    pub arp: Counter,
    /// 802.3 frames with a length in place of an EtherType, such as STP.
    pub llc: Counter,
    /// MPLS with more than four labels, or with a payload other than IP.
    pub mpls: Counter,
    /// PPPoE discovery, and session frames other than IP.
    pub pppoe: Counter,
    /// MACsec, EtherType 0x88e5: encrypted.
    pub macsec: Counter,
    /// More than four VLAN tags. Dropped, and included in `XDP_ABORTED`.
    pub vlan: Counter,
    /// Any other EtherType; on links without an Ethernet header, anything but IPv4 and IPv6.
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

/// Response of `GET /v1/stats`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Stats {
    /// Rules of policy drop, both families.
    pub drop_cidr_count: u64,
    /// Rules of policy ignore, both families.
    pub ignore_cidr_count: u64,
    /// Frames by verdict.
    pub xdp: ActionStats,
    /// Frames without source address inspection.
    #[serde(default)]
    pub not_inspected: NotInspected,
}

/// Response of `GET /v1/stats/tags/{policy}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TagStats {
    /// By tag; entries without a tag count as `untagged`.
    pub tags: BTreeMap<String, Counter>,
}

/// Response of `GET /v1/metrics`: all counters.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Metrics {
    /// The global counters.
    #[serde(flatten)]
    pub stats: Stats,
    /// Policy drop, by tag.
    pub drop_tags: BTreeMap<String, Counter>,
    /// Policy ignore, by tag.
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
