//! The configuration file: parsed as spanned TOML and checked key by key into a valid [`Config`].
//!
//! All mistakes are reported, each with file, line and key, before anything on the machine is touched. An unknown key
//! is a mistake. Secrets are wrapped in [`Secret`], which has no `Display` and an empty `Debug`; messages never quote
//! a value that may be a secret.
//!
//! A file of Couic 1.0 works unchanged: its five tables and their keys keep their names and meaning.

mod file_mode;
mod mode;
mod network;
mod system;

use std::{net::SocketAddr, path::PathBuf};

pub use couic_settings::{ConfigErrors, Mistake, NotifierConfig, Secret, Settings};
pub use file_mode::{check_config_file, unreadable_for_user};
pub use network::{Peer, Peering, Reporting};
pub use system::{GuardRails, LogFormat, LogLevel, Logging, Rotation};

use couic_files::Account;
use couic_settings::Section;

use couic_firewall::dataplane::{Limits, OperationMode};

/// The default of `-c`.
pub const DEFAULT_PATH: &str = "/etc/couic/couic.toml";

/// The checked configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// Interfaces to filter on, by name or pattern: at least one, no duplicates.
    pub ifaces: Vec<String>,
    /// The mode in which the XDP program is attached.
    pub operation_mode: OperationMode,
    /// The directory of clients, sets and state. Absolute.
    pub working_dir: PathBuf,
    /// The user and group of the daemon and its files.
    pub owner: Account,
    /// Table sizes, per address family.
    pub limits: Limits,
    /// Whether hits are counted per rule.
    pub rule_counters: bool,
    /// Whether rules survive a restart.
    pub persist: bool,
    /// The log.
    pub logging: Logging,
    /// The API's Unix socket. Absolute, and short enough for a socket address.
    pub socket: PathBuf,
    /// Where metrics are served over TCP, if anywhere.
    pub metrics_listen: Option<SocketAddr>,
    /// Whether the filter stays attached, if possible, when the daemon ends.
    pub keep_filter: bool,
    /// The guard rails.
    pub guard: GuardRails,
    /// Reporting of rule changes to notifiers.
    pub reporting: Reporting,
    /// Sharing of rules with peers.
    pub peering: Peering,
    /// The directory of plugins.
    pub plugins_dir: PathBuf,
}

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
        let metrics_listen = network::metrics(root);
        let guard = system::guard(root);
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
            metrics_listen: metrics_listen?,
            keep_filter: state?.1,
            guard: guard?,
            reporting: reporting?,
            peering: peering?,
            plugins_dir: plugins_dir?,
        })
    }
}

#[cfg(test)]
mod tests;
