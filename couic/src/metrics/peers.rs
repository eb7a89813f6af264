//! Figures of peering, as metric families.

use couic_common::{PeerInfo, PeerState};
use couic_httpd::{Family, Kind};

/// A figure of a peer.
type Figure = (&'static str, &'static str, fn(&PeerInfo) -> u64);

const GAUGES: &[Figure] = &[
    ("couic_peer_up", "Whether the peer answers; 1 = yes.", |p| {
        u64::from(!matches!(
            p.state,
            PeerState::Failing | PeerState::NotEnabled | PeerState::Connecting
        ))
    }),
    (
        "couic_peer_in_sync",
        "Whether the peer held the same rules at the last comparison; 1 = yes.",
        |p| u64::from(p.state == PeerState::InSync && p.refused_ranges == 0),
    ),
    (
        "couic_peer_rules",
        "Rules here that came from the peer.",
        |p| p.rules,
    ),
    ("couic_peer_queue", "Changes queued for the peer.", |p| {
        p.queue
    }),
    (
        "couic_peer_lag_milliseconds",
        "Age of the oldest queued change.",
        |p| p.lag_ms,
    ),
    (
        "couic_peer_differing",
        "Rules that differed at the last comparison with the peer.",
        |p| p.differing,
    ),
];

const COUNTERS: &[Figure] = &[
    ("couic_peer_sent_total", "Changes sent to the peer.", |p| {
        p.sent
    }),
    (
        "couic_peer_refused_total",
        "Changes that the peer did not accept.",
        |p| p.refused,
    ),
    (
        "couic_peer_received_total",
        "Changes received from the peer.",
        |p| p.received,
    ),
    (
        "couic_peer_not_accepted_total",
        "Changes from the peer that were not accepted here.",
        |p| p.not_accepted,
    ),
];

/// One sample per figure and peer.
pub(super) fn families(peers: &[PeerInfo]) -> impl Iterator<Item = Family> {
    let gauges = GAUGES.iter().map(|figure| (Kind::Gauge, figure));
    let counters = COUNTERS.iter().map(|figure| (Kind::Counter, figure));
    gauges.chain(counters).map(|(kind, (name, help, value))| {
        let family = Family::new(kind, *name, *help);
        peers.iter().fold(family, |family, peer| {
            family.with(&[("peer", peer.name.as_str())], value(peer))
        })
    })
}
