//! Searches of the changes: reads the journal's logs, the newest first.
//!
//! Runs on a blocking thread, two searches at a time, and reads a bounded number of bytes. Logs are read while the journal
//! appends to them: an incomplete record at the end is ignored.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::{Duration, UNIX_EPOCH},
};

use couic_common::{Cidr, PeerAction, Policy};
use couic_durable::Folder;
use tokio::{sync::Semaphore, task};

use super::{
    archive::{Archive, CLOCKS_DIFFER, LogFile, logs},
    view::{Change, ChangeOwner, ChangePage, ChangeQuery, KnownRule, MOST_CHANGES},
};
use crate::state::{BatchRecord, Record, Row};

/// The most bytes that a search reads: some seconds.
const MAX_BYTES: u64 = 1 << 30;

/// Searches at a time: each takes a core.
const AT_ONCE: usize = 2;

/// The most rules that a search for a verdict holds: an address has at most 129 prefixes, each firewall two policies.
const MAX_RULES: usize = 50_000;

/// Reads the logs.
#[derive(Debug)]
pub(super) struct Searcher {
    state: Folder,
    archive: Archive,
    running: Semaphore,
    max_bytes: u64,
}

impl Searcher {
    pub(super) fn new(state: Folder, archive: Archive) -> Self {
        Self {
            state,
            archive,
            running: Semaphore::new(AT_ONCE),
            max_bytes: MAX_BYTES,
        }
    }

    pub(super) fn archive(&self) -> &Archive {
        &self.archive
    }

    /// Runs a search on a blocking thread, once there is room for it.
    pub(super) async fn run<T: Default + Send + 'static>(
        this: &std::sync::Arc<Self>,
        search: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let Ok(_permit) = this.running.acquire().await else {
            return T::default();
        };
        let searcher = std::sync::Arc::clone(this);
        let searched = task::spawn_blocking(move || search(&searcher)).await;
        searched.unwrap_or_default()
    }

    pub(super) fn changes(&self, query: &ChangeQuery) -> ChangePage {
        let limit = match query.limit {
            0 => MOST_CHANGES,
            limit => limit.min(MOST_CHANGES),
        };
        let since = query.since.unwrap_or(0);
        let since = UNIX_EPOCH.checked_add(Duration::from_secs(since));
        let (all, is_all) = self.logs();
        let mut page = ChangePage {
            changes: Vec::new(),
            truncated: !is_all,
        };
        for log in all {
            let written = log.written.checked_add(CLOCKS_DIFFER);
            if page.changes.len() >= limit || written < since {
                // What is left is not needed, or too old.
                page.truncated = false;
                break;
            }
            let room = limit - page.changes.len();
            let mut found = VecDeque::new();
            self.each_row(&log, &mut |batch, row| {
                if matches(query, batch, row) {
                    if found.len() >= room {
                        found.pop_front();
                    }
                    found.push_back(change(batch, row));
                }
            });
            page.changes.extend(found.into_iter().rev());
        }
        page
    }

    pub(super) fn known_verdict(&self, address: IpAddr, now: u64) -> Vec<KnownRule> {
        let (mut all, complete) = self.logs();
        all.reverse();
        let mut last = BTreeMap::<(String, Option<Policy>, Cidr), Change>::new();
        let mut is_full = false;
        for log in all {
            self.each_row(&log, &mut |batch, row| {
                if !row.cidr.contains(address) {
                    return;
                }
                let key = (batch.source.to_owned(), row.policy, row.cidr);
                if row.action == PeerAction::Remove {
                    last.remove(&key);
                } else if last.len() < MAX_RULES || last.contains_key(&key) {
                    last.insert(key, change(batch, row));
                } else {
                    is_full = true;
                }
            });
        }
        let is_in_force = |added: &Change| added.expiration.is_none_or(|ends| ends > now);
        let rules = last.into_values().filter(is_in_force);
        let complete = complete && !is_full;
        rules.map(|added| KnownRule { added, complete }).collect()
    }

    /// The logs, newest first, and whether these are all: a search reads a bounded number of bytes.
    fn logs(&self) -> (Vec<LogFile>, bool) {
        // The archive last: a log that moves meanwhile is found twice, not missed.
        let mut all = logs(&self.state);
        all.extend(self.archive.logs());
        all.sort_by_key(|log| std::cmp::Reverse(log.name.number));
        all.dedup_by_key(|log| log.name);
        let count = all.len();
        let mut bytes = 0;
        all.retain(|log| {
            bytes += log.bytes;
            bytes <= self.max_bytes
        });
        let is_all = all.len() == count;
        (all, is_all)
    }

    /// Passes the rows of a log. One that was deleted meanwhile has none.
    fn each_row(&self, log: &LogFile, each: &mut dyn FnMut(&BatchRecord<'_>, &Row<'_>)) {
        let mut read = |payload: &[u8]| {
            if let Ok(Record::Batch(batch)) = Record::decode(payload)
                && batch.received.is_some()
            {
                batch
                    .rows()
                    .filter_map(Result::ok)
                    .for_each(|row| each(&batch, &row));
            }
            true
        };
        let folders = [&self.state, &self.archive.folder, &self.state];
        for folder in folders {
            if folder.read(&log.name, &mut read).is_ok() {
                return;
            }
        }
    }
}

fn matches(query: &ChangeQuery, batch: &BatchRecord<'_>, row: &Row<'_>) -> bool {
    let at = time(batch, row);
    query.address.is_none_or(|ip| row.cidr.contains(ip))
        && query
            .firewall
            .as_ref()
            .is_none_or(|name| name == batch.source)
        && query.tag.as_ref().is_none_or(|tag| tag == row.tag)
        && query.since.is_none_or(|since| at >= since)
        && query.until.is_none_or(|until| at < until)
}

fn time(batch: &BatchRecord<'_>, row: &Row<'_>) -> u64 {
    match row.at {
        0 => batch.received.unwrap_or_default(),
        at => at,
    }
}

fn change(batch: &BatchRecord<'_>, row: &Row<'_>) -> Change {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Change {
        at: time(batch, row),
        firewall: batch.source.to_owned(),
        action: row.action,
        policy: row.policy,
        cidr: row.cidr,
        tag: text(row.tag),
        expiration: (row.expiration > 0).then_some(row.expiration),
        reason: text(row.reason),
        owner: row.owner.map(|(kind, name)| ChangeOwner {
            kind,
            name: name.map(str::to_owned),
        }),
    }
}
