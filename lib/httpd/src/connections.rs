//! Counts of a service's connections, read while it runs: as metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::{Family, Kind};

/// The connections of one service.
#[derive(Debug, Default)]
pub struct ConnectionCounts {
    open: AtomicU64,
    served: AtomicU64,
    refused: AtomicU64,
}

impl ConnectionCounts {
    pub(crate) fn served(&self, open: usize) {
        self.served.fetch_add(1, Relaxed);
        self.set_open(open);
    }

    pub(crate) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(crate) fn set_open(&self, open: usize) {
        self.open
            .store(u64::try_from(open).unwrap_or(u64::MAX), Relaxed);
    }

    /// Open, served and refused connections, with one sample per listener.
    #[must_use]
    pub fn families(prefix: &str, listeners: &[(&str, &Self)]) -> [Family; 3] {
        let family = |kind, name, help, value: fn(&Self) -> &AtomicU64| {
            let family = Family::new(kind, format!("{prefix}_connections{name}"), help);
            listeners.iter().fold(family, |family, (listener, counts)| {
                family.with(&[("listener", listener)], value(counts).load(Relaxed))
            })
        };
        [
            family(Kind::Gauge, "", "Open connections, by listener.", |c| {
                &c.open
            }),
            family(
                Kind::Counter,
                "_served_total",
                "Connections served, by listener.",
                |c| &c.served,
            ),
            family(
                Kind::Counter,
                "_refused_total",
                "Connections refused because there were too many, by listener.",
                |c| &c.refused,
            ),
        ]
    }
}
