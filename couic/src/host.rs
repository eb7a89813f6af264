//! The state of the machine: clock, disks, file descriptors, supervisor. Read per request.
//!
//! Requires no privilege. Values that cannot be read are reported as unknown.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Instant,
};

use couic_common::{DaemonStatus, DiskStatus, unix_time};
use nix::{
    sys::{
        resource::{Resource, getrlimit},
        statvfs::{FsFlags, statvfs},
    },
    unistd::getppid,
};

/// The daemon's machine.
#[derive(Clone, Debug)]
pub struct Host {
    started: Instant,
    started_ms: u64,
    kernel: String,
    /// The directories that it writes to, with their purpose.
    disks: Vec<(&'static str, PathBuf)>,
}

impl Host {
    /// Create it at the start: it records the time.
    #[must_use]
    pub fn new(working_dir: &Path, log_dir: Option<&Path>) -> Self {
        let log = log_dir.map(|dir| ("log", dir.to_owned()));
        Self {
            started: Instant::now(),
            started_ms: unix_ms(),
            kernel: kernel(),
            disks: [("working_dir", working_dir.to_owned())]
                .into_iter()
                .chain(log)
                .collect(),
        }
    }

    /// The current state.
    #[must_use]
    pub fn read(&self) -> DaemonStatus {
        let now_ms = unix_ms();
        let ran = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (open_files_limit, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or_default();
        DaemonStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now_ms,
            uptime: ran / 1_000,
            kernel: self.kernel.clone(),
            clock_synchronised: synchronised(),
            clock_jumped_ms: jumped(now_ms, self.started_ms.saturating_add(ran)),
            disks: self
                .disks
                .iter()
                .map(|(holds, path)| disk(holds, path))
                .collect(),
            open_files: fs::read_dir("/proc/self/fd").map_or(0, |all| all.count() as u64),
            open_files_limit,
            systemd_fd_store: env::var("FDSTORE").ok().and_then(|n| n.parse().ok()),
            systemd: env::var_os("INVOCATION_ID").is_some() && getppid().as_raw() == 1,
            pending_confirmations: 0,
        }
    }
}

fn unix_ms() -> u64 {
    u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX)
}

/// The wall clock's time less the start plus the monotonic clock's time since.
fn jumped(shown: u64, steady: u64) -> i64 {
    let way = i64::try_from(shown.abs_diff(steady)).unwrap_or(i64::MAX);
    if shown >= steady { way } else { -way }
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    release.trim().to_owned()
}

/// Whether the kernel's clock is synchronised (by chrony, systemd-timesyncd, ntpd); `None` if that cannot be read.
fn synchronised() -> Option<bool> {
    // SAFETY: a structure of integers, valid if zeroed.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `modes` is 0, so that this only writes into `timex`.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    (state >= 0).then_some(state != libc::TIME_ERROR && timex.status & libc::STA_UNSYNC == 0)
}

fn disk(holds: &str, path: &Path) -> DiskStatus {
    let mut status = DiskStatus {
        holds: holds.to_owned(),
        path: path.display().to_string(),
        free_bytes: 0,
        total_bytes: 0,
        free_inodes: 0,
        total_inodes: 0,
        read_only: false,
        problem: None,
    };
    match statvfs(path) {
        Ok(found) => {
            let block = found.fragment_size();
            status.free_bytes = found.blocks_available().saturating_mul(block);
            status.total_bytes = found.blocks().saturating_mul(block);
            status.total_inodes = found.files();
            status.free_inodes = if found.files() == 0 {
                u64::MAX
            } else {
                found.files_available()
            };
            status.read_only = found.flags().contains(FsFlags::ST_RDONLY);
        }
        Err(error) => status.problem = Some(error.to_string()),
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_disks_and_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(dir.path(), Some(&dir.path().join("gone")));
        let status = host.read();
        assert!(status.now_ms > 1_700_000_000_000);
        assert!(status.kernel.contains('.'), "{}", status.kernel);
        assert!(status.open_files > 0 && status.open_files_limit >= status.open_files);
        let [work, log] = &status.disks[..] else {
            panic!("{:?}", status.disks)
        };
        assert_eq!(
            (work.holds.as_str(), log.holds.as_str()),
            ("working_dir", "log")
        );
        assert!(work.total_bytes > 0 && work.free_inodes > 0 && work.problem.is_none());
        assert!(log.problem.is_some());
    }

    #[test]
    fn a_clock_jumps_either_way() {
        assert_eq!(jumped(5_000, 5_000), 0);
        assert_eq!(jumped(9_000, 5_000), 4_000);
        assert_eq!(jumped(1_000, 5_000), -4_000);
        assert_eq!(jumped(0, u64::MAX), -i64::MAX);
    }
}
