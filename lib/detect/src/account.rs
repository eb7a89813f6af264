//! What bans would have done to a log: for trials with logs of the past, in bounded memory.

mod sources;

use std::{net::IpAddr, sync::Arc};

use self::sources::{Record, Sources};
use crate::{Event, key::Key, memory::Memory, rules::Mask};

/// Sources that are told apart; beyond, those seen longest ago are forgotten, those with bans last.
const SOURCES: usize = 262_144;
/// Addresses that are named.
const EXAMPLES: usize = 10;

/// What a jail did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JailAccount {
    /// The jail.
    pub jail: Arc<str>,
    /// Whether it is in shadow mode: then all this is what it would do.
    pub shadow: bool,
    /// Lines that met its conditions.
    pub hits: u64,
    /// Bans, without networks.
    pub bans: u64,
    /// Networks that were banned as a whole.
    pub widened: u64,
    /// Bans that were held back.
    pub held: u64,
    /// Sources that claim to be a crawler and were asked about.
    pub asked: u64,
    /// The time of the first ban, in Unix milliseconds.
    pub first_ban_ms: Option<i64>,
    /// Lines of sources while its bans ran.
    pub stopped: u64,
    /// Their part of all lines, 0 to 1.
    pub share: f64,
    /// Whom it hit that it perhaps should not have.
    pub collateral: Collateral,
}

/// Signs that banned sources are honest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collateral {
    /// Banned sources with requests that were answered by 2xx or 3xx and met no jail's conditions, before or after.
    pub good_sources: u64,
    /// These requests.
    pub good_requests: u64,
    /// Those of them that bans stopped.
    pub good_stopped: u64,
    /// Banned sources that logged in.
    pub logged_in: u64,
    /// Verified crawlers that would have been banned without the question.
    pub bots: u64,
    /// Those with a login or most good requests.
    pub examples: Vec<IpAddr>,
    /// Sources that were forgotten, since there were too many: the figures may be too low.
    pub forgotten: u64,
}

/// Accounts of all jails.
pub(crate) struct Account {
    lines: u64,
    sources: Sources,
    /// Of banned sources the jails that banned them, by number.
    bans: Memory<Mask>,
    jails: Vec<JailAccount>,
}

/// Whether a line is a request that was answered well and is no offence.
pub(crate) fn is_good(event: &Event<'_>, hits: Mask) -> bool {
    (200..400).contains(&event.status) && hits == 0
}

impl Account {
    pub(crate) fn new(jails: usize, seed: u64) -> Self {
        Self {
            lines: 0,
            sources: Sources::new(SOURCES),
            bans: Memory::new(SOURCES, seed),
            jails: vec![JailAccount::default(); jails],
        }
    }

    /// A line of a source, by the hash of its key.
    #[inline]
    pub(crate) fn line(&mut self, hash: u64, good: bool, login: bool, now: i64) {
        self.lines += 1;
        self.sources.line(hash, good, login, now);
    }

    pub(crate) fn jail(&mut self, jail: usize) -> Option<&mut JailAccount> {
        self.jails.get_mut(jail)
    }

    /// A line came while a ban of the jail ran.
    pub(crate) fn stopped(&mut self, jail: usize, good: bool) {
        if let Some(account) = self.jails.get_mut(jail) {
            account.stopped += 1;
            account.collateral.good_stopped += u64::from(good);
        }
    }

    /// A jail bans a source.
    pub(crate) fn banned(&mut self, jail: usize, key: Key, now: i64, now_ms: i64) {
        if let Some(account) = self.jails.get_mut(jail) {
            account.bans += 1;
            account.first_ban_ms.get_or_insert(now_ms);
        }
        self.sources.keep(self.bans.hash(key));
        let before = self.bans.get(key, now).map_or(0, |(jails, _)| *jails);
        self.bans.set_until(key, before | 1 << jail, i64::MAX, now);
    }

    /// The accounts, without what the jails know themselves.
    pub(crate) fn jails(&mut self) -> Vec<JailAccount> {
        self.sources.settle();
        let mut jails = self.jails.clone();
        for (n, jail) in jails.iter_mut().enumerate() {
            let of_jail = self.bans.iter(1);
            let of_jail = of_jail.filter(|(_, jails, _)| **jails >> n & 1 == 1);
            let mut hurt: Vec<(Key, Record)> = of_jail
                .filter_map(|(key, ..)| Some((key, self.sources.get(self.bans.hash(key))?)))
                .filter(|(_, record)| record.good > 0 || record.logged_in)
                .collect();
            hurt.sort_by_key(|(key, r)| (std::cmp::Reverse((r.logged_in, r.good)), *key));
            let collateral = &mut jail.collateral;
            collateral.good_sources = hurt.iter().filter(|(_, r)| r.good > 0).count() as u64;
            collateral.good_requests = hurt.iter().map(|(_, r)| u64::from(r.good)).sum();
            collateral.logged_in = hurt.iter().filter(|(_, r)| r.logged_in).count() as u64;
            let examples = hurt.iter().take(EXAMPLES);
            collateral.examples = examples.map(|(key, _)| key.addr()).collect();
            collateral.forgotten = self.sources.lost() + self.bans.lost();
            jail.share = jail.stopped as f64 / self.lines.max(1) as f64;
        }
        jails
    }
}
