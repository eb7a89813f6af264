//! The configuration: `couic-bouncer.toml`, and the files of `couic-bouncer.d`.
//!
//! All mistakes are reported at once, each with file, line and key, before anything on the machine is touched. The keys of
//! `[crowdsec]` and `[feeds.NAME]` are those of their libraries, which check them.

mod needs;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use couic_feeds::{Feed, FeedConfig, MOST_FEEDS, asn};
use couic_settings::{Layers, Part, PartErrors, Section, read_parts, state_dir};

/// The default port of the metrics.
const METRICS: &str = "127.0.0.1:2922";

/// Default paths.
const STATE: &str = "/var/lib/couic-bouncer";
const CONTROL: &str = "/run/couic-bouncer/control.sock";
const SOCKET: &str = "/var/run/couic/couic.sock";
const TOKEN: &str = "/etc/couic-bouncer/token";

/// A valid configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// The user that a start as root becomes.
    pub(crate) user: Option<String>,
    /// The last good lists.
    pub(crate) state_dir: PathBuf,
    /// The socket of its commands.
    pub(crate) control: PathBuf,
    /// Where metrics are served, on the loopback; None if they are off.
    pub(crate) metrics: Option<SocketAddr>,
    /// The daemon's socket.
    pub(crate) socket: PathBuf,
    /// The token of the daemon's client.
    pub(crate) token_file: PathBuf,
    /// The lowest level that is logged.
    pub(crate) log_level: &'static str,
    /// Where prefixes of autonomous systems come from.
    pub(crate) asn_url: String,
    /// None without `[crowdsec]`.
    pub(crate) crowdsec: Option<couic_crowdsec::Config>,
    /// In the order of their names.
    pub(crate) feeds: Vec<FeedConfig>,
}

impl Config {
    /// Reads and checks the file, and those of the directory beside it.
    ///
    /// # Errors
    /// All mistakes in them, or the reason why one cannot be read.
    pub(crate) fn load(path: &Path) -> Result<Self, PartErrors> {
        let files = read_parts(path)?;
        let emptied = emptied(&files);
        match emptied.is_empty() {
            true => Self::of(&files),
            false => Err(emptied.into()),
        }
    }

    /// The socket of the commands, as far as an invalid configuration tells it.
    pub(crate) fn control_in(path: &Path) -> PathBuf {
        let files = read_parts(path).unwrap_or_default();
        let mut named = files.iter().filter_map(|file| {
            let table: toml::Table = file.text.parse().ok()?;
            Some(PathBuf::from(table.get("control")?.as_str()?))
        });
        let named = named.find(|control| control.is_absolute());
        named.unwrap_or_else(|| CONTROL.into())
    }

    /// The same for texts.
    ///
    /// # Errors
    /// All mistakes in them.
    pub(crate) fn of(files: &[Part]) -> Result<Self, PartErrors> {
        let layers = Layers {
            files,
            below: &[],
            named: &["feeds"],
            lists: &[],
            either: &[],
        };
        let read = layers.parse(read);
        read.map_err(PartErrors::from)
    }

    /// What holds where no file says otherwise.
    pub(crate) fn empty() -> Self {
        Self {
            user: None,
            state_dir: STATE.into(),
            control: CONTROL.into(),
            metrics: None,
            socket: SOCKET.into(),
            token_file: TOKEN.into(),
            log_level: "info",
            asn_url: asn::DEFAULT_URL.to_owned(),
            crowdsec: None,
            feeds: Vec::new(),
        }
    }

    /// What is valid, but without effect.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.crowdsec.is_none() && self.feeds.is_empty() {
            warnings.push(
                "there is neither [crowdsec] nor [feeds.NAME], so there is nothing to do"
                    .to_owned(),
            );
        }
        let in_shadow = self.checked().filter(|feed| feed.shadow);
        warnings.extend(in_shadow.map(|feed| {
            let name = &feed.name;
            format!("feed {name} is in shadow: fetched and judged, but not in force until it has shadow = false")
        }));
        warnings
    }

    /// The feeds, checked, which they were.
    pub(crate) fn checked(&self) -> impl Iterator<Item = Feed> {
        self.feeds.iter().filter_map(|feed| feed.check().ok())
    }
}

/// A mistake for each file without a byte of content: what a full disk or a failed copy leaves would remove the sets of the
/// feeds that were in it. A comment says that it is meant.
fn emptied(files: &[Part]) -> Vec<String> {
    let emptied = files.iter().filter(|file| file.text.trim().is_empty());
    let told = |file: &Part| {
        format!(
            "{}: is empty: did an edit or a copy fail? If it is meant, remove the file or write the line \"# empty on purpose\" into it",
            file.path.display()
        )
    };
    emptied.map(told).collect()
}

fn read(root: &mut Section<'_>) -> Option<Config> {
    let user = root.string("user");
    let state_dir = root.path("state_dir", &state_dir(STATE));
    let control = root.path("control", CONTROL);
    let asn_url = asn_url(root);
    let mut daemon = root.table("daemon");
    let socket = daemon.path("socket", SOCKET);
    let token_file = daemon.path("token_file", TOKEN);
    daemon.finish();
    let metrics = root.metrics(METRICS);
    let log_level = root.log_level();
    let crowdsec = crowdsec(root);
    let feeds = feeds(root);
    Some(Config {
        user: user.ok()?.map(|(user, _)| user.to_owned()),
        state_dir: state_dir?,
        control: control?,
        metrics: metrics?,
        socket: socket?,
        token_file: token_file?,
        log_level: log_level?,
        asn_url: asn_url?,
        crowdsec: crowdsec?,
        feeds: feeds?,
    })
}

fn asn_url(root: &mut Section<'_>) -> Option<String> {
    let Some((url, line)) = root.string("asn_url").ok()? else {
        return Some(asn::DEFAULT_URL.to_owned());
    };
    if url.contains(asn::PLACEHOLDER) && needs::port(&url.replace(asn::PLACEHOLDER, "1")).is_some()
    {
        return Some(url.to_owned());
    }
    let message = "must be a URL with {asn} in the place of the number".to_owned();
    root.mistake(Some(line), "asn_url", message)
}

/// None after a mistake, `Some(None)` without the table.
fn crowdsec(root: &mut Section<'_>) -> Option<Option<couic_crowdsec::Config>> {
    if root.get("crowdsec").is_none() {
        return Some(None);
    }
    let config: couic_crowdsec::Config = root.table("crowdsec").typed(&[])?;
    let mistakes = config.mistakes();
    let is_fine = mistakes.is_empty();
    for (key, message) in mistakes {
        root.mistake_at(&format!("crowdsec.{key}"), message);
    }
    is_fine.then_some(Some(config))
}

fn feeds(root: &mut Section<'_>) -> Option<Vec<FeedConfig>> {
    let tables = root.tables_by_name("feeds")?;
    if tables.len() > MOST_FEEDS {
        root.mistake_at("feeds", format!("there are more than {MOST_FEEDS} feeds"));
        return None;
    }
    let read: Vec<_> = tables
        .into_iter()
        .map(|(name, section)| feed(root, name, section))
        .collect();
    read.into_iter().collect()
}

fn feed(root: &Section<'_>, name: &str, section: Section<'_>) -> Option<FeedConfig> {
    let config: FeedConfig = section.typed(&[("name", name)])?;
    let mistakes = config.check().err().unwrap_or_default();
    for mistake in &mistakes {
        let key = format!("feeds.{name}.{}", mistake.key);
        root.mistake_at(&key, mistake.message.clone());
    }
    mistakes.is_empty().then_some(config)
}
