//! The log, and SIGHUP: reads the configuration again, and takes over the level of the log.
//!
//! The file is validated as a whole first: a bad one changes nothing. Other keys that differ from those of the start are
//! named: they need a restart, which loses no report.

use std::{
    fs,
    path::{Path, PathBuf},
};

use couic_journald::Level;
use couic_report::config::{Config, Settings as _};
use couic_settings::Keys;
use tracing::{error, info};

/// The keys that take effect without a restart.
const LIVE: &[&str] = &["logging.level"];

/// What a reload needs.
pub(crate) struct Reload {
    path: PathBuf,
    /// None if the file cannot be read twice, such as a pipe.
    at_start: Option<Keys>,
    level: Level,
}

impl Reload {
    /// Starts the log: to stderr, which systemd collects, with priorities.
    pub(crate) fn start(path: &Path, config: &Config) -> Self {
        // The environment goes before the configuration.
        let level = Level::start("COUIC_REPORT_LOG", config.log_level);
        let is_file = fs::metadata(path).is_ok_and(|found| found.is_file());
        let text = is_file.then(|| fs::read_to_string(path).ok()).flatten();
        Self {
            path: path.to_owned(),
            at_start: text.and_then(|text| Keys::of(&text)),
            level,
        }
    }

    /// Reloads, and logs what was taken over.
    pub(crate) fn run(&self) {
        match self.reload() {
            Ok(text) => info!("{text}"),
            Err(why) => {
                error!("the configuration is NOT reloaded, the one before stays in force: {why}");
            }
        }
    }

    fn reload(&self) -> Result<String, String> {
        let shown = self.path.display();
        let Some(before) = &self.at_start else {
            return Err(format!(
                "{shown}: it is not a regular file, so it is not read again"
            ));
        };
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY");
        if credentials.is_some_and(|dir| self.path.starts_with(dir)) {
            return Err(format!(
                "{shown} is the copy that systemd made at the start: systemctl restart couic-report reads the file \
                 itself, and loses no report"
            ));
        }
        let config = Config::load(&self.path)
            .map_err(|mistakes| mistakes.to_string().trim_end().replace('\n', "; "))?;
        self.level.set(config.log_level);
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let pending = Keys::of(&text).and_then(|now| before.pending(&now, LIVE));
        let pending = pending.map(|text| format!("; {text}")).unwrap_or_default();
        Ok(format!("configuration reloaded{pending}"))
    }
}
