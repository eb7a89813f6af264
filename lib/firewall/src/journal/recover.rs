//! What the files say together.
//!
//! They are read in the order of their numbers, the last record of a rule wins. A whole snapshot stands for all that
//! was before it. Where a file is damaged, what can be read of it counts, and the older files with it, if they are
//! still there.

use std::{collections::BTreeMap, fs::File, io};

use couic_common::RuleKey;

use super::{
    StateError,
    folder::{Folder, Kind, Name},
    frame::{self, HEADER, Header, Scanned},
    record::{self, Payload, Record, Register},
    window::ReadAt,
};
use crate::rules::Claim;

/// What was kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The claims of the API and of peers, by rule. Never empty lists.
    pub claims: BTreeMap<RuleKey, Vec<Claim>>,
    /// What peering knew.
    pub registers: Registers,
}

/// Registers, by rule.
pub type Registers = BTreeMap<RuleKey, SavedRegister>;

/// A register that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedRegister {
    /// It.
    pub register: Register,
    /// Whether claims on the rule were recorded after it was.
    pub is_older: bool,
}

impl Recovered {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Claims(rule) => {
                let key = rule.key;
                if let Some(saved) = self.registers.get_mut(&key) {
                    saved.is_older = true;
                }
                if rule.claims.is_empty() {
                    self.claims.remove(&key);
                } else {
                    self.claims.insert(key, rule.claims);
                }
            }
            Record::Register(row) => {
                let key = row.key;
                match row.register {
                    None => self.registers.remove(&key),
                    Some(register) => {
                        let is_older = false;
                        self.registers
                            .insert(key, SavedRegister { register, is_older })
                    }
                };
            }
        }
    }

    /// The order of a snapshot's records says nothing.
    fn is_snapshot(&mut self) {
        for saved in self.registers.values_mut() {
            saved.is_older = false;
        }
    }

    /// What a snapshot says that is not whole.
    fn merge(&mut self, other: Self) {
        self.claims.extend(other.claims);
        self.registers.extend(other.registers);
    }
}

/// A file that could not be read whole, and what is to be said about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Suspect {
    pub(super) name: Name,
    pub(super) message: String,
}

/// What was found on disk.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    pub(super) recovered: Recovered,
    pub(super) suspects: Vec<Suspect>,
    /// What is missing altogether.
    pub(super) gaps: Vec<String>,
    pub(super) log_bytes: u64,
    pub(super) snapshot_bytes: u64,
    /// The number that the next log is expected to have.
    expected: u64,
}

/// Reads these files, which are in order.
///
/// # Errors
/// Where one may not be read. One that cannot be read for another reason is a suspect.
pub(super) fn recover(folder: &Folder, files: &[Name]) -> Result<Recovery, StateError> {
    let mut recovery = Recovery {
        expected: 1,
        ..Recovery::default()
    };
    for name in files {
        let read = folder
            .open(*name)
            .and_then(|file| Ok((file.metadata()?.len(), file)));
        match read {
            Ok((length, file)) => recovery.read(*name, &file, length),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                return Err(StateError::Untrusted {
                    path: folder.path(name),
                    problem: format!("{e}: give it to the user that couic runs as"),
                });
            }
            Err(e) => recovery.suspect(*name, format!("cannot be read: {e}")),
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
            let last = number - 1;
            self.gaps.push(format!(
                "the rule changes in the logs {first} to {last} are missing: somebody has removed files"
            ));
        }
    }

    fn read(&mut self, name: Name, file: &File, length: u64) {
        let mut start = [0; 16];
        let got = ReadAt::read_at(file, &mut start, 0).unwrap_or(0);
        let offset = match frame::read_header(&start[..got]) {
            Header::Known => HEADER,
            // What checks behind it is read all the same.
            Header::Damaged => 0,
            Header::Newer(format) => {
                self.suspect(name, format!(
                    "is of format {format}, of a later version of couic, and was not read: its rules are NOT in force"
                ));
                self.pass(name);
                return;
            }
        };
        match name.kind {
            Kind::Log => {
                let suspects = self.suspects.len();
                self.read_log(name, file, (offset, length));
                if offset == 0 && suspects == self.suspects.len() {
                    self.beheaded(name, length);
                }
            }
            Kind::Snapshot => self.read_snapshot(name, file, (offset, length)),
        }
        self.pass(name);
    }

    /// A log without its head, which is on the disk before any record is: what looks like a torn end is none.
    fn beheaded(&mut self, name: Name, length: u64) {
        if length >= HEADER {
            self.suspect(name, format!(
                "is damaged from its first byte on: of {length} bytes nothing but what was read is in force"
            ));
        } else {
            tracing::warn!(
                "state: {name} has {length} bytes and no record: the daemon ended while it began that log, or somebody \
                 has cut it"
            );
        }
    }

    fn pass(&mut self, name: Name) {
        if name.kind == Kind::Log {
            self.gap(name.number);
            self.expected = name.number + 1;
        } else {
            self.expected = name.number;
        }
    }

    fn read_log(&mut self, name: Name, file: &File, (offset, length): (u64, u64)) {
        let recovered = &mut self.recovered;
        let scanned = frame::scan(file, offset, length, name.salt, |payload| {
            let Some(Payload::Record(record)) = record::read(payload) else {
                return false;
            };
            recovered.apply(record);
            true
        });
        self.log_bytes += length;
        if !scanned.is_sound() {
            self.suspect(name, damage(&scanned));
        } else if scanned.torn > 0 {
            tracing::info!(
                "state: {} bytes at the end of {name} are no whole record, as after a crash or a power cut",
                scanned.torn
            );
        }
    }

    fn read_snapshot(&mut self, name: Name, file: &File, (offset, length): (u64, u64)) {
        let mut snapshot = Recovered::default();
        let (mut records, mut end) = (0_u64, None);
        let scanned = frame::scan(file, offset, length, name.salt, |payload| {
            match record::read(payload) {
                Some(Payload::Record(record)) if end.is_none() => {
                    snapshot.apply(record);
                    records += 1;
                }
                Some(Payload::End(count)) if end.is_none() => end = Some(count),
                _ => return false,
            }
            true
        });
        snapshot.is_snapshot();
        self.snapshot_bytes = length;
        let is_whole = end == Some(records) && scanned.is_sound() && scanned.torn == 0;
        if is_whole {
            self.recovered = snapshot;
            self.log_bytes = 0;
            self.gaps.clear();
        } else {
            self.recovered.merge(snapshot);
            // Its end is on the disk before it gets its name.
            let damaged_bytes = scanned.damaged_bytes + scanned.torn;
            self.suspect(
                name,
                damage(&Scanned {
                    damaged_bytes,
                    ..scanned
                }),
            );
        }
    }
}

/// What is wrong with a file, as what follows its name in a sentence.
fn damage(scanned: &Scanned) -> String {
    let Scanned {
        records,
        senseless,
        damaged_bytes,
        unreadable,
        ..
    } = scanned;
    let mut text = format!("is damaged: {records} records could be read and are in force");
    if let Some(at) = scanned.first_damage {
        text = format!("{text}; the first damage is at byte {at}");
    }
    for (count, what) in [
        (damaged_bytes, "bytes make no record"),
        (senseless, "records make no sense to this version"),
        (unreadable, "bytes the disk could not read"),
    ] {
        if *count > 0 {
            text = format!("{text}; {count} {what}");
        }
    }
    text
}
