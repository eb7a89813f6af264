//! The configuration file: read into spanned TOML, checked key by key, and handed out as a struct that cannot be wrong.
//!
//! All mistakes are reported, each with file, line and key, before anything on the machine is touched. A key that
//! nobody knows is a mistake. Secrets are wrapped in [`Secret`], which has no `Display` and an empty `Debug`; messages
//! never quote a value that may be one.
//!
//! A file of Couic 1.0 works unchanged: its five tables and their keys keep their names and meaning.

mod file_mode;
mod mode;
mod network;
mod system;

use std::path::PathBuf;

pub use couic_settings::{ConfigErrors, Mistake, NotifierConfig, Secret, Settings};
pub use file_mode::check_config_file;
pub use network::{Peer, Peering, Reporting};
pub use system::{LogFormat, LogLevel, Logging, Rotation};

use couic_files::Account;
use couic_settings::Section;

use couic_firewall::dataplane::{Limits, OperationMode};

/// Where the file is, unless `-c` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/couic/couic.toml";

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Interfaces to filter on, by name or pattern: at least one, no doubles.
    pub ifaces: Vec<String>,
    /// How the XDP program is attached.
    pub operation_mode: OperationMode,
    /// Where clients and sets are. Absolute.
    pub working_dir: PathBuf,
    /// Whose files these are.
    pub owner: Account,
    /// Table sizes, per address family.
    pub limits: Limits,
    /// Whether hits are counted for each rule.
    pub rule_counters: bool,
    /// Whether rules outlive the daemon.
    pub persist: bool,
    /// Where the log goes.
    pub logging: Logging,
    /// The API's Unix socket. Absolute, and short enough for an address.
    pub socket: PathBuf,
    /// Whether the filter stays, where it can, when the daemon ends.
    pub keep_filter: bool,
    /// Whether the guard rails hold for requests that do not ask for them.
    pub enforce_guard: bool,
    /// Whom rule changes are reported to.
    pub reporting: Reporting,
    /// Whom rule changes are shared with.
    pub peering: Peering,
    /// Where plugins are looked for.
    pub plugins_dir: PathBuf,
}

impl Config {}

impl Settings for Config {
    fn read(root: &mut Section<'_>) -> Option<Self> {
        let ifaces = system::ifaces(root);
        let operation_mode = root.one_of("operation_mode", mode::CHOICES, OperationMode::Auto);
        let working_dir = root.path("working_dir", "/var/lib/couic");
        let owner = system::owner(root);
        let limits = system::limits(root);
        let rule_counters = system::statistics(root);
        let state = system::state(root);
        let logging = system::logging(root);
        let socket = system::socket(root);
        let enforce_guard = system::guard(root);
        let reporting = network::reporting(root);
        let peering = network::peering(root);
        let plugins_dir = system::plugins(root);
        Some(Config {
            ifaces: ifaces?,
            operation_mode: operation_mode?,
            working_dir: working_dir?,
            owner: owner?,
            limits: limits?,
            rule_counters: rule_counters?,
            persist: state?.0,
            logging: logging?,
            socket: socket?,
            keep_filter: state?.1,
            enforce_guard: enforce_guard?,
            reporting: reporting?,
            peering: peering?,
            plugins_dir: plugins_dir?,
        })
    }
}

#[cfg(test)]
mod tests;
