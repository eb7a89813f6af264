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
    /// Frames too short to hold the headers that they announce.
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
