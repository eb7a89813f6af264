//! Problems that need an operator: they are in health, in the list of changes, and in the log.
//!
//! - An orphan: a set file that undoing left alone, since it had been changed, and that differs from the rules in force.
//!   The next reload or start loads it. Reported until the two agree, or the files are loaded.
//! - A record that cannot be read: that change stays. Reported until the file is removed.
//! - A record that cannot be written, a change that cannot be undone. Reported until they can.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use couic_common::{Cidr, Policy, SetName};

use super::{
    ConfirmState, Confirmations, DIR,
    orphan::{FileState, OrphanFile},
    pending::Pending,
    record::{Head, Record},
    undo::AGAIN,
};
use crate::rules::{SetEntries, SetError};
use couic_files::ensure_dir;

/// How the names of records end that cannot be read.
pub(super) const DAMAGED: &str = "damaged";

/// A record that cannot be read.
#[derive(Debug)]
pub(super) struct Damaged {
    path: PathBuf,
    /// Its first line, if that is readable.
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
            "{DIR}/{name}: the record of an unconfirmed change{whose} is damaged, so that change STAYS and nothing undoes it: undo it yourself if it is unwanted, then remove that file from the working directory"
        )
    }
}

impl Confirmations {
    /// Checks reported problems again, and whether all records exist. Does nothing if it was called just before.
    pub fn look_after(&self) {
        let mut state = self.state.lock();
        if state.looked.is_none_or(|at| at.elapsed() >= AGAIN) {
            state.looked = Some(Instant::now());
            drop(state);
            self.recheck_now();
        }
    }

    pub(super) fn recheck_now(&self) {
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
        self.recheck_files();
    }

    fn recheck_files(&self) {
        if self.state.lock().orphans.is_empty() {
            return;
        }
        // Files are neither changed nor loaded meanwhile.
        let _turn = self.sets.turn();
        let mut state = self.state.lock();
        state.orphans.retain_mut(|orphan| {
            let OrphanFile { policy, set, .. } = orphan;
            let says = self.says(*policy, set, &orphan.rules);
            if says == FileState::Loaded {
                tracing::info!("sets/{policy}/{set}.couic agrees with the rules in force again");
                return false;
            }
            orphan.says = says;
            true
        });
    }

    /// How a set's file compares with these rules.
    fn says(&self, policy: Policy, set: &SetName, rules: &[Cidr]) -> FileState {
        let entries = match self.sets.read(policy, set) {
            Err(SetError::NotFound { .. }) => Vec::new(),
            Err(error) => return FileState::Invalid(error.to_string()),
            Ok(entries) => entries,
        };
        if entries == rules {
            FileState::Loaded
        } else {
            FileState::Differs
        }
    }

    /// All set files were loaded. Hold [`SetStore::turn`](crate::rules::SetStore::turn).
    pub fn files_followed(&self) {
        self.state.lock().orphans.clear();
    }

    /// One set's file was loaded. Hold [`SetStore::turn`](crate::rules::SetStore::turn).
    pub fn file_followed(&self, policy: Policy, set: &SetName) {
        let orphans = &mut self.state.lock().orphans;
        orphans.retain(|orphan| !orphan.is(policy, set));
    }

    /// Watches a file that undoing left alone, if it differs from the rules that are `in_force`. True if it does.
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
        let known = state
            .orphans
            .iter_mut()
            .find(|orphan| orphan.is(policy, set));
        if says == FileState::Loaded {
            state.orphans.retain(|orphan| !orphan.is(policy, set));
            return false;
        }
        if let Some(known) = known {
            // The first change that left it alone is the one to name.
            (known.rules, known.says) = (rules, says);
            return true;
        }
        let orphan = OrphanFile {
            policy,
            set: set.clone(),
            of: of.clone(),
            rules,
            says,
        };
        tracing::error!("{}", orphan.text());
        state.orphans.push(orphan);
        true
    }

    /// Notes which rules of sets are in force now.
    pub(super) fn rules_are(&self, in_force: &SetEntries) {
        for orphan in &mut self.state.lock().orphans {
            let key = (orphan.policy, orphan.set.clone());
            orphan.rules = in_force.get(&key).cloned().unwrap_or_default();
        }
    }

    /// Restores the directory and every record if they were removed.
    ///
    /// # Errors
    /// The system's error, or why the directory cannot be trusted.
    pub(super) fn mend_records(&self, state: &mut ConfirmState) -> io::Result<()> {
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

    /// Problems that need an operator, a sentence each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        self.state.lock().problems()
    }
}

impl ConfirmState {
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
                "{DIR}/ in the working directory cannot be written to, so a restart would make unconfirmed changes permanent: {error}"
            )
        });
        let damaged = self.damaged.iter().map(Damaged::text);
        let orphans = self.orphans.iter().map(OrphanFile::text);
        stuck.chain(unsaved).chain(damaged).chain(orphans).collect()
    }
}

/// Sets an unreadable record aside, if possible.
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
