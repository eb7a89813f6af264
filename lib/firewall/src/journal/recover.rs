//! Recovers the state from all files.
//!
//! They are read in the order of their numbers, and the last record of a rule wins. A complete snapshot replaces all
//! files before it. If a file is damaged, its readable part counts, and the older files with it, if they still exist.

use std::{collections::BTreeMap, io};

use couic_common::{RuleKey, counted};
use couic_durable::{Folder, Kind, Name, Scanned};

use super::{
    StateError,
    record::{self, Payload, Record},
    register::Register,
};
use crate::rules::Claim;

/// The recovered state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The claims of clients and peers, by rule. Never empty lists.
    pub claims: BTreeMap<RuleKey, Vec<Claim>>,
    /// The registers of peering.
    pub registers: Registers,
}

/// Registers, by rule and author; None for the only register of a rule, as of earlier versions.
pub type Registers = BTreeMap<(RuleKey, Option<u32>), SavedRegister>;

/// A recovered register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRegister {
    /// The register.
    pub register: Register,
    /// Whether claims on the rule were recorded after it was.
    pub is_older: bool,
}

impl Recovered {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Claims(rule) => {
                let key = rule.key;
                let all = (key, None)..=(key, Some(u32::MAX));
                for (_, saved) in self.registers.range_mut(all) {
                    saved.is_older = true;
                }
                if rule.claims.is_empty() {
                    self.claims.remove(&key);
                } else {
                    self.claims.insert(key, rule.claims);
                }
            }
            Record::Register(row) => {
                let id = (row.key, row.author);
                let old = self.registers.get(&(row.key, None));
                // What the version before wrote is replaced with its author's register.
                if old.is_some_and(|old| Some(old.register.record.author()) == row.author) {
                    self.registers.remove(&(row.key, None));
                }
                match row.register {
                    None => self.registers.remove(&id),
                    Some(register) => {
                        let is_older = false;
                        self.registers
                            .insert(id, SavedRegister { register, is_older })
                    }
                };
            }
        }
    }

    /// The order of a snapshot's records has no meaning.
    fn is_snapshot(&mut self) {
        for saved in self.registers.values_mut() {
            saved.is_older = false;
        }
    }

    /// Merges a damaged snapshot.
    fn merge(&mut self, other: Self) {
        self.claims.extend(other.claims);
        self.registers.extend(other.registers);
    }
}

/// A file that could not be read completely, and the message about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) name: Name,
    pub(super) message: String,
}

/// The state found on disk.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    pub(super) recovered: Recovered,
    pub(super) suspects: Vec<Suspect>,
    /// Missing files.
    pub(super) gaps: Vec<String>,
    pub(super) log_bytes: u64,
    pub(super) snapshot_bytes: u64,
    /// The expected number of the next log.
    expected: u64,
}

/// Reads these files, which are in order.
///
/// # Errors
/// If access to one is denied. One that cannot be read for another reason is a suspect.
pub(super) fn recover(folder: &Folder, files: &[Name]) -> Result<Recovery, StateError> {
    let mut recovery = Recovery {
        expected: 1,
        ..Recovery::default()
    };
    for name in files {
        match recovery.read(folder, *name) {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                return Err(StateError::Untrusted {
                    path: folder.path(name),
                    problem: format!("{e}: chown it to the user that couic runs as"),
                });
            }
            Err(e) => recovery.suspect(*name, format!("cannot be read: {e}")),
            Ok(()) => recovery.pass(*name),
        }
    }
    let last_is_snapshot = files.last().is_some_and(|name| name.kind == Kind::Snapshot);
    if last_is_snapshot {
        recovery.gap(recovery.expected + 1);
    }
    Ok(recovery)
}

impl Recovery {
    fn suspect(&mut self, name: Name, message: String) {
        self.suspects.push(Suspect { name, message });
    }

    /// Logs before this number are missing.
    fn gap(&mut self, number: u64) {
        let first = self.expected;
        if number > first {
            let logs = match number - 1 {
                last if last == first => format!("the log {first} are missing: its file was"),
                last => format!("the logs {first} to {last} are missing: files were"),
            };
            self.gaps
                .push(format!("the rule changes in {logs} removed"));
        }
    }

    fn read(&mut self, folder: &Folder, name: Name) -> io::Result<()> {
        let (scanned, has_end) = match name.kind {
            Kind::Log => (self.read_log(folder, name)?, true),
            Kind::Snapshot => self.read_snapshot(folder, name)?,
        };
        if scanned.newer.is_some() {
            self.suspect(
                name,
                format!("{}: its rules are NOT in force", scanned.damage("")),
            );
        } else if !(scanned.is_sound() && has_end) {
            self.suspect(name, scanned.damage("are in force"));
        } else if scanned.torn > 0 {
            tracing::info!(
                "state: the end of {name} ({}) is an incomplete record, as after a crash or a power cut",
                counted(scanned.torn, "byte", "bytes")
            );
        }
        Ok(())
    }

    fn pass(&mut self, name: Name) {
        if name.kind == Kind::Log {
            self.gap(name.number);
            self.expected = name.number + 1;
        } else {
            self.expected = name.number;
        }
    }

    fn read_log(&mut self, folder: &Folder, name: Name) -> io::Result<Scanned> {
        let recovered = &mut self.recovered;
        let scanned = folder.read(&name, |payload| {
            let Some(Payload::Record(record)) = record::read(payload) else {
                return false;
            };
            recovered.apply(record);
            true
        })?;
        self.log_bytes += scanned.length;
        Ok(scanned)
    }

    /// Also returns whether its end is present and has the right count.
    fn read_snapshot(&mut self, folder: &Folder, name: Name) -> io::Result<(Scanned, bool)> {
        let mut snapshot = Recovered::default();
        let (mut records, mut end) = (0_u64, None);
        let scanned = folder.read(&name, |payload| {
            match record::read(payload) {
                Some(Payload::Record(record)) if end.is_none() => {
                    snapshot.apply(record);
                    records += 1;
                }
                Some(Payload::End(count)) if end.is_none() => end = Some(count),
                _ => return false,
            }
            true
        })?;
        snapshot.is_snapshot();
        self.snapshot_bytes = scanned.length;
        let has_end = end == Some(records);
        if scanned.is_sound() && has_end {
            self.recovered = snapshot;
            self.log_bytes = 0;
            self.gaps.clear();
        } else {
            self.recovered.merge(snapshot);
        }
        Ok((scanned, has_end))
    }
}
