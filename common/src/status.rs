//! Status of the daemon and its host.

use serde::{Deserialize, Serialize};

/// Response of `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DaemonStatus {
    /// Version of the daemon.
    pub version: String,
    /// Time by the daemon's clock, Unix milliseconds.
    pub now_ms: u64,
    /// Uptime of the daemon in seconds.
    pub uptime: u64,
    /// The kernel release, as in `uname -r`.
    pub kernel: String,
    /// Whether the kernel considers the clock synchronised; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_synchronised: Option<bool>,
    /// Total jump of the wall clock since the start, in milliseconds: forward, or backward if negative.
    pub clock_jumped_ms: i64,
    /// The file systems that it writes to.
    pub disks: Vec<DiskStatus>,
    /// File descriptors in use.
    pub open_files: u64,
    /// Limit of open file descriptors.
    pub open_files_limit: u64,
    /// Size of systemd's file descriptor store for the daemon (`FileDescriptorStoreMax=`); absent without systemd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub systemd_fd_store: Option<u64>,
    /// Whether systemd started the daemon.
    pub systemd: bool,
    /// Changes that await confirmation.
    pub pending_confirmations: u64,
}

/// A file system that the daemon writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DiskStatus {
    /// Its use: `working_dir` or `log`.
    pub holds: String,
    /// The directory.
    pub path: String,
    /// Bytes available to the daemon.
    pub free_bytes: u64,
    /// Total bytes.
    pub total_bytes: u64,
    /// Free inodes; the maximum if the file system does not count them.
    pub free_inodes: u64,
    /// Total inodes; 0 if the file system does not count them.
    pub total_inodes: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
    /// Why the figures are not available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}
