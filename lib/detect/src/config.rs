//! The configuration as it is written; [`DetectConfig::check`] makes [`Rules`](crate::Rules) of it.

use std::time::Duration;

use crate::{Login, Nets};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// What is an offence, and what follows.
pub struct DetectConfig {
    /// IPv6 sources are told apart by this many bits, 48 to 128.
    pub v6_prefix: u8,
    /// The jails.
    pub jails: Vec<JailConfig>,
    /// How bans grow.
    pub ladder: LadderConfig,
    /// Whether bans are widened to /24 and /48.
    pub widen: Option<WidenConfig>,
    /// What tells that somebody logged in, besides [`Login::Accepted`]: such prefixes are never banned as a whole.
    pub logins: Vec<LoginConfig>,
    /// Bounds of harm.
    pub guard: GuardConfig,
    /// Crawlers of search engines.
    pub bots: BotsConfig,
    /// Never banned: own addresses, trusted proxies, resolvers, addresses of the operator.
    pub ignore: Nets,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            v6_prefix: 64,
            jails: Vec::new(),
            ladder: LadderConfig::default(),
            widen: None,
            logins: Vec::new(),
            guard: GuardConfig::default(),
            bots: BotsConfig::default(),
            ignore: Nets::from_iter([]),
        }
    }
}

/// A jail: which lines are an offence, and how many are too many. Kinds of conditions that are given must all hold; of
/// the values of one kind one is enough. Without any, each line counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JailConfig {
    /// 1 to 60 letters, digits, `-` and `_`.
    pub name: String,
    /// The names of sources of lines.
    pub sources: Vec<String>,
    /// `404`, `4xx` or `500-599`.
    pub status: Vec<String>,
    /// Methods of HTTP.
    pub method: Vec<String>,
    /// Whole paths without query, in which `*` stands for anything.
    pub path: Vec<String>,
    /// Literals, whatever the case, in the text of the line: its message, else its path and query, percent-decoded.
    pub contains: Vec<String>,
    /// Literals, whatever the case, in the user agent.
    pub agent: Vec<String>,
    /// Virtual hosts, whatever the case, in which `*` stands for anything.
    pub host: Vec<String>,
    /// Outcomes of logins.
    pub login: Vec<Login>,
    /// Regexes on the text as for `contains`. In formats without fields, `<HOST>` captures the address.
    pub regex: Vec<String>,
    /// Lines whose text matches one of these do not count.
    pub ignore_regex: Vec<String>,
    /// Only hits with another value of this field count.
    pub distinct: Option<Distinct>,
    /// `10 per 100s`: the tenth hit bans, and each 10 s one is forgotten.
    pub rate: String,
    /// How long the first ban lasts.
    pub ban: Duration,
    /// Tell, but do not ban.
    pub shadow: bool,
    /// The tag of its rules; `mon-NAME` by default.
    pub tag: Option<String>,
    /// Sources that are counted at once, at least: 16 bytes each, 24 with `distinct`.
    pub cells: u32,
}

impl Default for JailConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            sources: Vec::new(),
            status: Vec::new(),
            method: Vec::new(),
            path: Vec::new(),
            contains: Vec::new(),
            agent: Vec::new(),
            host: Vec::new(),
            login: Vec::new(),
            regex: Vec::new(),
            ignore_regex: Vec::new(),
            distinct: None,
            rate: String::new(),
            ban: HOUR / 6,
            shadow: false,
            tag: None,
            cells: 65_536,
        }
    }
}

/// The field whose different values count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Distinct {
    /// The path, without query.
    Path,
    /// The user that was named.
    User,
    /// The virtual host.
    Host,
    /// The user agent.
    Agent,
}

impl Distinct {
    /// As it is written in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::User => "user",
            Self::Host => "host",
            Self::Agent => "agent",
        }
    }
}

/// Bans of those who come back last longer: `ban` × `factor`^(relapses), up to `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LadderConfig {
    /// At least 1.
    pub factor: f64,
    /// The longest ban.
    pub max: Duration,
    /// How long after its last ban a source is remembered.
    pub memory: Duration,
    /// Sources that are remembered at most.
    pub entries: u32,
}

impl Default for LadderConfig {
    fn default() -> Self {
        Self {
            factor: 4.0,
            max: 7 * DAY,
            memory: 30 * DAY,
            entries: 1_048_576,
        }
    }
}

/// When neighbours are banned as a whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WidenConfig {
    /// Distinct banned neighbours, 2 to 256.
    pub after: u32,
    /// The part of the neighbours seen that must be banned, above 0 to 1.
    pub share: f64,
    /// How long a login protects its prefix.
    pub login_memory: Duration,
}

impl Default for WidenConfig {
    fn default() -> Self {
        Self {
            after: 8,
            share: 0.5,
            login_memory: 30 * DAY,
        }
    }
}

/// A line that tells that somebody logged in. All conditions that are given hold; status 2xx by default.
#[derive(Clone, Debug, Default)]
pub struct LoginConfig {
    /// The names of sources of lines.
    pub sources: Vec<String>,
    /// As for jails.
    pub status: Vec<String>,
    /// As for jails.
    pub method: Vec<String>,
    /// As for jails; one at least.
    pub path: Vec<String>,
    /// As for jails.
    pub host: Vec<String>,
}

/// Bounds beyond which bans are held back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GuardConfig {
    /// New bans in a minute.
    pub bans_per_minute: u32,
    /// Banned sources as part of the sources seen in the last 10 minutes, above 0 to 1.
    pub share: f64,
    /// The share is judged from so many bans on.
    pub share_from: u32,
    /// Hold nothing back.
    pub siege: bool,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            bans_per_minute: 5_000,
            share: 0.2,
            share_from: 100,
            siege: false,
        }
    }
}

/// How sources that claim to be a crawler are treated.
#[derive(Clone, Debug)]
pub struct BotsConfig {
    /// Ask before such a source is banned.
    pub verify: bool,
    /// Crawlers besides those that are built in.
    pub extra: Vec<BotConfig>,
}

impl Default for BotsConfig {
    fn default() -> Self {
        Self {
            verify: true,
            extra: Vec::new(),
        }
    }
}

/// A crawler.
#[derive(Clone, Debug, Default)]
pub struct BotConfig {
    /// Literals, whatever the case, by which its user agent is known.
    pub agent: Vec<String>,
    /// How the names of its addresses end: `.googlebot.com`.
    pub names: Vec<String>,
}
