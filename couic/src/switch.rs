//! The panic switch: one word in the tables, and the file that says so to the next start.
//!
//! What holds:
//! - Switching on takes effect before anything else is done, waits for no change of rules, and needs no disk.
//! - While it is on, a start leaves the wall open: the file's being there is what counts, not what is in it.
//! - Rules go on being changed meanwhile. Switched off, all of them hold again from the next packet on.
//! - It is never silent: every answer of the API has a header, health is down, the log says so every minute.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{ClientName, Health, HealthStatus, PanicStatus};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    firewall::Firewall,
    privileges::{remove_file, replace_file},
};

/// Below the working directory.
const FILE: &str = "panic.json";

/// How often the log says that nothing is filtered.
const REMINDER: Duration = Duration::from_secs(60);

/// What the file holds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Record {
    by: Option<ClientName>,
    since: Option<u64>,
    reason: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    on: bool,
    /// Who switched last, and when; why it is on.
    last: Record,
    problem: Option<String>,
    reminded: Option<Instant>,
}

/// The switch.
pub struct PanicSwitch {
    firewall: Arc<Firewall>,
    file: PathBuf,
    state: Mutex<State>,
}

impl std::fmt::Debug for PanicSwitch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PanicSwitch").finish_non_exhaustive()
    }
}

impl PanicSwitch {
    /// As it was left. Call it before the first packet is judged.
    #[must_use]
    pub fn open(working_dir: &Path, firewall: Arc<Firewall>) -> Self {
        let file = working_dir.join(FILE);
        let mut state = State::default();
        match fs::read(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => {
                state.on = true;
                match read.and_then(|text| Ok(serde_json::from_slice(&text)?)) {
                    Ok(record) => state.last = record,
                    Err(error) => {
                        let file = file.display();
                        state.problem =
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

    /// Lets every packet pass. Where it is on already, who came first stays on record.
    pub fn on(&self, by: &ClientName, reason: Option<String>) -> PanicStatus {
        self.firewall.pass_all(true);
        let mut state = self.state.lock();
        // Somebody may have switched it off since.
        self.firewall.pass_all(true);
        if !state.on {
            state.on = true;
            state.last = Record {
                by: Some(by.clone()),
                since: Some(self.firewall.now()),
                reason,
            };
            // Said at once by the next reminder.
            state.reminded = None;
        }
        state.problem = self.keep(&state.last).err().map(|error| {
            format!(
                "it cannot be written to {}, so a restart would switch it off: {error}",
                self.file.display()
            )
        });
        tracing::info!(target: "couic::audit", client = %by, "panic switched on");
        self.say(&mut state);
        state.status()
    }

    fn keep(&self, record: &Record) -> io::Result<()> {
        replace_file(&self.file, 0o600, &serde_json::to_vec(record)?)
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
            tracing::warn!(target: "couic::audit", client = %by, "panic switched off: the rules hold again");
        }
        state.problem = remove_file(&self.file).err().map(|error| {
            let file = self.file.display();
            format!("{file} cannot be removed, so a restart would switch panic on again: {error}")
        });
        if let Some(problem) = &state.problem {
            tracing::error!("panic is off, but {problem}");
        }
        state.status()
    }

    /// How it stands.
    #[must_use]
    pub fn status(&self) -> PanicStatus {
        self.state.lock().status()
    }

    /// The document, which says so.
    #[must_use]
    pub fn marked(&self, mut health: Health) -> Health {
        self.mark(&mut health);
        health
    }

    /// Makes a health document say so.
    pub fn mark(&self, health: &mut Health) {
        let state = self.state.lock();
        if state.on {
            health.status = HealthStatus::Down;
            health.panic_since = Some(state.last.since.unwrap_or(0));
        }
    }

    /// Says in the log that nothing is filtered, where that is so and was not said for a minute.
    pub fn remind(&self) {
        let mut state = self.state.lock();
        let due = state.reminded.is_none_or(|at| at.elapsed() >= REMINDER);
        if state.on && due {
            self.say(&mut state);
        }
    }

    fn say(&self, state: &mut State) {
        state.reminded = Some(Instant::now());
        let Record { by, since, reason } = &state.last;
        let by = by.as_ref().map_or("somebody", ClientName::as_str);
        let seconds = since.map_or(0, |since| self.firewall.now().saturating_sub(since));
        tracing::error!(
            reason = reason.as_deref().unwrap_or("none given"),
            "PANIC IS ON: nothing is filtered, every packet passes; {by} switched it on {seconds} s ago: couicctl panic off"
        );
        if let Some(problem) = &state.problem {
            tracing::error!("panic is on, and {problem}");
        }
    }
}

impl State {
    fn status(&self) -> PanicStatus {
        let Record { by, since, reason } = self.last.clone();
        PanicStatus {
            on: self.on,
            by,
            since,
            reason,
            problem: self.problem.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use couic_common::{Policy, Verdict};

    use super::*;
    use crate::{
        dataplane::{Limits, MemoryPlane},
        firewall::{Actor, ManualClock, NewRule, Origin},
    };

    struct Lab {
        dir: tempfile::TempDir,
        plane: MemoryPlane,
        firewall: Arc<Firewall>,
    }

    impl Lab {
        fn new() -> Self {
            Self::over(tempfile::tempdir().unwrap())
        }

        fn over(dir: tempfile::TempDir) -> Self {
            let plane = MemoryPlane::default();
            let firewall = Firewall::new(
                Box::new(plane.clone()),
                Arc::new(plane.clone()),
                Limits::default(),
                Arc::new(ManualClock::new(1_000)),
            );
            let lab = Self {
                dir,
                plane,
                firewall: Arc::new(firewall),
            };
            lab.ban("192.0.2.7/32");
            lab
        }

        fn ban(&self, cidr: &str) {
            let rule = NewRule {
                cidr: cidr.parse().unwrap(),
                tag: None,
                expiration: 0,
            };
            let origin = Origin {
                actor: Actor::Client(name("test")),
                metadata: None,
            };
            self.firewall.add(Policy::Drop, &rule, &origin).unwrap();
        }

        fn switch(&self) -> PanicSwitch {
            PanicSwitch::open(self.dir.path(), Arc::clone(&self.firewall))
        }

        fn drops(&self, source: &str) -> bool {
            self.plane.packet(source.parse().unwrap(), 60) == Verdict::Drop
        }
    }

    fn name(text: &str) -> ClientName {
        text.parse().unwrap()
    }

    #[test]
    fn on_lets_everything_pass_and_off_brings_all_rules_back() {
        let lab = Lab::new();
        let switch = lab.switch();
        assert_eq!(switch.status(), PanicStatus::default());
        assert!(lab.drops("192.0.2.7"));
        let status = switch.on(&name("ops"), Some("locked out".to_owned()));
        let expected = PanicStatus {
            on: true,
            by: Some(name("ops")),
            since: Some(1_000),
            reason: Some("locked out".to_owned()),
            problem: None,
        };
        assert_eq!(status, expected);
        assert!(!lab.drops("192.0.2.7"));
        lab.ban("192.0.2.8/32");
        assert!(!lab.drops("192.0.2.8"));
        assert_eq!(switch.on(&name("other"), None), expected, "who came first");
        let status = switch.off(&name("other"));
        assert_eq!((status.on, status.by), (false, Some(name("other"))));
        assert!(lab.drops("192.0.2.7") && lab.drops("192.0.2.8"));
        assert_eq!(fs::read_dir(lab.dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_start_leaves_the_wall_open_while_it_is_on() {
        let lab = Lab::new();
        lab.switch().on(&name("ops"), None);
        let lab = Lab::over(lab.dir);
        let switch = lab.switch();
        assert!(!lab.drops("192.0.2.7"));
        assert_eq!(switch.status().by, Some(name("ops")));
        switch.off(&name("ops"));
        let lab = Lab::over(lab.dir);
        assert!(!lab.switch().status().on && lab.drops("192.0.2.7"));
    }

    #[test]
    fn a_damaged_file_means_on() {
        let lab = Lab::new();
        fs::write(lab.dir.path().join(FILE), b"{\"by\":").unwrap();
        let status = lab.switch().status();
        assert!(status.on && !lab.drops("192.0.2.7"));
        assert!(status.problem.unwrap().contains("panic.json"));
    }

    #[test]
    fn without_a_disk_it_works_and_says_what_is_missing() {
        let lab = Lab::new();
        let nowhere = lab.dir.path().join("gone");
        let switch = PanicSwitch::open(&nowhere, Arc::clone(&lab.firewall));
        let status = switch.on(&name("ops"), None);
        assert!(status.on && !lab.drops("192.0.2.7"));
        assert!(
            status
                .problem
                .unwrap()
                .contains("a restart would switch it off")
        );
        let status = switch.off(&name("ops"));
        assert!(!status.on && lab.drops("192.0.2.7"));
        assert!(status.problem.unwrap().contains("panic on again"));
    }

    #[test]
    fn health_is_down_while_it_is_on() {
        let lab = Lab::new();
        let switch = lab.switch();
        let mut health = Health::well("");
        switch.mark(&mut health);
        assert_eq!(
            (health.status, health.panic_since),
            (HealthStatus::Ok, None)
        );
        switch.on(&name("ops"), None);
        switch.mark(&mut health);
        assert_eq!(
            (health.status, health.panic_since),
            (HealthStatus::Down, Some(1_000))
        );
    }
}
