//! What the detector tells.

use couic_common::time_left;

use super::{Detector, SourceId};
use crate::{
    Client, Counters, Distinct, Event, JailAccount, JailFigures, LadderRow, Needs, Talker, Verdict,
    account::Account,
    key::Key,
    rules::{Filter, Pattern, text},
};

impl Detector {
    /// What the jails of a source look at.
    #[must_use]
    pub fn needs(&self, source: SourceId) -> Option<Needs> {
        let distinct = |jail: usize| {
            let field = self.jails.get(jail).and_then(|jail| jail.rule.distinct);
            matches!(field, Some(Distinct::Path | Distinct::Host))
        };
        Some(self.scans.get(source.0)?.needs(distinct))
    }

    /// What is remembered of sources that were banned, to be saved.
    #[must_use]
    pub fn ladder(&self) -> Vec<LadderRow> {
        self.ladder.rows(&self.clock)
    }

    /// The counts since the start.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let scans = self.scans.iter().zip(&self.majorities);
        let now = self.clock.now();
        let dominant = scans.filter_map(|(scan, majority)| majority.found(&scan.name, now));
        // Who is banned or ignored is no riddle, unless everybody else is behind it.
        let dominant = dominant.filter(|dominant| {
            let key = Key::of(dominant.addr, self.v6_prefix);
            let is_known = self.runs.get(key, now).is_some()
                || self.networks.get(key.wide(), now).is_some()
                || self.is_ignored(key.network(self.v6_prefix));
            dominant.proxy || !is_known
        });
        Counters {
            forgotten: self.runs.lost() + self.networks.lost() + self.ladder.lost(),
            sources: self.guard.sources().round() as u64,
            dominant: dominant.collect(),
            ..self.counters.clone()
        }
    }

    /// The figures of the jails, in the order of the configuration. Reads their tables: not for each line.
    #[must_use]
    pub fn jails(&self) -> Vec<JailFigures> {
        let jails = self.jails.iter();
        jails
            .map(|jail| JailFigures {
                fill: jail.buckets.fill(self.clock.now()),
                pushed_out: jail.buckets.pushed_out(),
                ..jail.figures.clone()
            })
            .collect()
    }

    /// The `n` sources with most lines lately, most first.
    #[must_use]
    pub fn top(&self, n: usize) -> Vec<Talker> {
        self.talkers.top(n)
    }

    /// What [`keep_account`](Self::keep_account) asked for, in the order of jails; empty without that.
    #[must_use]
    pub fn account(&mut self) -> Vec<JailAccount> {
        let accounts = self.account.as_mut().map(Account::jails);
        let jails = self.jails.iter().zip(accounts.unwrap_or_default());
        jails
            .map(|(jail, account)| JailAccount {
                jail: jail.rule.name.clone(),
                shadow: jail.rule.shadow,
                hits: jail.figures.hits,
                ..account
            })
            .collect()
    }

    /// What each jail of a source thinks of a line. Counts nothing.
    #[must_use]
    pub fn explain(
        &self,
        source: SourceId,
        event: &Event<'_>,
        client: Option<Client>,
    ) -> Vec<Verdict> {
        let Some(scan) = self.scans.get(source.0) else {
            return Vec::new();
        };
        let mut buffer = Vec::new();
        let text = text(event, &mut buffer);
        let of_jails = scan.filters.iter();
        let of_jails =
            of_jails.filter_map(|(filter, jail)| Some((filter, self.jails.get((*jail)?)?)));
        of_jails
            .map(|(filter, jail)| {
                let why_not = filter.why_not(event, text);
                let (addr, whose) = self.whose(filter, text, client);
                let hit = why_not.is_none() && addr.is_some();
                let rule = &jail.rule;
                let (rate, ban) = (&rule.rate, time_left(rule.ban.as_secs()));
                let distinct = rule
                    .distinct
                    .map(|field| format!("distinct {} ", field.name()));
                let distinct = distinct.unwrap_or_default();
                let does = if rule.shadow {
                    "says so (shadow)"
                } else {
                    "bans"
                };
                let counts = || format!("a hit; {distinct}{rate} {does} for {ban} at first");
                let why = why_not.or(whose).unwrap_or_else(counts);
                Verdict {
                    jail: rule.name.clone(),
                    hit,
                    addr,
                    why,
                }
            })
            .collect()
    }

    /// Whose hit it would be, and why it would have no effect.
    fn whose(
        &self,
        filter: &Filter,
        text: &[u8],
        client: Option<Client>,
    ) -> (Option<std::net::IpAddr>, Option<String>) {
        let addr = match client {
            Some(Client::Known(addr)) => Some(addr),
            Some(Client::Proxy(proxy)) => {
                let why = format!("only trusted proxies are known, the last one is {proxy}");
                return (None, Some(why));
            }
            None => {
                let matching = filter.regexes.iter().filter(|regex| regex.is_match(text));
                let mut capturers = matching.filter_map(Pattern::capturer);
                capturers.find_map(|mut capturer| capturer.address(text))
            }
        };
        let Some(addr) = addr else {
            let why = "the line has no address: neither the format nor a <HOST> of the jail's regexes gives one";
            return (None, Some(why.into()));
        };
        let network = Key::of(addr, self.v6_prefix).network(self.v6_prefix);
        let ignored = self.is_ignored(network).then(|| {
            format!("a hit without effect: {network} is ignored, or has an ignored address")
        });
        (Some(addr), ignored)
    }
}
