//! Description, error counters and limits of a plugin, loaded or isolated.

use std::{path::PathBuf, time::Duration};

use serde::Serialize;

/// A plugin's own description, and its file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct PluginInfo {
    /// Its own name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Its build information.
    pub build_info: String,
    /// A JSON schema of its configuration, or empty.
    pub config_schema: String,
    /// The ABI that it was built for, `major.minor`.
    pub abi: String,
    /// The file.
    pub path: PathBuf,
    /// The SHA-256 of the file, hexadecimal, as for a pin.
    pub sha256: String,
}

/// Error counters of a plugin since its start. None of these errors harms the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct PluginStats {
    /// Attempts that were given up and are not completed: a gauge, all others are counters.
    pub stuck: u64,
    /// Attempts without an answer in time.
    pub timeouts: u64,
    /// Panics that the plugin caught.
    pub panics: u64,
    /// Completions of attempts that are no longer pending: repeated, or after the timeout.
    pub late: u64,
    /// Completions of attempts that never existed.
    pub invented: u64,
    /// Results that are NULL, too short, not UTF-8, or of an unknown status.
    pub malformed: u64,
    /// Restarts of its process.
    pub restarts: u64,
}

/// Limits of a plugin.
#[derive(Clone, Debug)]
pub struct PluginOptions {
    /// Timeout of an attempt.
    pub timeout: Duration,
    /// Timeout of loading and creating an instance.
    pub create_timeout: Duration,
    /// How many attempts may be in flight, including those that were given up. Plugins that are not concurrent have
    /// one.
    pub max_in_flight: usize,
}

impl Default for PluginOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            create_timeout: Duration::from_secs(10),
            max_in_flight: 8,
        }
    }
}
