//! Lines in, decisions out.
//!
//! Each line costs a few lookups in tables of fixed size and allocates nothing, until a bucket is full. Guarantees:
//!
//! * A decision is about the address that the caller gave, or, if it gave none, about the one that a jail's `<HOST>`
//!   captured; never about an address in another part of the line.
//! * No decision covers an address that is ignored or a trusted proxy, also not as part of a network. Trusted proxies
//!   belong into `ignore`.
//! * A source is banned only if its own lines filled a bucket: tables that are too small, or a clock that is set, delay
//!   bans, and ban nobody else.
//! * While a ban runs, a longer one is told, and a renewal once most of it is over and the source goes on. A source that
//!   fills a bucket although it should not get through is told again with the same end, at most each 10 s: somebody may have
//!   lifted the ban.

mod adopt;
mod decide;
mod reads;

use std::net::IpAddr;

use twox_hash::XxHash3_64;

use crate::{
    Client, Decision, Distinct, Event, LadderRow, Login, Nets, Rules,
    account::{Account, is_good},
    bots::Bots,
    bucket::Buckets,
    clock::Clock,
    dominant::Majority,
    figures::{Counters, JailFigures},
    guard::Guard,
    key::Key,
    ladder::Ladder,
    memory::Memory,
    rules::{Jail, Mask, Scan, bits},
    top::Talkers,
    widen::Neighbours,
};

/// Live, lines of several threads come in disorder by so much, in milliseconds.
const LIVE_SLACK: i64 = 1_000;
/// The same for lines of a log.
const LOG_SLACK: i64 = 60_000;
/// Bans, networks and verified crawlers that are remembered.
const RUNS: usize = 1_048_576;
const NETWORKS: usize = 65_536;
const VERIFIED: usize = 65_536;

const UNKNOWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

/// A source of lines, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(usize);

/// Finds offenders.
pub struct Detector {
    seed: u64,
    v6_prefix: u8,
    clock: Clock,
    scans: Vec<Scan>,
    majorities: Vec<Majority>,
    jails: Vec<JailState>,
    bots: Bots,
    ignore: Nets,
    ignored: Nets,
    guard: Guard,
    talkers: Talkers,
    neighbours: Option<Neighbours>,
    ladder: Ladder,
    runs: Memory<Run>,
    /// Bans in shadow mode.
    shadows: Memory<Run>,
    /// Bans of networks, by the key of [`Key::wide`].
    networks: Memory<Run>,
    /// Crawlers that were verified, and those about which an answer is awaited.
    verified: Memory<()>,
    counters: Counters,
    account: Option<Account>,
}

struct JailState {
    rule: Jail,
    buckets: Buckets,
    figures: JailFigures,
}

/// A ban that runs.
#[derive(Clone, Copy, Default)]
struct Run {
    from: i64,
    /// When it was told last.
    told: i64,
    /// The number of the jail.
    jail: usize,
    /// All jails whose offences this ban covers.
    jails: Mask,
}

/// A line of a known source.
struct Seen<'a> {
    source: usize,
    event: &'a Event<'a>,
    line: &'a [u8],
    addr: IpAddr,
    key: Key,
    hash: u64,
    now: i64,
    now_ms: i64,
}

impl Seen<'_> {
    #[inline]
    fn of(&mut self, addr: IpAddr, detector: &Detector) {
        self.addr = addr.to_canonical();
        self.key = Key::of(addr, detector.v6_prefix);
        self.hash = self.key.hash(detector.seed);
    }
}

impl Detector {
    /// A detector without a past. The seed must be random: who knows it can choose sources that push each other out.
    #[must_use]
    pub fn new(rules: Rules, seed: u64) -> Self {
        let jail = |rule: Jail| JailState {
            buckets: Buckets::new(rule.cells as usize, rule.depth, rule.distinct.is_some()),
            figures: JailFigures {
                jail: rule.name.clone(),
                shadow: rule.shadow,
                ..JailFigures::default()
            },
            rule,
        };
        Self {
            seed,
            v6_prefix: rules.v6_prefix,
            clock: Clock::new(LIVE_SLACK),
            majorities: rules.scans.iter().map(|_| Majority::default()).collect(),
            scans: rules.scans,
            jails: rules.jails.into_iter().map(jail).collect(),
            bots: rules.bots,
            ignore: rules.ignore,
            ignored: Nets::from_iter([]),
            guard: Guard::new(rules.guard),
            talkers: Talkers::new(),
            neighbours: rules.widen.map(|widen| Neighbours::new(widen, seed)),
            ladder: Ladder::new(rules.ladder, seed),
            runs: Memory::new(RUNS, seed),
            shadows: Memory::new(RUNS, seed),
            networks: Memory::new(NETWORKS, seed),
            verified: Memory::new(VERIFIED, seed),
            counters: Counters::default(),
            account: None,
        }
    }

    /// The source of a name that was given to [`check`](crate::DetectConfig::check).
    #[must_use]
    pub fn source(&self, name: &str) -> Option<SourceId> {
        self.scans
            .iter()
            .position(|scan| scan.name == name)
            .map(SourceId)
    }

    /// Judges a line. `client` is None if the format has no address; `now_ms` is the time of arrival, or in trials with
    /// logs of the past the time in the line, in Unix milliseconds.
    pub fn observe(
        &mut self,
        source: SourceId,
        event: &Event<'_>,
        client: Option<Client>,
        line: &[u8],
        now_ms: i64,
    ) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let now = self.clock.tick(now_ms);
        self.counters.lines += 1;
        let Some(scan) = self.scans.get_mut(source.0) else {
            return decisions;
        };
        let hits = scan.hits(event);
        let mut seen = Seen {
            source: source.0,
            event,
            line,
            addr: UNKNOWN,
            key: Key::default(),
            hash: 0,
            now,
            now_ms,
        };
        match client {
            Some(Client::Known(addr)) => {
                seen.of(addr, self);
                self.of_source(&seen, hits, &mut decisions);
            }
            Some(Client::Proxy(_)) => self.counters.of_proxies += 1,
            None if hits == 0 => {}
            None => self.of_captured(&mut seen, hits, &mut decisions),
        }
        decisions
    }

    /// A line whose address the regexes of each jail capture, mostly the same one.
    fn of_captured(&mut self, seen: &mut Seen<'_>, hits: Mask, decisions: &mut Vec<Decision>) {
        let capturing = self.scans.get(seen.source).map_or(0, |s| s.capturing);
        let mut same = 0;
        for bit in bits(hits & capturing) {
            let scan = self.scans.get_mut(seen.source);
            let Some(addr) = scan.and_then(|scan| scan.captured(bit, seen.event)) else {
                continue;
            };
            if same != 0 && seen.addr != addr.to_canonical() {
                self.of_source(seen, same, decisions);
                same = 0;
            }
            seen.of(addr, self);
            same |= 1 << bit;
        }
        match same {
            0 => self.counters.no_address += 1,
            _ => self.of_source(seen, same, decisions),
        }
    }

    #[inline]
    fn of_source(&mut self, seen: &Seen<'_>, hits: Mask, decisions: &mut Vec<Decision>) {
        let (key, now) = (seen.key, seen.now);
        self.guard.seen(seen.hash, now);
        if self.account.is_none() {
            self.talkers.line(key, seen.hash, now);
            if let Some(majority) = self.majorities.get_mut(seen.source) {
                majority.line(key, seen.event, now);
            }
        }
        let logins = self.scans.get(seen.source).map_or(0, |scan| scan.logins);
        let login = seen.event.login == Some(Login::Accepted) || hits & logins != 0;
        if let Some(neighbours) = &mut self.neighbours {
            neighbours.seen(key, now);
            if login {
                neighbours.logged_in(key, now);
            }
        }
        if self.account.is_some() && self.is_stopped(seen, hits & !logins, login) {
            return;
        }
        for bit in bits(hits & !logins) {
            let scan = self.scans.get(seen.source);
            let jail = scan.and_then(|scan| scan.filters.get(bit)?.1);
            if let Some(jail) = jail {
                self.hit(jail, seen, decisions);
            }
        }
    }

    /// In trials: accounts a line, and whether a ban would have stopped it.
    fn is_stopped(&mut self, seen: &Seen<'_>, hits: Mask, login: bool) -> bool {
        let Some(account) = &mut self.account else {
            return false;
        };
        let good = is_good(seen.event, hits);
        let (key, hash, now) = (seen.key, seen.hash, seen.now);
        account.line(hash, good, login, now);
        if let Some((run, _)) = self.shadows.get_hashed(key, hash, now) {
            account.stopped(run.jail, good);
        }
        let run = self.runs.get_hashed(key, hash, now);
        let run = run.or_else(|| self.networks.get(seen.key.wide(), seen.now));
        if let Some((run, _)) = run {
            account.stopped(run.jail, good);
        }
        run.is_some()
    }

    #[inline]
    fn hit(&mut self, number: usize, seen: &Seen<'_>, decisions: &mut Vec<Decision>) {
        let Some(jail) = self.jails.get_mut(number) else {
            return;
        };
        let hits = 1 + u64::from(seen.event.repeated);
        jail.figures.hits += hits;
        let value = match jail.rule.distinct {
            None => None,
            Some(field) => {
                let value = match field {
                    Distinct::Path => &seen.event.path,
                    Distinct::User => &seen.event.user,
                    Distinct::Host => &seen.event.host,
                    Distinct::Agent => &seen.event.agent,
                };
                if value.is_empty() {
                    return;
                }
                Some(XxHash3_64::oneshot_with_seed(self.seed, value))
            }
        };
        if (0..hits).any(|_| jail.buckets.hit(seen.hash, value, seen.now)) {
            self.overflow(number, seen, decisions);
        }
    }

    /// Replaces the addresses that are never banned, besides those of the configuration: the daemon's ignore list.
    pub fn set_ignored(&mut self, nets: Nets) {
        self.ignored = nets;
    }

    /// In siege nothing is held back.
    pub fn set_siege(&mut self, on: bool) {
        self.guard.set_siege(on);
    }

    /// Forgets a source, its bans and its past: somebody has lifted its ban.
    pub fn forget(&mut self, addr: IpAddr) {
        let key = Key::of(addr, self.v6_prefix);
        for memory in [&mut self.runs, &mut self.shadows] {
            memory.remove(key);
        }
        self.networks.remove(key.wide());
        self.verified.remove(key);
        self.ladder.forget(key);
        for jail in &mut self.jails {
            jail.buckets.clear(key.hash(self.seed));
        }
        if let Some(neighbours) = &mut self.neighbours {
            neighbours.forget(key, self.clock.now());
        }
    }

    /// Takes what [`ladder`](Self::ladder) gave before a restart. A ban that still runs at `now_ms` goes on: who offends
    /// meanwhile has not come back, whatever the jail.
    pub fn restore_ladder(&mut self, rows: impl IntoIterator<Item = LadderRow>, now_ms: i64) {
        let now = self.clock.tick(now_ms);
        for row in rows {
            self.ladder.restore(row, self.v6_prefix, &self.clock);
            let until = self.clock.inside(row.ends_ms);
            if until > now {
                let run = Run {
                    from: now,
                    told: now,
                    jail: 0,
                    jails: Mask::MAX,
                };
                let key = Key::of(row.addr, self.v6_prefix);
                self.runs.set_until(key, run, until, now);
            }
        }
    }

    /// For trials: keeps accounts from now on, and takes times as those of a log. Lines of banned sources are not hits
    /// any more, since they would not have come. [`top`](Self::top) and [`Counters::dominant`] go on no more.
    pub fn keep_account(&mut self) {
        self.clock = Clock::new(LOG_SLACK);
        self.account = Some(Account::new(self.jails.len(), self.seed));
    }
}

#[cfg(test)]
mod tests;
