//! The configuration file: read into spanned TOML, checked key by key, and handed out as a struct that cannot be wrong.
//!
//! All mistakes are reported, each with file, line and key, before anything on the machine is touched. A key that
//! nobody knows is a mistake. Secrets are wrapped in [`Secret`], which has no `Display` and an empty `Debug`; messages
//! never quote a value that may be one.
//!
//! A file of Couic 1.0 works unchanged: its five tables and their keys keep their names and meaning.

mod error;
mod mode;
mod network;
mod reader;
mod secret;
mod system;

use std::{fs, path::Path, path::PathBuf};

pub use error::{ConfigErrors, Mistake};
pub use mode::OperationMode;
pub use network::{Notifier, Peer, Peering, Reporting};
pub use secret::Secret;
pub use system::{LogFormat, LogLevel, Logging, Owner, Rotation};

use crate::dataplane::Limits;
use reader::{Reader, Section};

/// Where the file is, unless `-c` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/couic/couic.toml";

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Interfaces to filter on: at least one, no doubles.
    pub ifaces: Vec<String>,
    /// How the XDP program is attached.
    pub operation_mode: OperationMode,
    /// Where clients and sets are. Absolute.
    pub working_dir: PathBuf,
    /// Whose files these are.
    pub owner: Owner,
    /// Table sizes, per address family.
    pub limits: Limits,
    /// Where the log goes.
    pub logging: Logging,
    /// The API's Unix socket. Absolute, and short enough for an address.
    pub socket: PathBuf,
    /// Whether the guard rails hold for requests that do not ask for them.
    pub enforce_guard: bool,
    /// Whom rule changes are reported to.
    pub reporting: Reporting,
    /// Whom rule changes are shared with.
    pub peering: Peering,
    /// Where plugins are looked for.
    pub plugins_dir: PathBuf,
}

impl Config {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// Every mistake in it, or why it cannot be read.
    pub fn load(path: &Path) -> Result<Self, ConfigErrors> {
        let text = fs::read_to_string(path).map_err(|e| {
            let message = format!("cannot be read: {e}");
            ConfigErrors::new(path, vec![Mistake::of_file(message)])
        })?;
        Self::parse(&text).map_err(|mistakes| ConfigErrors::new(path, mistakes))
    }

    /// Checks a text.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let document = reader::document(text)?;
        let reader = Reader::new(text);
        let config = read(&reader, document.get_ref());
        match (config, reader.into_mistakes()) {
            (Some(config), mistakes) if mistakes.is_empty() => Ok(config),
            (_, mistakes) => Err(mistakes),
        }
    }

    /// What the file asks for and this version does not do. The daemon warns of it at its start.
    #[must_use]
    pub fn not_done_yet(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if self.reporting.enabled {
            missing.push("[reporting] is enabled, but this version sends no reports yet");
        }
        if self.peering.enabled {
            missing.push(
                "[peering] is enabled, but this version sends nothing to peers yet; it takes their jobs",
            );
        }
        missing
    }
}

/// Every part is read, whatever is wrong with the ones before: all mistakes are wanted.
fn read(reader: &Reader<'_>, table: &toml::de::DeTable<'_>) -> Option<Config> {
    let mut root = Section::root(reader, table);
    let ifaces = system::ifaces(&mut root);
    let operation_mode = root.one_of("operation_mode", mode::CHOICES, OperationMode::Auto);
    let working_dir = root.path("working_dir", "/var/lib/couic");
    let owner = system::owner(&mut root);
    let limits = system::limits(&mut root);
    let logging = system::logging(&mut root);
    let socket = system::socket(&mut root);
    let enforce_guard = system::guard(&mut root);
    let reporting = network::reporting(&mut root);
    let peering = network::peering(&mut root);
    let plugins_dir = system::plugins(&mut root);
    root.finish();
    Some(Config {
        ifaces: ifaces?,
        operation_mode: operation_mode?,
        working_dir: working_dir?,
        owner: owner?,
        limits: limits?,
        logging: logging?,
        socket: socket?,
        enforce_guard: enforce_guard?,
        reporting: reporting?,
        peering: peering?,
        plugins_dir: plugins_dir?,
    })
}

#[cfg(test)]
mod tests;
