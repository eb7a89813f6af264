//! What somebody must look at: it is in health, in the list of changes, and in the log.
//!
//! - A set file that an undone change left alone, since somebody had changed it, and that says something else than the
//!   rules in force: the next reload or start follows it. Told until the two are the same, or the files are followed.
//! - A record that cannot be read: that change stays. Told until the file is taken away.
//! - A record that cannot be written, a change that cannot be undone. Told until they can.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use couic_common::{Cidr, Health, Policy, SetName};

use super::{
    Confirmations, DIR, State,
    pending::Pending,
    record::{Head, Record},
    undo::AGAIN,
};
use crate::rules::{SetEntries, SetError};
use couic_files::ensure_dir;

/// How the names of records end that cannot be read.
pub(super) const DAMAGED: &str = "damaged";

/// A set file that says something else than the rules.
#[derive(Debug)]
pub(super) struct Stray {
    policy: Policy,
    set: SetName,
    /// Which change left it alone.
    of: Head,
    /// What is in force of it.
    rules: Vec<Cidr>,
    says: Says,
}

/// What a set file says, beside the rules in force.
#[derive(Debug, PartialEq, Eq)]
enum Says {
    TheSame,
    SomethingElse,
    /// It cannot be put in force either: why.
    Nothing(String),
}

impl Stray {
    fn is(&self, policy: Policy, set: &SetName) -> bool {
        (self.policy, &self.set) == (policy, set)
    }

    fn text(&self) -> String {
        let Self {
            policy,
            set,
            of,
            says,
            ..
        } = self;
        let (id, client, summary) = (of.id, &of.client, &of.summary);
        let then = match says {
            Says::Nothing(why) => format!("the next reload will refuse it: {why}"),
            _ if self.rules.is_empty() => format!(
                "the next reload or start will follow it. To follow it now: couicctl sets reload. To stay without: couicctl sets delete {policy} {set}"
            ),
            _ => format!(
                "the next reload or start will follow it. To follow it now: couicctl sets reload. To keep the rules: couicctl sets update {policy} {set}, with what couicctl {policy} list -t {set}.couic -q shows"
            ),
        };
        format!(
            "sets/{policy}/{set}.couic is NOT in force: somebody changed it before {client}'s change {id} ({summary}) was undone, so it was left alone; {then}"
        )
    }
}

/// A record that cannot be read.
#[derive(Debug)]
pub(super) struct Damaged {
    path: PathBuf,
    /// What is left of it.
    head: Option<Head>,
}

impl Damaged {
    pub(super) fn at(path: PathBuf) -> Self {
        Self {
            head: Record::head(&path),
            path,
        }
    }

    fn text(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let whose = self.head.as_ref().map_or(String::new(), |head| {
            let (client, summary) = (&head.client, &head.summary);
            format!(" of {client} ({summary})")
        });
        format!(
            "{DIR}/{name}: the record of an unconfirmed change{whose} is damaged, so that change STAYS and nothing undoes it: look whether it should, then remove that file from the working directory"
        )
    }
}

impl Confirmations {
    /// Looks again at what was told, and at the records: somebody may have dealt with it, or taken a record away. Not
    /// more often than is worth it.
    pub fn look_after(&self) {
        let mut state = self.state.lock();
        if state.looked.is_none_or(|at| at.elapsed() >= AGAIN) {
            state.looked = Some(Instant::now());
            drop(state);
            self.look_now();
        }
    }

    pub(super) fn look_now(&self) {
        {
            let mut state = self.state.lock();
            state.damaged.retain(|damaged| damaged.path.exists());
            let lost = state.pending.iter().any(|p| p.record.is_gone());
            state.unsaved = if lost {
                self.mend_records(&mut state).err()
            } else {
                None
            };
        }
        self.look_at_files();
    }

    fn look_at_files(&self) {
        if self.state.lock().strays.is_empty() {
            return;
        }
        // Nobody changes files or puts them in force meanwhile.
        let _turn = self.sets.turn();
        let mut state = self.state.lock();
        state.strays.retain_mut(|stray| {
            let Stray { policy, set, .. } = stray;
            let says = self.says(*policy, set, &stray.rules);
            if says == Says::TheSame {
                tracing::info!("sets/{policy}/{set}.couic says what is in force again");
                return false;
            }
            stray.says = says;
            true
        });
    }

    /// What a set's file says beside these rules.
    fn says(&self, policy: Policy, set: &SetName, rules: &[Cidr]) -> Says {
        let entries = match self.sets.read(policy, set) {
            Err(SetError::NotFound { .. }) => Vec::new(),
            Err(error) => return Says::Nothing(error.to_string()),
            Ok(entries) => entries,
        };
        if entries == rules {
            Says::TheSame
        } else {
            Says::SomethingElse
        }
    }

    /// The files were put in force, all of them. Hold [`SetStore::turn`](crate::rules::SetStore::turn).
    pub fn files_followed(&self) {
        self.state.lock().strays.clear();
    }

    /// A file that a change left alone when it was undone. True where it says something else than the rules, which are
    /// `in_force` by now: then it is watched.
    pub(super) fn watch(
        &self,
        of: &Head,
        (policy, set): (Policy, &SetName),
        in_force: &SetEntries,
    ) -> bool {
        let rules = in_force.get(&(policy, set.clone())).cloned();
        let rules = rules.unwrap_or_default();
        let says = self.says(policy, set, &rules);
        let mut state = self.state.lock();
        let known = state.strays.iter_mut().find(|stray| stray.is(policy, set));
        if says == Says::TheSame {
            state.strays.retain(|stray| !stray.is(policy, set));
            return false;
        }
        if let Some(known) = known {
            // The first change that left it alone is the one to name.
            (known.rules, known.says) = (rules, says);
            return true;
        }
        let stray = Stray {
            policy,
            set: set.clone(),
            of: of.clone(),
            rules,
            says,
        };
        tracing::error!("{}", stray.text());
        state.strays.push(stray);
        true
    }

    /// The rules of sets are `in_force` from now on, whatever the files say.
    pub(super) fn rules_are(&self, in_force: &SetEntries) {
        for stray in &mut self.state.lock().strays {
            let key = (stray.policy, stray.set.clone());
            stray.rules = in_force.get(&key).cloned().unwrap_or_default();
        }
    }

    /// Makes the directory again where somebody took it away, and writes every record that is gone.
    ///
    /// # Errors
    /// What the system says, or why the directory cannot be trusted.
    pub(super) fn mend_records(&self, state: &mut State) -> io::Result<()> {
        ensure_dir(&self.dir, 0o700)?;
        let gone = state.pending.iter_mut().filter(|p| p.record.is_gone());
        for pending in gone {
            let Pending {
                head,
                record,
                changes,
                ..
            } = pending;
            record.rewrite(head, changes.list())?;
            tracing::warn!(
                "the record of the change {} was gone: written anew",
                head.id
            );
        }
        Ok(())
    }

    /// What somebody must look at, a sentence each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.state.lock().problems()
    }

    /// Makes a health document say so.
    pub fn mark(&self, health: &mut Health) {
        health.confirm_problems = self.problems();
        if !health.confirm_problems.is_empty() {
            health.degrade();
        }
    }
}

impl State {
    pub(super) fn problems(&self) -> Vec<String> {
        let stuck = self.pending.iter().filter_map(|p| {
            let Head {
                id,
                client,
                summary,
                ..
            } = &p.head;
            let why = p.problem.as_ref()?;
            Some(format!(
                "{client}'s change {id} ({summary}) cannot be undone, and is tried again: {why}"
            ))
        });
        let unsaved = self.unsaved.iter().map(|error| {
            format!(
                "{DIR}/ in the working directory cannot be written to, so a restart would make permanent what waits to be confirmed: {error}"
            )
        });
        let damaged = self.damaged.iter().map(Damaged::text);
        let strays = self.strays.iter().map(Stray::text);
        stuck.chain(unsaved).chain(damaged).chain(strays).collect()
    }
}

/// Sets a record aside that cannot be read, where that can be done.
pub(super) fn set_aside(path: &Path, error: &io::Error) -> Damaged {
    let aside = path.with_extension(DAMAGED);
    let kept = fs::rename(path, &aside);
    tracing::error!(
        "the record of an unconfirmed change cannot be read, so that change STAYS: {}: {error}; {}",
        path.display(),
        match &kept {
            Ok(()) => format!("it is kept as {}", aside.display()),
            Err(error) => format!("nor can it be set aside: {error}"),
        }
    );
    Damaged::at(if kept.is_ok() { aside } else { path.to_owned() })
}
