//! What follows from a full bucket.

use std::time::Duration;

use ipnetwork::IpNetwork;

use super::{Detector, Run, Seen};
use crate::{Answer, Ask, Ban, Decision, key::Key, ladder::micros, rules::Mask, sample::sample};

/// So long an answer about a crawler is awaited, in microseconds.
const PENDING: i64 = 30_000_000;
/// So long a verified crawler is not asked about again.
const VERIFIED: i64 = 24 * 3_600 * 1_000_000;
/// So long after a ban was told its source may still have lines on their way; and no ban is told more often.
const AGAIN: i64 = 10_000_000;

/// How long a source is to be banned.
#[derive(Clone, Copy)]
struct Sentence {
    level: u32,
    length: Duration,
    /// Of a ban that runs, and was told already.
    renewal: bool,
    /// Whether it counts when the source comes back.
    remembered: bool,
}

impl Detector {
    #[cold]
    pub(super) fn overflow(
        &mut self,
        number: usize,
        seen: &Seen<'_>,
        decisions: &mut Vec<Decision>,
    ) {
        let (key, now) = (seen.key, seen.now);
        if let Some(jail) = self.jails.get_mut(number) {
            jail.buckets.clear(seen.hash);
        }
        if self.is_ignored(key.network(self.v6_prefix)) {
            self.counters.ignored += 1;
        } else if self.verified.get(key, now).is_some() {
            self.counters.verified += 1;
        } else if let Some(sentence) = self.sentence(number, key, now) {
            let Some(ban) = self.ban(number, key, sentence, seen.line) else {
                return;
            };
            if let Some(claim) = self.bots.claimed(&seen.event.agent) {
                let ask = Ask {
                    addr: seen.addr,
                    names: claim.names.clone(),
                    strict: claim.strict,
                    ban,
                };
                self.ask(number, key, ask, decisions);
            } else {
                self.enact(number, key, sentence, ban, seen.now_ms, decisions);
            }
        } else {
            self.counters.running += 1;
            decisions.extend(self.again(number, seen).map(Decision::Ban));
        }
    }

    /// The ban that runs, with its end, if its source comes through all the same: it is not in force any more, as somebody
    /// has lifted it or the daemon has lost it. If it is, the daemon finds nothing to change.
    fn again(&mut self, number: usize, seen: &Seen<'_>) -> Option<Ban> {
        let (key, now) = (seen.key, seen.now);
        if self.account.is_some() || self.jails.get(number)?.rule.shadow {
            return None;
        }
        let own = self.runs.get(key, now);
        // Lifting the ban of a network is left to whoever did: only who offends is told.
        let run = own.or_else(|| self.networks.get(key.wide(), now));
        let (mut run, until) = run.map(|(run, until)| (*run, until))?;
        let left = self.clock.outside(until).div_euclid(1_000) - seen.now_ms.div_euclid(1_000);
        let left = u64::try_from(left).ok().filter(|left| *left > 0)?;
        if now - run.told < AGAIN {
            return None;
        }
        // After a restart the jail is not known.
        let of = if run.jails == Mask::MAX {
            number
        } else {
            run.jail
        };
        let sentence = Sentence {
            level: self.ladder.level(key, now).max(1),
            length: Duration::from_secs(left),
            renewal: true,
            remembered: false,
        };
        let ban = self.ban(of, key, sentence, seen.line)?;
        run.told = now;
        self.runs.set_until(key, run, until, now);
        self.counters.again += 1;
        Some(ban)
    }

    fn ask(&mut self, number: usize, key: Key, ask: Ask, decisions: &mut Vec<Decision>) {
        let now = self.clock.now();
        self.verified.set_until(key, (), now + PENDING, now);
        self.counters.asked += 1;
        if let Some(account) = self.account.as_mut().and_then(|a| a.jail(number)) {
            account.asked += 1;
        }
        decisions.push(Decision::Ask(ask));
    }

    /// Also true for the unspecified address, which formats give for peers of a Unix socket.
    pub(super) fn is_ignored(&self, cidr: IpNetwork) -> bool {
        cidr.ip().is_unspecified() || self.ignore.overlaps(cidr) || self.ignored.overlaps(cidr)
    }

    /// None if a ban runs that is enough. A relapse counts if the last ban is over, or once per jail while it runs.
    fn sentence(&mut self, number: usize, key: Key, now: i64) -> Option<Sentence> {
        let jail = self.jails.get(number)?;
        let (base, shadow) = (jail.rule.ban, jail.rule.shadow);
        let mostly_over = |run: &Run, until: i64| (now - run.from) > (until - run.from) / 2;
        if let Some((run, until)) = self.networks.get(key.wide(), now)
            && !mostly_over(run, until)
        {
            return None;
        }
        let level = self.ladder.level(key, now);
        let sentence = |level| Sentence {
            level,
            length: self.ladder.length(base, level),
            renewal: false,
            remembered: true,
        };
        let runs = if shadow {
            &mut self.shadows
        } else {
            &mut self.runs
        };
        let Some((run, until)) = runs.get(key, now).map(|(run, until)| (*run, until)) else {
            return Some(sentence(level.saturating_add(1)));
        };
        let longer = |sentence: Sentence| now + micros(sentence.length) > until;
        if run.jails >> number & 1 == 1 {
            let renewal = Sentence {
                renewal: true,
                ..sentence(level.max(1))
            };
            return (mostly_over(&run, until) && longer(renewal)).then_some(renewal);
        }
        let sentence = sentence(level.saturating_add(1));
        if longer(sentence) {
            return Some(sentence);
        }
        if let Some(run) = runs.get_mut(key, now) {
            run.jails |= 1 << number;
        }
        if !shadow {
            self.ladder.climb(key, sentence.level, until, now);
        }
        None
    }

    fn ban(&self, number: usize, key: Key, sentence: Sentence, line: &[u8]) -> Option<Ban> {
        let rule = &self.jails.get(number)?.rule;
        Some(Ban {
            cidr: key.network(self.v6_prefix),
            jail: rule.name.clone(),
            tag: rule.tag.clone(),
            length: sentence.length,
            level: sentence.level,
            count: rule.depth.hits,
            rate: rule.rate.clone(),
            sample: sample(line),
            neighbours: 0,
        })
    }

    /// Bans, if nothing forbids it.
    fn enact(
        &mut self,
        number: usize,
        key: Key,
        sentence: Sentence,
        ban: Ban,
        now_ms: i64,
        decisions: &mut Vec<Decision>,
    ) {
        let now = self.clock.now();
        let Some(jail) = self.jails.get_mut(number) else {
            return;
        };
        if jail.rule.shadow {
            jail.figures.shadow_bans += 1;
            self.counters.shadow += 1;
            self.remember(number, key, sentence, now_ms);
            decisions.push(Decision::Shadow(ban));
            return;
        }
        if !sentence.renewal
            && let Err(why) = self.guard.admit(jail.rule.crowd, now)
        {
            jail.figures.held += 1;
            self.counters.held += 1;
            if let Some(account) = self.account.as_mut().and_then(|a| a.jail(number)) {
                account.held += 1;
            }
            decisions.push(Decision::Held(ban, why));
            return;
        }
        jail.figures.bans += 1;
        self.counters.bans += 1;
        self.counters.renewals += u64::from(sentence.renewal);
        self.remember(number, key, sentence, now_ms);
        let network = self.widened(number, key, sentence, &ban);
        decisions.push(Decision::Ban(ban));
        decisions.extend(network.map(Decision::Ban));
    }

    fn remember(&mut self, number: usize, key: Key, sentence: Sentence, now_ms: i64) {
        let now = self.clock.now();
        let shadow = self.jails.get(number).is_some_and(|j| j.rule.shadow);
        let runs = if shadow {
            &mut self.shadows
        } else {
            &mut self.runs
        };
        let before = runs.get(key, now).map_or(0, |(run, _)| run.jails);
        let until = now.saturating_add(micros(sentence.length));
        let run = Run {
            from: now,
            told: now,
            jail: number,
            jails: before | 1 << number,
        };
        runs.set_until(key, run, until, now);
        if !shadow && sentence.remembered {
            self.ladder.climb(key, sentence.level, until, now);
        }
        if let Some(account) = &mut self.account {
            account.banned(number, key, now, now_ms);
        }
    }

    /// The ban of the whole network, if it is time for that.
    fn widened(&mut self, number: usize, key: Key, sentence: Sentence, ban: &Ban) -> Option<Ban> {
        let now = self.clock.now();
        if sentence.renewal || !sentence.remembered || !key.can_widen(self.v6_prefix) {
            return None;
        }
        let neighbours = self.neighbours.as_mut()?.banned(key, now)?;
        if self.networks.get(key.wide(), now).is_some() {
            return None;
        }
        let cidr = key.wide_network();
        if self.is_ignored(cidr) {
            self.counters.widen_refused += 1;
            return None;
        }
        let run = Run {
            from: now,
            told: now,
            jail: number,
            jails: 1 << number,
        };
        let until = now.saturating_add(micros(sentence.length));
        self.networks.set_until(key.wide(), run, until, now);
        self.counters.widened += 1;
        if let Some(account) = self.account.as_mut().and_then(|a| a.jail(number)) {
            account.widened += 1;
        }
        Some(Ban {
            cidr,
            neighbours,
            ..ban.clone()
        })
    }

    /// Goes on with what waited for an answer. All is judged again, since time has passed.
    pub fn answer(&mut self, ask: Ask, answer: Answer, now_ms: i64) -> Vec<Decision> {
        let mut decisions = Vec::new();
        let now = self.clock.tick(now_ms);
        let key = Key::of(ask.addr, self.v6_prefix);
        self.verified.remove(key);
        let number = self.jails.iter().position(|j| j.rule.name == ask.ban.jail);
        let Some(number) = number else {
            return decisions;
        };
        if answer == Answer::Real {
            self.verified.set_until(key, (), now + VERIFIED, now);
            if let Some(account) = self.account.as_mut().and_then(|a| a.jail(number)) {
                account.collateral.bots += 1;
            }
            return decisions;
        }
        if self.is_ignored(key.network(self.v6_prefix)) {
            self.counters.ignored += 1;
            return decisions;
        }
        let Some(mut sentence) = self.sentence(number, key, now) else {
            self.counters.running += 1;
            return decisions;
        };
        if answer == Answer::Unknown || !ask.strict {
            let base = self.jails.get(number).map(|jail| jail.rule.ban);
            sentence.length = base.map_or(sentence.length, |base| self.ladder.length(base, 1));
            sentence.level = 1;
            sentence.remembered = false;
        }
        let ban = Ban {
            length: sentence.length,
            level: sentence.level,
            ..ask.ban
        };
        self.enact(number, key, sentence, ban, now_ms, &mut decisions);
        decisions
    }
}
