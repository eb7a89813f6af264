//! The panic switch: one word in the tables, and the file that says so to the next start.
//!
//! Guarantees:
//! - Switching on takes effect before anything else is done, waits for no change of rules, and needs no disk.
//! - While it is on, a start lets every packet pass: the existence of the file counts, not its content.
//! - Rules go on being changed meanwhile. Switched off, all of them hold again from the next packet on.
//! - It is never silent: every answer of the API has a header, health is down, the log says so every minute.
//! - If the file cannot be written or removed, health says so, and it is retried.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{ClientName, Health, PanicStatus};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::rules::Firewall;
use couic_files::{read_regular, remove_file, replace_file};

/// Below the working directory.
const FILE: &str = "panic.json";

/// Far more bytes than a record has.
const LARGEST: u64 = 64 * 1024;

/// How often the log says that nothing is filtered.
const REMINDER: Duration = Duration::from_secs(60);

/// How soon a failed write is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// The content of the file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Record {
    by: Option<ClientName>,
    since: Option<u64>,
    reason: Option<String>,
}

#[derive(Debug, Default)]
struct SwitchState {
    on: bool,
    /// Who switched last, and when; why it is on.
    last: Record,
    /// The file's content at the start, if it could not be parsed.
    unread: Option<String>,
    /// Why the file is not as it should be: a restart would switch to something else.
    unsaved: Option<String>,
    /// When that was tried last.
    tried: Option<Instant>,
    reminded: Option<Instant>,
}

/// The switch.
pub struct PanicSwitch {
    firewall: Arc<Firewall>,
    file: PathBuf,
    state: Mutex<SwitchState>,
}

impl std::fmt::Debug for PanicSwitch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PanicSwitch").finish_non_exhaustive()
    }
}

impl PanicSwitch {
    /// Restores the last state. Must be called before the program is attached.
    #[must_use]
    pub fn open(working_dir: &Path, firewall: Arc<Firewall>) -> Self {
        let file = working_dir.join(FILE);
        let mut state = SwitchState::default();
        match read_regular(&file, LARGEST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => {
                state.on = true;
                match read.and_then(|text| Ok(serde_json::from_slice(&text)?)) {
                    Ok(record) => state.last = record,
                    Err(error) => {
                        let file = file.display();
                        state.unread =
                            Some(format!("who switched it on is not known: {file}: {error}"));
                    }
                }
            }
        }
        firewall.pass_all(state.on);
        Self {
            firewall,
            file,
            state: Mutex::new(state),
        }
    }

    /// Lets every packet pass. If it is on already, the client that came first stays on record.
    pub fn on(&self, by: &ClientName, reason: Option<String>) -> PanicStatus {
        self.firewall.pass_all(true);
        let mut state = self.state.lock();
        // It may have been switched off since.
        self.firewall.pass_all(true);
        if !state.on {
            state.on = true;
            state.last = Record {
                by: Some(by.clone()),
                since: Some(self.firewall.now()),
                reason,
            };
            // The next reminder is due at once.
            state.reminded = None;
        }
        self.save(&mut state);
        tracing::info!(target: "couic::audit", action = "panic_on", client = %by, reason = state.last.reason, "panic switched on: every packet passes");
        self.log(&mut state);
        state.status()
    }

    /// Writes the switch's state to the file.
    fn save(&self, state: &mut SwitchState) {
        state.tried = Some(Instant::now());
        let saved = if state.on {
            let record = serde_json::to_vec(&state.last).map_err(io::Error::from);
            record.and_then(|record| replace_file(&self.file, 0o600, &record))
        } else {
            remove_file(&self.file)
        };
        state.unsaved = saved.err().map(|error| {
            let (verb, otherwise) = if state.on {
                ("written", "off")
            } else {
                ("removed", "on")
            };
            let why = cause(&error);
            format!(
                "{FILE} in the working directory cannot be {verb}, so a restart would switch it {otherwise} again: {why}"
            )
        });
    }

    /// Tries a failed write again, if it is time.
    pub fn retry(&self) {
        let mut state = self.state.lock();
        let due = state.tried.is_none_or(|at| at.elapsed() >= AGAIN);
        if state.unsaved.is_some() && due {
            self.save(&mut state);
            if state.unsaved.is_none() {
                let on = if state.on { "on" } else { "off" };
                tracing::warn!("panic is {on}, and that is on the disk at last");
            }
        }
    }

    /// Has the rules hold again.
    pub fn off(&self, by: &ClientName) -> PanicStatus {
        let mut state = self.state.lock();
        self.firewall.pass_all(false);
        let was_on = std::mem::take(&mut state.on);
        if was_on {
            state.last = Record {
                by: Some(by.clone()),
                since: Some(self.firewall.now()),
                reason: None,
            };
            tracing::warn!(target: "couic::audit", action = "panic_off", client = %by, "panic switched off: the rules hold again");
        }
        state.unread = None;
        self.save(&mut state);
        if let Some(problem) = &state.unsaved {
            tracing::error!("panic is off, but {problem}");
        }
        state.status()
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> PanicStatus {
        self.state.lock().status()
    }

    /// Adds the switch to a health document, except for its status.
    pub fn mark(&self, health: &mut Health) {
        let state = self.state.lock();
        if state.on {
            health.panic_since = Some(state.last.since.unwrap_or(0));
        }
        if let Some(problem) = &state.unsaved {
            let on = if state.on { "on" } else { "off" };
            health.panic_problem = Some(format!("panic is {on}, but {problem}"));
        }
    }

    /// Logs once a minute that nothing is filtered, while that is so.
    pub fn remind(&self) {
        let mut state = self.state.lock();
        let due = state.reminded.is_none_or(|at| at.elapsed() >= REMINDER);
        if state.on && due {
            self.log(&mut state);
        }
    }

    fn log(&self, state: &mut SwitchState) {
        state.reminded = Some(Instant::now());
        let Record { by, since, reason } = &state.last;
        let by = by.as_ref().map_or("a client", ClientName::as_str);
        let seconds = since.map_or(0, |since| self.firewall.now().saturating_sub(since));
        tracing::error!(
            reason = reason.as_deref().unwrap_or("none given"),
            "PANIC IS ON: nothing is filtered, every packet passes; {by} switched it on {seconds} s ago: couicctl panic off"
        );
        if let Some(problem) = state.problem() {
            tracing::error!("panic is on, and {problem}");
        }
    }
}

/// The error of the system call, without the name of the temporary file.
fn cause(error: &io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.source());
    inner.map_or_else(|| error.to_string(), ToString::to_string)
}

impl SwitchState {
    fn problem(&self) -> Option<String> {
        self.unsaved.clone().or_else(|| self.unread.clone())
    }

    fn status(&self) -> PanicStatus {
        let Record { by, since, reason } = self.last.clone();
        PanicStatus {
            on: self.on,
            by,
            since,
            reason,
            problem: self.problem(),
        }
    }
}

#[cfg(test)]
mod tests;
