//! The configuration file, parsed into a validated struct.
//!
//! All mistakes are reported at once, each with file, line and key, before anything on the machine is touched. A file
//! of Couic 1.0 works unchanged.

mod page;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

pub use self::page::{Firewall, Page, Role, Source, User};
pub(crate) use self::page::{LONGEST_TOKEN, daemon_token, password};
use couic_plugin_api::Severity;
pub use couic_settings::Settings;
use couic_settings::{Noted, NotifierConfig, Secret, Section};
use uuid::Uuid;

/// The default path, overridden by `-c`.
pub const DEFAULT_PATH: &str = "/etc/couic-report/config.toml";

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Length of an interval: a second to a week.
    pub interval: Duration,
    /// The HTTP service.
    pub server: Server,
    /// Thresholds of the colours.
    pub thresholds: Thresholds,
    /// The bounds of the history.
    pub history: History,
    /// The URL of a Discord webhook.
    pub discord: Option<Secret<String>>,
    /// The URL of a Slack incoming webhook.
    pub slack: Option<Secret<String>>,
    /// Additional notifiers, as plugins.
    pub notifiers: Vec<NotifierConfig>,
    /// The plugin folder.
    pub plugins_dir: PathBuf,
    /// The web page, if it is enabled.
    pub page: Option<Page>,
    /// The lowest level that is logged.
    pub log_level: &'static str,
}

/// The HTTP service.
#[derive(Clone, Debug)]
pub struct Server {
    /// The server's name in summaries.
    pub name: String,
    /// The listen address.
    pub addr: SocketAddr,
    /// The last segment of the path that reports are posted to.
    pub secret: Secret<Uuid>,
    /// The largest body of a request, in bytes.
    pub max_body: usize,
}

/// The numbers of adds per interval from which a summary is orange or red, and the lowest colour that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Orange from this number of adds; less than red.
    pub orange: u64,
    /// Red from this number of adds.
    pub red: u64,
    /// The lowest colour that is sent. Green sends every interval, even an empty one.
    pub min: Severity,
}

/// How much of the changes is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The most bytes of changes on disk. Those that the state needs come in addition.
    pub max_bytes: u64,
    /// How long changes are kept: a day to ten years.
    pub kept: Duration,
}

impl Default for History {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            kept: Duration::from_secs(30 * 86_400),
        }
    }
}

impl Thresholds {
    /// The colour of an interval with this many adds.
    #[must_use]
    pub fn colour(&self, adds: u64) -> Severity {
        if adds >= self.red {
            Severity::Red
        } else if adds >= self.orange {
            Severity::Orange
        } else {
            Severity::Green
        }
    }
}

impl Config {
    /// The number of notifiers.
    #[must_use]
    pub fn notifier_count(&self) -> usize {
        usize::from(self.discord.is_some())
            + usize::from(self.slack.is_some())
            + self.notifiers.len()
    }
}

impl Settings for Config {
    fn read(root: &mut Section<'_>) -> Option<Self> {
        let interval = root.int("batch_interval_secs", 1..=604_800, Some(900));
        let server = server(root);
        let thresholds = thresholds(root);
        let history = history(root);
        let discord = chat(root, "discord");
        let slack = chat(root, "slack");
        let chats = [
            ("discord", "[discord]", discord.as_ref()),
            ("slack", "[slack]", slack.as_ref()),
        ];
        let taken: Vec<_> = chats
            .into_iter()
            .filter(|(_, _, url)| url.is_some_and(Option::is_some))
            .map(|(name, table, _)| (name, table))
            .collect();
        let notifiers = NotifierConfig::read_all(root, "notifiers", &taken);
        let mut plugins = root.table("plugins");
        let plugins_dir = plugins.path("dir", "/usr/lib/couic/plugins");
        plugins.finish();
        let page = page::read(root);
        let log_level = log_level(root);
        Some(Self {
            interval: Duration::from_secs(interval?),
            server: server?,
            thresholds: thresholds?,
            history: history?,
            discord: discord?,
            slack: slack?,
            notifiers: notifiers?,
            plugins_dir: plugins_dir?,
            page: page?,
            log_level: log_level?,
        })
    }
}

fn server(root: &mut Section<'_>) -> Option<Server> {
    let mut section = root.table("server");
    let name = name(&mut section);
    let ip = address(&mut section);
    let port = section.int("port", 1..=65_535, Some(8000));
    let port = port.and_then(|port| u16::try_from(port).ok());
    let secret = section.required("secret").and_then(|(text, line)| {
        Uuid::parse_str(text).ok().or_else(|| {
            let message = "is not a UUID (not shown here: it is a secret); uuidgen makes one";
            section.mistake(Some(line), "secret", message.to_owned())
        })
    });
    let max_mib = section.int("max_request_mib", 1..=1024, Some(64));
    section.finish();
    Some(Server {
        name: name?,
        addr: SocketAddr::new(ip?, port?),
        secret: Secret::new(secret?),
        max_body: usize::try_from(max_mib?).ok()? << 20,
    })
}

fn name(section: &mut Section<'_>) -> Option<String> {
    let (text, line) = section.required("name")?;
    if text.chars().count() <= 100 && !text.chars().any(char::is_control) {
        return Some(text.to_owned());
    }
    let message = "must have at most 100 characters, no control characters among them";
    section.mistake(Some(line), "name", message.to_owned())
}

fn address(section: &mut Section<'_>) -> Option<IpAddr> {
    let (text, line) = match section.string("addr") {
        Ok(Some(found)) => found,
        Ok(None) => return Some(IpAddr::from([127, 0, 0, 1])),
        Err(Noted) => return None,
    };
    text.parse().ok().or_else(|| {
        let message = format!("{text:?} is not an address to listen on, as in \"127.0.0.1\"");
        section.mistake(Some(line), "addr", message)
    })
}

fn thresholds(root: &mut Section<'_>) -> Option<Thresholds> {
    const COLOURS: [(&str, Severity); 3] = [
        ("green", Severity::Green),
        ("orange", Severity::Orange),
        ("red", Severity::Red),
    ];
    let mut section = root.table("thresholds");
    let orange = section.int("orange", 1..=u64::MAX, Some(10));
    let red = section.int("red", 1..=u64::MAX, Some(100));
    let min = section.one_of("threshold_min", &COLOURS, Severity::Green);
    if let (Some(orange), Some(red)) = (orange, red)
        && orange >= red
    {
        let message = format!("{orange} must be less than thresholds.red, which is {red}");
        let line = section.get("orange").or_else(|| section.get("red"));
        section.mistake::<()>(line.map(|found| found.line), "orange", message);
    }
    section.finish();
    Some(Thresholds {
        orange: orange?,
        red: red?,
        min: min?,
    })
}

fn log_level(root: &mut Section<'_>) -> Option<&'static str> {
    let levels = ["error", "warn", "info", "debug", "trace"].map(|level| (level, level));
    let mut section = root.table("logging");
    let level = section.one_of("level", &levels, "info");
    section.finish();
    level
}

fn history(root: &mut Section<'_>) -> Option<History> {
    let mut section = root.table("history");
    let max_mib = section.int("max_mib", 1..=1_048_576, Some(256));
    let days = section.int("days", 1..=3_650, Some(30));
    section.finish();
    Some(History {
        max_bytes: max_mib? << 20,
        kept: Duration::from_secs(days? * 86_400),
    })
}

/// `[discord]` or `[slack]`. The table requires a URL; an empty URL disables the notifier, as in 1.0.
fn chat(root: &mut Section<'_>, key: &'static str) -> Option<Option<Secret<String>>> {
    let there = root.get(key).is_some_and(|found| found.value.is_table());
    let mut section = root.table(key);
    let missing = there && section.get("webhook_url").is_none();
    if missing {
        let message = "is missing: set it, or remove the table".to_owned();
        section.mistake::<()>(None, "webhook_url", message);
    }
    let url = section.url("webhook_url");
    section.finish();
    url
}

#[cfg(test)]
mod tests;
