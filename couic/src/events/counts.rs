//! Counts of event streams, as metrics.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use couic_httpd::{Family, Kind};

/// Streams, and what their readers missed.
#[derive(Debug, Default)]
pub struct StreamCounts {
    open: AtomicU64,
    opened: AtomicU64,
    refused: AtomicU64,
    gaps: AtomicU64,
}

impl StreamCounts {
    pub(super) fn opened(&self, open: usize) {
        self.opened.fetch_add(1, Relaxed);
        self.set_open(open);
    }

    pub(super) fn set_open(&self, open: usize) {
        self.open
            .store(u64::try_from(open).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub(super) fn gap(&self) {
        self.gaps.fetch_add(1, Relaxed);
    }

    /// As metric families.
    pub(crate) fn families(&self) -> [Family; 4] {
        let family = |kind, name, help, value: &AtomicU64| {
            Family::new(kind, name, help).with(&[], value.load(Relaxed))
        };
        [
            family(
                Kind::Gauge,
                "couic_event_streams",
                "Open event streams.",
                &self.open,
            ),
            family(
                Kind::Counter,
                "couic_event_streams_opened_total",
                "Event streams opened.",
                &self.opened,
            ),
            family(
                Kind::Counter,
                "couic_event_streams_refused_total",
                "Event streams refused because there were too many, in all or of one client.",
                &self.refused,
            ),
            family(
                Kind::Counter,
                "couic_event_gaps_total",
                "Gaps told to readers of event streams: they were slow, or the daemon had been restarted.",
                &self.gaps,
            ),
        ]
    }
}
