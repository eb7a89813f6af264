//! A change that waits to be confirmed.

use std::{collections::HashMap, time::Instant};

use couic_common::PendingChange;

use super::{
    change::{Change, Key},
    record::{Head, Record},
};

/// A pending change with its undo record.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) head: Head,
    pub(super) record: Record,
    pub(super) changes: Changes,
    pub(super) stage: Stage,
    /// By a clock that does not jump.
    pub(super) due: Instant,
    pub(super) problem: Option<String>,
    /// It is undone, but for its record: the number of restored things, and the names of those left alone.
    pub(super) undone: Option<(u64, Vec<Key>)>,
}

/// Its stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is being made.
    Making,
    /// It waits.
    Waiting,
    /// It is being undone.
    Undoing,
}

/// Changes, one for each thing, in the order in which things were met.
#[derive(Debug, Default)]
pub(super) struct Changes {
    list: Vec<Change>,
    at: HashMap<Key, usize>,
    weight: usize,
}

impl Changes {
    pub(super) fn find(&self, key: &Key) -> Option<&Change> {
        self.at.get(key).map(|at| &self.list[*at])
    }

    /// Merges each change with the known one of the same thing.
    pub(super) fn set(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.weight += change.weight();
            match self.at.get(&change.key()) {
                Some(at) => {
                    self.weight -= self.list[*at].weight();
                    self.list[*at] = change;
                }
                None => {
                    self.at.insert(change.key(), self.list.len());
                    self.list.push(change);
                }
            }
        }
    }

    pub(super) const fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn list(&self) -> &[Change] {
        &self.list
    }

    /// Forgets changes without an effect. True if there was any.
    pub(super) fn compact(&mut self) -> bool {
        let count = self.list.len();
        let mut left = std::mem::take(self).list;
        left.retain(|change| !change.is_void());
        self.set(left);
        self.list.len() < count
    }
}

impl Pending {
    /// As clients see it.
    pub(super) fn shown(&self, now: u64) -> PendingChange {
        let Head {
            id,
            client,
            summary,
            made,
            until,
            ..
        } = self.head.clone();
        let keys: Vec<Key> = self.changes.list.iter().map(Change::key).collect();
        let mut sets: Vec<String> = keys.iter().filter_map(Key::set).collect();
        sets.sort_unstable();
        sets.dedup();
        let rules = self.changes.list.iter().filter_map(|change| match change {
            Change::Claim(claim) => Some((claim.before.is_some(), claim.after.is_some())),
            _ => None,
        });
        let rules: Vec<(bool, bool)> = rules.collect();
        let count = |what| rules.iter().filter(|rule| **rule == what).count() as u64;
        PendingChange {
            id,
            client,
            summary,
            made,
            until,
            left: until.saturating_sub(now),
            rules: rules.len() as u64,
            added: count((false, true)),
            removed: count((true, false)),
            sets,
            problem: self.problem.clone(),
        }
    }
}
