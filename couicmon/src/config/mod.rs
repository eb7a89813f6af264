//! The configuration: `couicmon.toml`, the files of `couicmon.d`, and presets below them.
//!
//! All mistakes are reported at once, each with file, line and key, before anything on the machine is touched.

mod detect;
mod doubts;
mod presets;
mod source;
mod text;

#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use couic_detect::{DetectConfig, Rules};
use couic_settings::{Layers, Part, PartErrors, Section, read_parts, state_dir};

pub(crate) use self::source::{ClientFrom, Proxies, SourceConfig};

/// The default port of the metrics.
const METRICS: &str = "127.0.0.1:2921";

/// A valid configuration.
#[derive(Clone)]
pub(crate) struct Config {
    /// The user that a start as root becomes.
    pub(crate) user: Option<String>,
    /// Checkpoints, the ladder, bans that were not sent.
    pub(crate) state_dir: PathBuf,
    /// The socket of `couicmon top`.
    pub(crate) control: PathBuf,
    /// Where metrics are served, on the loopback; None if they are off.
    pub(crate) metrics: Option<SocketAddr>,
    /// The daemon's socket.
    pub(crate) socket: PathBuf,
    /// The token of the daemon's client.
    pub(crate) token_file: PathBuf,
    /// How far back a start reads what was written meanwhile.
    pub(crate) catch_up: Duration,
    /// The lowest level that is logged.
    pub(crate) log_level: &'static str,
    /// Where lines come from.
    pub(crate) sources: Vec<SourceConfig>,
    /// Jails and what holds for all of them, checked.
    pub(crate) detect: Arc<DetectConfig>,
    /// Presets that displace each other.
    shared: Vec<String>,
}

impl Config {
    /// Reads and checks the file, and those of the directory beside it.
    ///
    /// # Errors
    /// All mistakes in them, or the reason why one cannot be read.
    pub(crate) fn load(path: &Path) -> Result<Self, PartErrors> {
        let files = read_parts(path)?;
        Self::of(&files)
    }

    /// The same for texts.
    ///
    /// # Errors
    /// All mistakes in them.
    pub(crate) fn of(files: &[Part]) -> Result<Self, PartErrors> {
        let layers = Layers {
            files,
            below: &presets::below(files),
            named: &["source", "jail", "login"],
            lists: &["presets"],
            either: &[source::INPUTS, source::FORMATS],
        };
        let read = layers.parse(read);
        let read = read.map(|config| Self {
            shared: presets::shared(files),
            ..config
        });
        read.map_err(PartErrors::from)
    }

    /// What is valid, but dangerous or without effect.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let rules = self.rules();
        let warnings = rules.iter().flat_map(Rules::warnings);
        let mut warnings: Vec<String> = warnings
            .map(|one| doubts::short(&one.to_string()))
            .collect();
        warnings.extend(self.shared.iter().cloned());
        warnings.extend(doubts::of(&self.sources, &self.detect));
        if self.detect.jails.is_empty() {
            warnings.push(
                "there is no jail, so nobody is banned: add [jail.NAME], or presets = [\"sshd\"]"
                    .to_owned(),
            );
        }
        warnings
    }

    /// The rules for a detector. None if they are not valid, which was checked.
    pub(crate) fn rules(&self) -> Option<Rules> {
        self.detect.check(&names(&self.sources)).ok()
    }
}

fn read(root: &mut Section<'_>) -> Option<Config> {
    let user = root.string("user");
    let state_dir = root.path("state_dir", &state_dir("/var/lib/couicmon"));
    let control = root.path("control", "/run/couicmon/control.sock");
    let (most, usual) = (Duration::from_secs(7 * 86_400), Duration::from_secs(600));
    let catch_up = root.duration("catch_up", most, usual);
    let mut daemon = root.table("daemon");
    let socket = daemon.path("socket", "/var/run/couic/couic.sock");
    let token_file = daemon.path("token_file", "/etc/couicmon/token");
    daemon.finish();
    let metrics = root.metrics(METRICS);
    let log_level = root.log_level();
    let presets = known_presets(root);
    let sources = source::read_all(root);
    let (mut detect, fine) = detect::read(root);
    // Of all that are named, whether they can be read or not: what is wrong in the jails is told as well.
    let named: Vec<String> = (root.tables_by_name("source").into_iter().flatten())
        .map(|(name, _)| name.to_owned())
        .collect();
    // A jail without sources reads all: presets such as `scanners` cannot know their names.
    for jail in &mut detect.jails {
        if jail.sources.is_empty() {
            jail.sources.clone_from(&named);
        }
    }
    let checked = checked(root, &named, &detect);
    presets?;
    let sources = sources?;
    checked.filter(|()| fine)?;
    Some(Config {
        user: user.ok()?.map(|(user, _)| user.to_owned()),
        state_dir: state_dir?,
        control: control?,
        metrics: metrics?,
        socket: socket?,
        token_file: token_file?,
        catch_up: catch_up?,
        log_level: log_level?,
        sources,
        detect: Arc::new(detect),
        shared: Vec::new(),
    })
}

fn names(sources: &[SourceConfig]) -> Vec<String> {
    sources.iter().map(|source| source.name.clone()).collect()
}

/// The detector's own check, with lines.
fn checked(root: &mut Section<'_>, sources: &[String], detect: &DetectConfig) -> Option<()> {
    if sources.is_empty() {
        root.mistake_at(
            "source",
            "is missing: there is nothing to read; add [source.NAME] or presets = [\"sshd\"]"
                .to_owned(),
        );
        return None;
    }
    match detect.check(sources) {
        Ok(_) => Some(()),
        Err(mistakes) => {
            let logins: Vec<&str> = root
                .tables_by_name("login")
                .into_iter()
                .flatten()
                .map(|(name, _)| name)
                .collect();
            for mistake in mistakes {
                root.mistake_at(&as_written(&mistake.key, &logins), mistake.message);
            }
            None
        }
    }
}

/// The detector knows `[login.NAME]` by its number.
fn as_written(key: &str, logins: &[&str]) -> String {
    let login = key.strip_prefix("logins.").and_then(|rest| {
        let (number, key) = rest.split_once('.')?;
        let name = logins.get(number.parse::<usize>().ok()?)?;
        Some(format!("login.{name}.{key}"))
    });
    login.unwrap_or_else(|| key.to_owned())
}

/// Whether all presets that are asked for exist.
fn known_presets(root: &mut Section<'_>) -> Option<()> {
    let mut fine = Some(());
    let words = root.words("presets");
    for (name, line) in words.iter().flatten() {
        if crate::presets::get(name).is_none() {
            let message = format!("{name:?} is none of: {}", crate::presets::NAMES.join(", "));
            fine = root.mistake(Some(*line), "presets", message);
        }
    }
    for kind in ["source", "jail"] {
        for (own, mut section) in root.tables_by_name(kind).into_iter().flatten() {
            let Ok(Some((name, line))) = section.string("preset") else {
                continue;
            };
            if let Some(message) = presets::unknown(kind, own, name) {
                fine = section.mistake(Some(line), "preset", message);
            }
        }
    }
    words.and(fine)
}
