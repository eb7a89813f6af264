//! Persistent rules: the journal's part of the start, of health, and of periodic work.

use std::{
    iter, mem,
    path::{Path, PathBuf},
    sync::Arc,
};

use couic_common::StateProblem;
use nix::sys::statvfs::{FsFlags, statvfs};

use super::{every::Repeaters, memory};
use crate::peering::Engine;
use couic_files::mount_of;
use couic_firewall::{
    journal::{Journal, Registers, Rows, SYNC, StateError, UPKEEP},
    rules::{Firewall, Restored},
};

/// The journal's directory, in the working directory.
const DIR: &str = "state";

/// Restores the rules of the previous daemon, and records every change from now on. Call it before anything subscribes,
/// and after the set files are loaded, which take precedence if there is no room for all. Returns peering's registers.
pub(super) fn restore(working_dir: &Path, firewall: &Firewall) -> Result<Registers, StateError> {
    let (journal, mut recovered) = Journal::open(&working_dir.join(DIR))?;
    let registers = mem::take(&mut recovered.registers);
    let Restored {
        rules,
        expired,
        kept,
    } = firewall.restore(Arc::new(journal), recovered);
    tracing::info!("{rules} rules restored, {expired} have expired meanwhile");
    if kept > 0 {
        tracing::error!("{}", exceeding_message(kept));
    }
    memory::give_back_freed();
    Ok(registers)
}

/// With `persist = false` an existing journal is left alone, and would be restored with `persist = true`.
pub(super) fn warn_of_unused(working_dir: &Path) {
    let dir = working_dir.join(DIR);
    let has_files = dir
        .read_dir()
        .is_ok_and(|mut entries| entries.next().is_some());
    if has_files {
        tracing::warn!(
            "[state] persist = false: the rules in {} are neither restored nor updated, and persist = true would restore \
             them. Remove the directory if they are not needed",
            dir.display()
        );
    }
}

/// Syncs changes to the disk, compacts the journal, and admits restored rules for which there is room now.
pub(super) fn keep_writing(
    repeaters: &mut Repeaters,
    firewall: &Arc<Firewall>,
    peering: Option<Arc<Engine>>,
) -> std::io::Result<()> {
    let Some(journal) = firewall.journal() else {
        return Ok(());
    };
    let synced = Arc::clone(&journal);
    repeaters.every(SYNC, "couic-sync", move || synced.close())?;
    let firewall = Arc::clone(firewall);
    repeaters.every(UPKEEP, "couic-state", move || {
        let rules: &dyn Rows = &*firewall;
        let registers = peering.as_deref().map(|engine| engine as &dyn Rows);
        let sources: Vec<_> = iter::once(rules).chain(registers).collect();
        journal.maintain(&sources);
        let admitted = if firewall.kept_rules() > 0 {
            firewall.admit_kept()
        } else {
            0
        };
        if admitted > 0 {
            tracing::info!("{admitted} restored rules that did not fit are in force now");
            if let Some(engine) = &peering {
                engine.scan();
            }
        }
    })
}

/// Writes pending changes to the disk.
pub(super) fn close(firewall: &Firewall) {
    if let Some(journal) = firewall.journal() {
        journal.close();
        for problem in journal.problems().iter().filter(|p| p.file.is_none()) {
            tracing::error!("state, at shutdown: {}", problem.message);
        }
    }
}

/// The problems of the journal, and of restored rules.
pub(super) fn problems(firewall: &Firewall) -> Vec<StateProblem> {
    let journal = firewall.journal();
    let mut problems = journal.map(|j| j.problems()).unwrap_or_default();
    let kept = firewall.kept_rules();
    if kept > 0 {
        problems.push(StateProblem {
            file: None,
            message: exceeding_message(kept),
        });
    }
    problems
}

/// Files that cannot be written: found at the start, and whether the disk is read-only now.
#[derive(Clone, Debug, Default)]
pub(super) struct UnsavedState {
    working_dir: PathBuf,
    at_start: Vec<String>,
}

impl UnsavedState {
    /// Logs the problems; those of the start stay in health until the next start.
    pub(super) fn found(working_dir: &Path, at_start: Vec<String>) -> Self {
        let all = Self {
            working_dir: working_dir.to_owned(),
            at_start,
        };
        all.messages().for_each(|text| tracing::error!("{text}"));
        all
    }

    fn messages(&self) -> impl Iterator<Item = String> {
        let read_only = statvfs(&self.working_dir)
            .is_ok_and(|found| found.flags().contains(FsFlags::ST_RDONLY));
        let now = read_only.then(|| {
            let (dir, mount) = (self.working_dir.display(), mount_of(&self.working_dir));
            let mount = mount.display();
            format!(
                "the working directory {dir} is read-only: filtering and the API go on, but changes of clients, sets and \
                 rules are lost at a restart: run mount -o remount,rw {mount}"
            )
        });
        now.into_iter().chain(self.at_start.clone())
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = StateProblem> {
        self.messages().map(|message| StateProblem {
            file: None,
            message,
        })
    }
}

fn exceeding_message(kept: usize) -> String {
    format!(
        "{kept} restored rules exceed the limits and are NOT in force; they stay on disk and come into force as soon as \
         there is room: raise [limits], or delete other rules"
    )
}

#[cfg(test)]
mod tests {
    use couic_common::{Policy, RuleKey};

    use super::*;
    use couic_firewall::{
        dataplane::{Limits, MemoryPlane},
        rules::{Actor, ClaimRequest, ClaimScope, ManualClock, Origin},
    };

    fn firewall(entries: usize) -> Firewall {
        let plane = MemoryPlane::default();
        let limits = Limits {
            drop_entries: entries,
            ignore_entries: entries,
        };
        let clock = Arc::new(ManualClock::new(1_000));
        Firewall::new(Box::new(plane.clone()), Arc::new(plane), limits, clock)
    }

    #[test]
    fn rules_that_do_not_fit_are_a_problem_until_they_do() {
        let home = tempfile::tempdir().unwrap();
        let origin = Origin {
            actor: Actor::Client("c".parse().unwrap()),
            metadata: None,
        };
        let first = firewall(2);
        restore(home.path(), &first).unwrap();
        for cidr in ["10.0.0.1/32", "10.0.0.2/32"] {
            let rule = ClaimRequest {
                cidr: cidr.parse().unwrap(),
                tag: None,
                expiration: 0,
            };
            first.add(Policy::Drop, &rule, &origin).unwrap();
        }
        close(&first);
        assert_eq!(problems(&first), []);
        let second = firewall(1);
        restore(home.path(), &second).unwrap();
        let message = &problems(&second)[0].message;
        assert!(message.starts_with("1 restored rules exceed"), "{message}");
        let there = RuleKey::new(Policy::Drop, "10.0.0.1/32".parse().unwrap());
        second.remove(there, &ClaimScope::OWN, &origin).unwrap();
        assert_eq!(second.admit_kept(), 1);
        assert_eq!(problems(&second), []);
    }
}
