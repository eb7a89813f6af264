//! `[jail.NAME]` and what holds for all jails: from keys to [`DetectConfig`], which checks what they mean.

use std::time::Duration;

use couic_detect::{
    BotConfig, BotsConfig, DetectConfig, Distinct, GuardConfig, JailConfig, LadderConfig, Login,
    LoginConfig, Nets, WidenConfig,
};
use couic_settings::Section;

use super::text::{check_name, networks, texts};

/// The longest ban: a scoped token of couicmon allows no more.
const LONGEST_BAN: Duration = Duration::from_secs(7 * 86_400);

/// The longest memory of the ladder.
const LONGEST_MEMORY: Duration = Duration::from_secs(366 * 86_400);

/// Everything that the detector needs, and whether all of it is as it stands in the configuration. After a mistake,
/// harmless values are in the place of those that cannot be read, so that the rest can be checked at once.
pub(super) fn read(root: &mut Section<'_>) -> (DetectConfig, bool) {
    let mut fine = Fine(true);
    let v6_prefix = root.int("v6_prefix", 48..=128, Some(64));
    let ignore = networks(root, "ignore");
    let jails = fine.of(root.tables_by_name("jail"));
    let jails = jails.into_iter().filter_map(|(name, section)| {
        let (jail, is_fine) = jail(name, section);
        fine.0 &= is_fine;
        jail
    });
    let jails = jails.collect();
    let logins = login_rules(root);
    let (ladder, widen, guard, bots) = (ladder(root), widen(root), guard(root), bots(root));
    let v6_prefix = v6_prefix.and_then(|bits| u8::try_from(bits).ok());
    let detect = DetectConfig {
        v6_prefix: fine.or(v6_prefix, 64),
        jails,
        ladder: fine.of(ladder),
        widen: fine.of(widen),
        logins: fine.of(logins),
        guard: fine.of(guard),
        bots: fine.of(bots),
        ignore: fine.of(ignore).into_iter().collect::<Nets>(),
    };
    (detect, fine.0)
}

/// Whether nothing was wrong so far.
struct Fine(bool);

impl Fine {
    fn or<T>(&mut self, read: Option<T>, instead: T) -> T {
        self.0 &= read.is_some();
        read.unwrap_or(instead)
    }

    fn of<T: Default>(&mut self, read: Option<T>) -> T {
        self.or(read, T::default())
    }
}

/// A jail, and whether all of it was read; none if it is switched off, or has no name to check it under.
fn jail(name: &str, mut section: Section<'_>) -> (Option<JailConfig>, bool) {
    let mut fine = Fine(true);
    let named = check_name(&section, name).is_some();
    // Resolved before: `super::presets` has put the preset's keys below.
    let _ = section.string("preset");
    let enabled = section.bool("enabled", true);
    let mut list = |key| fine.of(texts(&mut section, key));
    let (sources, status, method) = (list("source"), list("status"), list("method"));
    let (path, contains, agent) = (list("path"), list("contains"), list("agent"));
    let (host, regex, ignore_regex) = (list("host"), list("regex"), list("ignore_regex"));
    let rate = section.required("rate").map(|(rate, _)| rate.to_owned());
    let tag = section.string("tag").ok();
    let cells = section.int("cells", 1_024..=4_194_304, Some(65_536));
    let usual = Duration::from_secs(600);
    let jail = JailConfig {
        name: name.to_owned(),
        sources,
        status,
        method,
        path,
        contains,
        agent,
        host,
        login: fine.of(logins(&mut section)),
        regex,
        ignore_regex,
        distinct: fine.of(distinct(&mut section)),
        rate: fine.or(rate, "1 per 1s".to_owned()),
        ban: fine.or(section.duration("ban", LONGEST_BAN, usual), usual),
        shadow: fine.of(section.bool("shadow", false)),
        tag: fine.of(tag).map(|(tag, _)| tag.to_owned()),
        cells: fine.or(cells.and_then(|cells| u32::try_from(cells).ok()), 65_536),
    };
    section.finish();
    let enabled = fine.or(enabled, true);
    ((enabled && named).then_some(jail), fine.0 && named)
}

fn logins(section: &mut Section<'_>) -> Option<Vec<Login>> {
    let words = section.words("login")?;
    let read = words.iter().map(|(word, line)| match word.as_str() {
        "accepted" => Some(Login::Accepted),
        "failed" => Some(Login::Failed),
        "abandoned" => Some(Login::Abandoned),
        _ => {
            let message = format!("{word:?} is none of: accepted, failed, abandoned");
            section.mistake(Some(*line), "login", message)
        }
    });
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

fn distinct(section: &mut Section<'_>) -> Option<Option<Distinct>> {
    let choices = [
        ("path", Some(Distinct::Path)),
        ("user", Some(Distinct::User)),
        ("host", Some(Distinct::Host)),
        ("agent", Some(Distinct::Agent)),
    ];
    section.one_of("distinct", &choices, None)
}

/// `[login.NAME]`: what tells that somebody logged in, besides the formats that know it.
fn login_rules(root: &mut Section<'_>) -> Option<Vec<LoginConfig>> {
    let read = root
        .tables_by_name("login")?
        .into_iter()
        .map(|(name, mut section)| {
            let named = check_name(&section, name);
            let sources = texts(&mut section, "source");
            let (status, method) = (texts(&mut section, "status"), texts(&mut section, "method"));
            let (path, host) = (texts(&mut section, "path"), texts(&mut section, "host"));
            section.finish();
            named?;
            Some(LoginConfig {
                sources: sources?,
                status: status?,
                method: method?,
                path: path?,
                host: host?,
            })
        });
    let read: Vec<_> = read.collect();
    read.into_iter().collect()
}

fn ladder(root: &mut Section<'_>) -> Option<LadderConfig> {
    let usual = LadderConfig::default();
    let mut section = root.table("ladder");
    let factor = section.float("factor", 1.0..=1_000.0, usual.factor);
    let max = section.duration("max", LONGEST_BAN, usual.max);
    let memory = section.duration("memory", LONGEST_MEMORY, usual.memory);
    let entries = section.int("entries", 1_024..=16_777_216, Some(usual.entries.into()));
    section.finish();
    Some(LadderConfig {
        factor: factor?,
        max: max?,
        memory: memory?,
        entries: u32::try_from(entries?).ok()?,
    })
}

/// None after a mistake, `Some(None)` if bans are not widened: without the table, or with `enabled = false`.
fn widen(root: &mut Section<'_>) -> Option<Option<WidenConfig>> {
    let usual = WidenConfig::default();
    let there = root.get("widen").is_some();
    let mut section = root.table("widen");
    let enabled = section.bool("enabled", there);
    let after = section.int("after", 2..=256, Some(usual.after.into()));
    let share = section.float("share", 0.01..=1.0, usual.share);
    let memory = section.duration("login_memory", LONGEST_MEMORY, usual.login_memory);
    section.finish();
    let widen = WidenConfig {
        after: u32::try_from(after?).ok()?,
        share: share?,
        login_memory: memory?,
    };
    Some(enabled?.then_some(widen))
}

fn guard(root: &mut Section<'_>) -> Option<GuardConfig> {
    let usual = GuardConfig::default();
    let mut section = root.table("guard");
    let bans = section.int(
        "bans_per_minute",
        1..=1_000_000,
        Some(usual.bans_per_minute.into()),
    );
    let share = section.float("share", 0.001..=1.0, usual.share);
    let from = section.int("share_from", 1..=1_000_000, Some(usual.share_from.into()));
    let siege = section.bool("siege", usual.siege);
    section.finish();
    Some(GuardConfig {
        bans_per_minute: u32::try_from(bans?).ok()?,
        share: share?,
        share_from: u32::try_from(from?).ok()?,
        siege: siege?,
    })
}

fn bots(root: &mut Section<'_>) -> Option<BotsConfig> {
    let mut section = root.table("bots");
    let verify = section.bool("verify", true);
    let extra = section.tables("extra").map(|tables| {
        let read = tables.into_iter().map(|mut table| {
            let (agent, names) = (texts(&mut table, "agent"), texts(&mut table, "names"));
            table.finish();
            Some(BotConfig {
                agent: agent?,
                names: names?,
            })
        });
        let read: Vec<_> = read.collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    section.finish();
    Some(BotsConfig {
        verify: verify?,
        extra: extra??,
    })
}
