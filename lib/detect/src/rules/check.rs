//! From the configuration to rules, with all mistakes at once.

mod values;

use std::{collections::HashSet, time::Duration};

use couic_common::Tag;

use super::{Filter, Jail, Mistake, Rules, Scan, pattern::Pattern, rate, scan::MAX_FILTERS};
use crate::{DetectConfig, JailConfig, LoginConfig, bots::Bots, key::WIDE_V6};

const LONGEST: Duration = Duration::from_secs(366 * 86_400);
/// Of 64 places for values more than half must stay free, else new ones are taken for known ones too often.
const MOST_DISTINCT: u32 = 32;
const CELLS: std::ops::RangeInclusive<u32> = 64..=16_777_216;

impl DetectConfig {
    /// Checks the configuration; `sources` are the names of all sources of lines.
    ///
    /// # Errors
    /// All mistakes, in the order of the configuration.
    pub fn check(&self, sources: &[String]) -> Result<Rules, Vec<Mistake>> {
        let mut checker = Checker::default();
        checker.bounds(self);
        let mut names = HashSet::new();
        let mut jails = Vec::new();
        let mut filters = Vec::new();
        for config in &self.jails {
            checker.at = format!("jail.{}", config.name);
            if !names.insert(&config.name) {
                checker.wrong("name", "there are two jails of this name");
            }
            checker.sources(&config.sources, sources);
            let filter = checker.filter(config);
            jails.push(checker.jail(config, &filter, self.ladder.max));
            filters.push((&config.sources, filter, Some(jails.len() - 1)));
        }
        for (n, config) in self.logins.iter().enumerate() {
            checker.at = format!("logins.{n}");
            checker.sources(&config.sources, sources);
            filters.push((&config.sources, checker.login(config), None));
        }
        checker.at = String::new();
        if self.jails.len() > MAX_FILTERS {
            let message = format!("{} jails, at most {MAX_FILTERS}", self.jails.len());
            checker.wrong("jail", message);
            return Err(checker.mistakes);
        }
        let bots = checker.bots(self);
        let scans = checker.scans(sources, &filters);
        if !checker.mistakes.is_empty() {
            return Err(checker.mistakes);
        }
        Ok(Rules {
            v6_prefix: self.v6_prefix,
            jails,
            scans,
            ladder: self.ladder,
            widen: self.widen,
            guard: self.guard,
            bots,
            ignore: self.ignore.clone(),
            warnings: checker.warnings,
        })
    }
}

#[derive(Default)]
struct Checker {
    /// The table that is checked.
    at: String,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
}

impl Checker {
    fn mistake(&self, key: &str, message: impl Into<String>) -> Mistake {
        let key = match self.at.as_str() {
            "" => key.to_owned(),
            at => format!("{at}.{key}"),
        };
        let message = message.into();
        Mistake { key, message }
    }

    fn wrong(&mut self, key: &str, message: impl Into<String>) {
        let mistake = self.mistake(key, message);
        self.mistakes.push(mistake);
    }

    /// All that is not of a jail.
    fn bounds(&mut self, config: &DetectConfig) {
        if !(WIDE_V6..=128).contains(&config.v6_prefix) {
            self.wrong("v6_prefix", "expected 48 to 128; 64 is one network");
        }
        let ladder = &config.ladder;
        if !(1.0..=1_000.0).contains(&ladder.factor) {
            self.wrong("ladder.factor", "expected 1 (bans do not grow) to 1000");
        }
        for (key, length) in [("ladder.max", ladder.max), ("ladder.memory", ladder.memory)] {
            self.length(key, length);
        }
        if !(256..=16_777_216).contains(&ladder.entries) {
            self.wrong("ladder.entries", "expected 256 to 16777216");
        }
        if let Some(widen) = &config.widen {
            if !(2..=256).contains(&widen.after) {
                self.wrong("widen.after", "expected 2 to 256 banned neighbours");
            }
            self.share("widen.share", widen.share);
            self.length("widen.login_memory", widen.login_memory);
        }
        if config.guard.bans_per_minute == 0 {
            self.wrong(
                "guard.bans_per_minute",
                "0 would hold back all bans; for a trial set shadow = true in the jails",
            );
        }
        self.share("guard.share", config.guard.share);
    }

    fn share(&mut self, key: &str, share: f64) {
        if !(share > 0.0 && share <= 1.0) {
            self.wrong(key, "expected a part above 0, up to 1: 0.2 for 20 %");
        }
    }

    fn length(&mut self, key: &str, length: Duration) {
        if length < Duration::from_secs(1) || length > LONGEST {
            self.wrong(key, "expected 1s to 366d");
        }
    }

    fn sources(&mut self, named: &[String], known: &[String]) {
        if named.is_empty() {
            self.wrong("source", "missing: a source of lines");
        }
        for name in named.iter().filter(|name| !known.contains(name)) {
            let known = known.join(", ");
            self.wrong(
                "source",
                format!("there is no source {name:?}, but: {known}"),
            );
        }
    }

    fn jail(&mut self, config: &JailConfig, filter: &Filter, max: Duration) -> Jail {
        let tag = config.tag.clone();
        let tag = tag.unwrap_or_else(|| format!("mon-{}", config.name));
        if config.name.is_empty() {
            self.wrong("name", "missing");
        } else if let Err(error) = Tag::parse(&format!("mon-{}", config.name)) {
            self.wrong("name", format!("expected the letters of a tag: {error}"));
        }
        match Tag::parse(&tag) {
            Err(error) => self.wrong("tag", error.to_string()),
            Ok(None) => self.wrong("tag", "empty: leave it away for mon-NAME"),
            Ok(Some(_)) => {}
        }
        self.length("ban", config.ban);
        if config.ban > max {
            self.wrong("ban", "longer than ladder.max");
        }
        if !CELLS.contains(&config.cells) {
            self.wrong("cells", "expected 64 to 16777216");
        }
        let depth = rate::parse(&config.rate).unwrap_or_else(|message| {
            self.wrong("rate", message);
            crate::bucket::Depth { step: 1, hits: 1 }
        });
        if config.distinct.is_some() && depth.hits > MOST_DISTINCT {
            let message = format!("with distinct at most {MOST_DISTINCT} hits are counted");
            self.wrong("rate", message);
        }
        Jail {
            config: config.clone(),
            name: config.name.as_str().into(),
            tag: tag.into(),
            rate: config.rate.trim().into(),
            depth,
            distinct: config.distinct,
            ban: config.ban,
            shadow: config.shadow,
            cells: config.cells,
            crowd: config.login.is_empty() && !filter.regexes.iter().any(Pattern::captures),
        }
    }

    fn filter(&mut self, config: &JailConfig) -> Filter {
        let filter = Filter {
            status: self.statuses(&config.status),
            methods: self.methods(&config.method),
            paths: self.paths(&config.path),
            contains: self.values("contains", &config.contains),
            agents: self.values("agent", &config.agent),
            hosts: self.hosts(&config.host),
            login: config.login.clone(),
            regexes: self.regexes("regex", &config.regex),
            ignore: self.regexes("ignore_regex", &config.ignore_regex),
        };
        if filter.ignore.iter().any(Pattern::captures) {
            self.wrong(
                "ignore_regex",
                "<HOST> has no use here: match any address with \\S+",
            );
        }
        filter
    }

    fn login(&mut self, config: &LoginConfig) -> Filter {
        if config.path.is_empty() {
            self.wrong("path", "missing: every request would count as a login");
        }
        let default = ["2xx".to_owned()];
        let status: &[String] = match config.status.as_slice() {
            [] => &default,
            given => given,
        };
        Filter {
            status: self.statuses(status),
            methods: self.methods(&config.method),
            paths: self.paths(&config.path),
            hosts: self.hosts(&config.host),
            ..Filter::default()
        }
    }

    fn bots(&mut self, config: &DetectConfig) -> Bots {
        for bot in &config.bots.extra {
            if bot.agent.is_empty() || bot.agent.iter().any(String::is_empty) {
                self.wrong("bots.agent", "missing: a part of the crawler's user agent");
            }
            let fine = |name: &String| name.starts_with('.') && name.len() > 3;
            if bot.names.is_empty() || !bot.names.iter().all(fine) {
                let message =
                    "expected the ends of host names, with a dot in front: \".googlebot.com\"";
                self.wrong("bots.names", message);
            }
        }
        Bots::new(&config.bots).unwrap_or_else(|message| {
            self.wrong("bots.agent", message);
            Bots::default()
        })
    }

    fn scans(
        &mut self,
        sources: &[String],
        filters: &[(&Vec<String>, Filter, Option<usize>)],
    ) -> Vec<Scan> {
        let mut scans = Vec::new();
        for source in sources {
            let of_source = filters.iter().filter(|(of, _, _)| of.contains(source));
            let filters: Vec<(Filter, Option<usize>)> =
                of_source.map(|(_, f, jail)| (f.clone(), *jail)).collect();
            if filters.len() > MAX_FILTERS {
                let message = format!("{} jails and logins, at most {MAX_FILTERS}", filters.len());
                self.wrong(&format!("source.{source}"), message);
                continue;
            }
            match Scan::new(source, filters) {
                Ok(scan) => scans.push(scan),
                Err(message) => self.wrong(&format!("source.{source}"), message),
            }
        }
        scans
    }
}

#[cfg(test)]
mod tests;
