//! SIGHUP, as sent by `systemctl reload couic`: reads the configuration file and the set files again, and has the log
//! files opened again.
//!
//! What holds:
//! - The file is validated as a whole first. A bad one changes nothing, the set files included, and is a problem in
//!   health until a good one is read: the next start would fail with it.
//! - Keys of [`LIVE`] take effect at once. Others that differ from those of the start are named: they need a restart.

use std::{
    fs,
    path::{Path, PathBuf, absolute},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use couic_settings::Keys;
use parking_lot::Mutex;

use super::supervisor::Supervisor;
use crate::{
    api::{Api, reload_for_daemon},
    config::{Config, Settings as _, check_config_file},
    logging::LogControl,
};

/// The keys that take effect without a restart.
const LIVE: &[&str] = &[
    "guard.enforce",
    "guard.off",
    "logging.format",
    "logging.level",
];

/// What the last reload left, for health.
#[derive(Debug, Default)]
pub(super) struct ReloadState {
    /// Why the file was not taken over.
    problem: Mutex<Option<String>>,
    /// Keys that need a restart.
    pending: Mutex<Option<String>>,
}

impl ReloadState {
    pub(super) fn problem(&self) -> Option<String> {
        self.problem.lock().clone()
    }

    pub(super) fn pending(&self) -> Option<String> {
        self.pending.lock().clone()
    }
}

/// The configuration file, to be read again. Holds secrets, so it has no `Debug`.
pub(super) struct ConfigFile {
    path: PathBuf,
    /// Its keys at the start. None if it cannot be read twice, such as a pipe.
    at_start: Option<Keys>,
}

impl ConfigFile {
    /// Call it at the start.
    pub(super) fn at_start(path: &Path) -> Self {
        let is_file = fs::metadata(path).is_ok_and(|found| found.is_file());
        let text = is_file.then(|| fs::read_to_string(path).ok()).flatten();
        Self {
            // The working directory may be another one later.
            path: absolute(path).unwrap_or_else(|_| path.to_owned()),
            at_start: text.and_then(|text| Keys::of(&text)),
        }
    }

    /// What has to stay readable for that: the file, and its directory, since editors replace a file by renaming; but not
    /// a directory that is not Couic's own, as of /etc/couic.toml.
    pub(super) fn readable(&self) -> Vec<&Path> {
        let is_own = |dir: &&Path| {
            let name = dir.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with("couic")
        };
        let dir = self.path.parent().filter(is_own);
        let file = self.at_start.is_some().then_some(self.path.as_path());
        file.into_iter().chain(dir).collect()
    }

    fn read(&self) -> Result<(Config, Vec<String>, Option<String>), String> {
        let shown = self.path.display();
        let Some(before) = &self.at_start else {
            return Err(format!(
                "{shown}: it is not a regular file, so it is not read again"
            ));
        };
        let config = Config::load(&self.path)
            .map_err(|mistakes| mistakes.to_string().trim_end().replace('\n', "; "))?;
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let warnings = check_config_file(&self.path, &config)?;
        let pending = Keys::of(&text).and_then(|now| before.pending(&now, LIVE));
        Ok((config, warnings, pending))
    }
}

/// Reloads on request, one at a time.
pub(super) struct Reload {
    pub(super) file: ConfigFile,
    pub(super) state: Arc<ReloadState>,
    pub(super) api: Arc<Api>,
    pub(super) log: LogControl,
    pub(super) supervisor: Option<Arc<Supervisor>>,
    pub(super) turn: Mutex<()>,
    pub(super) queued: AtomicUsize,
}

impl Reload {
    /// Reloads. Waits for the disk. One that waits for its turn reads what later requests would.
    pub(super) fn run(&self) {
        if self.queued.fetch_add(1, Relaxed) > 1 {
            self.queued.fetch_sub(1, Relaxed);
            return;
        }
        let _turn = self.turn.lock();
        if let Some(supervisor) = &self.supervisor {
            supervisor.reloading();
        }
        let status = match self.reload() {
            Ok(text) => {
                tracing::info!(target: "couic::audit", action = "reloaded", "{text}");
                String::new()
            }
            Err(text) => {
                tracing::error!(target: "couic::audit", action = "reload_failed", "{text}");
                format!("; {text}")
            }
        };
        if let Some(supervisor) = &self.supervisor {
            supervisor.reloaded(&status);
        }
        self.queued.fetch_sub(1, Relaxed);
    }

    fn reload(&self) -> Result<String, String> {
        self.log.reopen();
        let (config, warnings, pending) = self.file.read().map_err(|why| {
            let text =
                format!("the configuration is NOT reloaded, the one before stays in force: {why}");
            *self.state.problem.lock() = Some(text.clone());
            text
        })?;
        *self.state.problem.lock() = None;
        warnings.iter().for_each(|text| tracing::warn!("{text}"));
        self.log.set(config.logging.level, config.logging.format);
        if let Some(guard) = self.api.firewall.guard() {
            guard.set_switches(config.guard.enforce, config.guard.off);
        }
        self.state.pending.lock().clone_from(&pending);
        let pending = pending.map(|text| format!("; {text}")).unwrap_or_default();
        let sets = reload_for_daemon(&self.api).map_err(|why| {
            format!("the configuration is reloaded{pending}; the set files are NOT: {why}")
        })?;
        Ok(format!("configuration reloaded{pending}; {sets}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_twice_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = ConfigFile::at_start(&dir.path().join("none"));
        assert!(file.readable().is_empty());
        assert!(file.read().unwrap_err().contains("not a regular file"));
        let path = dir.path().join("couic.toml");
        fs::write(&path, "ifaces = [\"lo\"]\n").unwrap();
        let file = ConfigFile::at_start(&path);
        assert_eq!(file.readable(), [path.as_path()]);
        let own = dir.path().join("couic-1");
        fs::create_dir(&own).unwrap();
        let file_of_ours = own.join("c.toml");
        fs::write(&file_of_ours, "").unwrap();
        let ours = ConfigFile::at_start(&file_of_ours);
        assert_eq!(ours.readable(), [file_of_ours.as_path(), own.as_path()]);
        fs::write(&path, "ifaces = []\nno_such_key = 1\n").unwrap();
        let told = file.read().unwrap_err();
        assert!(
            told.contains("ifaces") && told.contains("no_such_key"),
            "{told}"
        );
        fs::remove_file(&path).unwrap();
        assert!(file.read().unwrap_err().contains("cannot be read"));
    }
}
