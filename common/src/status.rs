//! What the daemon knows of itself and its machine.

use serde::{Deserialize, Serialize};

/// Answer of `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DaemonStatus {
    /// Of the daemon.
    pub version: String,
    /// The daemon's clock, Unix milliseconds.
    pub now_ms: u64,
    /// For how many seconds the daemon has been running.
    pub uptime: u64,
    /// The kernel's release, as `uname -r` says it.
    pub kernel: String,
    /// Whether the kernel takes the clock for synchronised; nothing where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_synchronised: Option<bool>,
    /// By how much the wall clock has jumped since the start, in milliseconds: ahead or, below 0, back.
    pub clock_jumped_ms: i64,
    /// The disks that it writes to.
    pub disks: Vec<DiskStatus>,
    /// File descriptors in use.
    pub open_files: u64,
    /// How many there may be.
    pub open_files_limit: u64,
    /// Whether systemd started it, and takes file descriptors in store (`FileDescriptorStoreMax=`): how many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd_fd_store: Option<u64>,
    /// Whether systemd started it.
    pub systemd: bool,
    /// Changes that are undone unless somebody confirms them.
    pub pending_confirmations: u64,
}

/// A disk that the daemon writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiskStatus {
    /// What lies there: `working_dir` or `log`.
    pub holds: String,
    /// The directory.
    pub path: String,
    /// Bytes that the daemon may still write.
    pub free_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// Files that can still be made; as many as there can be where the file system does not count them.
    pub free_inodes: u64,
    /// Files in all; 0 where the file system does not count them.
    pub total_inodes: u64,
    /// Whether it takes nothing at all at present: it is mounted read-only.
    pub read_only: bool,
    /// Why nothing is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
