//! The history: what firewalls changed, passed and dropped, for the web page and for searches.
//!
//! It is fed by the records of the journal alone, so it survives what they survive. Bounded in memory and on disk.
//! Figures are in memory; [`History::changes`] and [`History::known_verdict`] read files, on a blocking thread.

mod archive;
mod book;
mod books;
mod search;
mod series;
mod tops;
mod view;

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use couic_common::unix_seconds;
use couic_durable::Folder;
use parking_lot::Mutex;

pub use self::view::{
    Change, ChangeOwner, ChangePage, ChangeQuery, FirewallStatus, InterfaceStatus, KnownRule,
    MOST_CHANGES, Point, Range, ReportedStatus, RuleTotals, SentSummary, Series, SourceTotals,
    SummaryState, TagTotals, TrafficPoint,
};
pub(crate) use self::{archive::Archive, books::Books};
use self::{book::Book, search::Searcher, series::DAY};
use crate::config::Thresholds;

/// The handle. Clones share the same history.
#[derive(Clone, Debug)]
pub struct History {
    books: Arc<Mutex<Books>>,
    searcher: Arc<Searcher>,
    thresholds: Thresholds,
}

/// Sizes and losses, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Firewalls with figures of their own.
    pub(crate) firewalls: u64,
    /// Requests of firewalls beyond the limit, counted together.
    pub(crate) unlisted: u64,
    /// Steps of the time series.
    pub(crate) steps: u64,
    /// Logs that are kept.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// Bytes that were deleted for the size limit.
    pub(crate) cut_bytes: u64,
}

impl History {
    pub(crate) fn new(
        books: Arc<Mutex<Books>>,
        state: Folder,
        archive: Archive,
        thresholds: Thresholds,
    ) -> Self {
        Self {
            books,
            searcher: Arc::new(Searcher::new(state, archive)),
            thresholds,
        }
    }

    /// The firewalls heard of in the last 30 days, by name. `(others)` stands for those beyond the hundredth.
    #[must_use]
    pub fn firewalls(&self) -> Vec<FirewallStatus> {
        let from = unix_seconds().saturating_sub(DAY);
        let books = self.books.lock();
        let status = |name: &str, book: &Book| {
            let day = book.steps.since(from);
            FirewallStatus {
                name: name.to_owned(),
                first_heard: book.first_heard,
                last_heard: book.last_heard,
                adds_24h: day.adds,
                dropped_packets_24h: day.traffic.map(|traffic| traffic.dropped_packets),
                status: book.status.clone(),
            }
        };
        let all = books.firewalls.iter();
        all.map(|(name, book)| status(name, book)).collect()
    }

    /// The figures of one firewall, or of all. A firewall that is not known has none.
    #[must_use]
    pub fn series(&self, firewall: Option<&str>, range: Range) -> Series {
        let mut series = range.series(unix_seconds());
        self.of(firewall, |all| {
            all.for_each(|book| book.steps.add_to(&mut series));
        });
        series
    }

    /// The tags with the most dropped packets, then with the most adds. Hours are whole: the last hour is this one and the
    /// one before. Beyond 512 tags in an hour and firewall, counts may be too low.
    #[must_use]
    pub fn top_tags(&self, firewall: Option<&str>, range: Range, limit: usize) -> Vec<TagTotals> {
        let now = unix_seconds();
        self.of(firewall, |all| {
            tops::tags(all.map(|book| &book.tops), range, now, limit)
        })
    }

    /// The networks that were added most often; bounds as for tags.
    #[must_use]
    pub fn top_sources(
        &self,
        firewall: Option<&str>,
        range: Range,
        limit: usize,
    ) -> Vec<SourceTotals> {
        let now = unix_seconds();
        self.of(firewall, |all| {
            tops::sources(all.map(|book| &book.tops), range, now, limit)
        })
    }

    /// The newest changes that match: those that were received last come first.
    pub async fn changes(&self, query: ChangeQuery) -> ChangePage {
        Searcher::run(&self.searcher, move |searcher| searcher.changes(&query)).await
    }

    /// The rules that cover an address, by firewall, as the reports tell; see [`KnownRule`].
    pub async fn known_verdict(&self, address: IpAddr) -> Vec<KnownRule> {
        let now = unix_seconds();
        let search = move |searcher: &Searcher| searcher.known_verdict(address, now);
        Searcher::run(&self.searcher, search).await
    }

    /// The last summaries, the newest first; at most 500 are kept.
    #[must_use]
    pub fn summaries(&self, limit: usize) -> Vec<SentSummary> {
        let books = self.books.lock();
        let newest = books.summaries.iter().rev().take(limit);
        newest
            .map(|kept| {
                let colour = self.thresholds.colour(kept.adds);
                SentSummary {
                    id: kept.id,
                    from: kept.from,
                    until: kept.until,
                    total: kept.adds,
                    colour,
                    state: match kept.is_handed {
                        _ if colour < self.thresholds.min => SummaryState::BelowThreshold,
                        true => SummaryState::Sent,
                        false => SummaryState::Pending,
                    },
                }
            })
            .collect()
    }

    pub(crate) fn sizes(&self) -> Sizes {
        let kept = &self.searcher.archive().kept;
        let books = self.books.lock();
        let steps = books.firewalls.values().map(|book| book.steps.len() as u64);
        Sizes {
            firewalls: books.firewalls.len() as u64,
            unlisted: books.unlisted,
            steps: steps.sum(),
            files: kept.files.load(Relaxed),
            bytes: kept.bytes.load(Relaxed),
            cut_bytes: kept.cut_bytes.load(Relaxed),
        }
    }

    /// Passes the figures of one firewall, or of all.
    fn of<T>(
        &self,
        firewall: Option<&str>,
        read: impl FnOnce(&mut dyn Iterator<Item = &Book>) -> T,
    ) -> T {
        let books = self.books.lock();
        match firewall {
            Some(name) => read(&mut books.firewalls.get(name).into_iter()),
            None => read(&mut books.firewalls.values()),
        }
    }
}

#[cfg(test)]
mod tests;
