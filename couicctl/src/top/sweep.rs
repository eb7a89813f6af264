//! Reads rules a page at a time, so that neither the screen nor the daemon ever handles a whole list of a million.
//!
//! With per-rule counters a page is read in two successive rounds, which gives its hits per second; then the next page is
//! next. A policy that fits into one page is read in each round. At most two pages of each policy are read a round.

use std::{collections::HashMap, time::Instant};

use couic_client::{Client, ClientError, ListQuery};
use couic_common::{Cidr, Entry, Policy};

use super::answer::Page;

/// Rules a page: some 100 KiB of JSON.
pub(super) const PAGE: usize = 1_000;

/// The way through the rules of one policy.
pub(super) struct Sweep {
    policy: Policy,
    after: Option<Cidr>,
    sample: Option<Sample>,
}

/// Hits of a page, and when they were read.
struct Sample {
    at: Instant,
    hits: HashMap<Cidr, u64>,
}

impl Sweep {
    pub(super) const fn new(policy: Policy) -> Self {
        Self {
            policy,
            after: None,
            sample: None,
        }
    }

    /// Reads the page that is due.
    pub(super) async fn step(
        &mut self,
        client: &Client,
        tag: Option<&str>,
    ) -> Result<Vec<Page>, ClientError> {
        let entries = self.read(client, tag).await?;
        let first = self.sample.is_none();
        let (page, turned) = self.took(entries, Instant::now());
        let mut pages = vec![page];
        if turned && !first {
            let entries = self.read(client, tag).await?;
            pages.push(self.took(entries, Instant::now()).0);
        }
        Ok(pages)
    }

    async fn read(&self, client: &Client, tag: Option<&str>) -> Result<Vec<Entry>, ClientError> {
        let query = ListQuery {
            tag: tag.map(str::to_owned),
            limit: Some(PAGE as u64),
            after: self.after,
            owners: false,
        };
        let mut entries = client.entries(self.policy, &query).await?;
        entries.truncate(PAGE);
        Ok(entries)
    }

    /// Takes a page. True if the next one to read is another.
    fn took(&mut self, entries: Vec<Entry>, at: Instant) -> (Page, bool) {
        let ends = entries.len() < PAGE;
        let last = entries.last().map(|entry| entry.cidr).filter(|_| !ends);
        let counted = entries.iter().any(|entry| entry.hits.is_some());
        let before = self.sample.take();
        let hits = |entry: &Entry| Some((entry.cidr, entry.hits?));
        let sample = Sample {
            at,
            hits: entries.iter().filter_map(hits).collect(),
        };
        let page = Page {
            policy: self.policy,
            after: self.after,
            last,
            rules: rated(entries, before.as_ref(), at),
        };
        let whole = self.after.is_none() && ends;
        let turns = !whole && (before.is_some() || !counted);
        if turns {
            self.after = last;
        } else if counted {
            self.sample = Some(sample);
        }
        (page, turns)
    }
}

fn rated(entries: Vec<Entry>, before: Option<&Sample>, at: Instant) -> Vec<(Entry, Option<f64>)> {
    let rate = |entry: &Entry| {
        let before = before?;
        let seconds = at.checked_duration_since(before.at)?.as_secs_f64();
        let hits = entry.hits?.checked_sub(*before.hits.get(&entry.cidr)?)?;
        (seconds > 0.0).then(|| hits as f64 / seconds)
    };
    let rated = |entry: Entry| {
        let rate = rate(&entry);
        (entry, rate)
    };
    entries.into_iter().map(rated).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn page(from: u32, count: usize, hits: Option<u64>) -> Vec<Entry> {
        let entry = |n: u32| {
            let cidr = Cidr::host(std::net::Ipv4Addr::from(from + n).into());
            let mut entry = serde_json::json!({"creation": 1, "cidr": cidr.to_string(), "tag": null, "expiration": 0});
            if let Some(hits) = hits {
                entry["hits"] = hits.into();
            }
            serde_json::from_value(entry).unwrap()
        };
        (0..count as u32).map(entry).collect()
    }

    #[test]
    fn a_small_policy_has_rates_in_each_round() {
        let mut sweep = Sweep::new(Policy::Drop);
        let start = Instant::now();
        let (first, turned) = sweep.took(page(1, 3, Some(10)), start);
        assert!(!turned && first.rules.iter().all(|(_, rate)| rate.is_none()));
        for round in 1..4 {
            let at = start + Duration::from_secs(round);
            let (next, turned) = sweep.took(page(1, 3, Some(10 + 5 * round)), at);
            assert!(!turned && next.last.is_none());
            assert!(next.rules.iter().all(|(_, rate)| *rate == Some(5.0)));
        }
        // Counters that were reset have no rate.
        let (reset, _) = sweep.took(page(1, 3, Some(0)), start + Duration::from_secs(9));
        assert!(reset.rules.iter().all(|(_, rate)| rate.is_none()));
    }

    #[test]
    fn a_page_of_many_is_read_twice_and_then_the_next() {
        let mut sweep = Sweep::new(Policy::Drop);
        let start = Instant::now();
        assert!(!sweep.took(page(1, PAGE, Some(0)), start).1);
        let later = start + Duration::from_secs(2);
        let (second, turned) = sweep.took(page(1, PAGE, Some(4)), later);
        assert!(turned && second.rules[0].1 == Some(2.0));
        assert_eq!(sweep.after, second.last);
        // The end: read twice, then from the start again.
        assert!(!sweep.took(page(5_000, 7, Some(1)), later).1);
        assert!(sweep.took(page(5_000, 7, Some(1)), later).1);
        assert_eq!(sweep.after, None);
    }

    #[test]
    fn without_counters_each_page_is_read_once() {
        let mut sweep = Sweep::new(Policy::Ignore);
        assert!(sweep.took(page(1, PAGE, None), Instant::now()).1);
        assert!(sweep.took(page(9_000, 1, None), Instant::now()).1);
        assert!(!sweep.took(page(1, 4, None), Instant::now()).1);
    }
}
