//! What is known about a plugin, whichever way it is loaded.

use std::{path::PathBuf, time::Duration};

use serde::Serialize;

/// What a plugin says about itself, and which file it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct PluginInfo {
    /// Its own name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Whatever it says about its build.
    pub build_info: String,
    /// A JSON schema of its configuration, or nothing.
    pub config_schema: String,
    /// The ABI that it was built for, `major.minor`.
    pub abi: String,
    /// The file.
    pub path: PathBuf,
    /// The SHA-256 of the file, hexadecimal: what a pin is compared with.
    pub sha256: String,
}

/// What went wrong with a plugin since it was started. None of it harms the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct PluginStats {
    /// Attempts that were given up and have not come back: a gauge, everything else here only grows.
    pub stuck: u64,
    /// Attempts without an answer in time.
    pub timeouts: u64,
    /// Panics that the plugin caught.
    pub panics: u64,
    /// Completions of attempts that are over: second ones, or after the timeout.
    pub late: u64,
    /// Completions of what was never asked.
    pub invented: u64,
    /// Results that are NULL, too short, not UTF-8, or of an unknown status.
    pub malformed: u64,
    /// How often its process had to be started again.
    pub restarts: u64,
}

/// How much a plugin is given.
#[derive(Clone, Debug)]
pub struct PluginOptions {
    /// For one attempt.
    pub timeout: Duration,
    /// For loading and creating an instance.
    pub create_timeout: Duration,
    /// How many attempts may be under way, those included that were given up. Plugins that are not concurrent are
    /// given one.
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
