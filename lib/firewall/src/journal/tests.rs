//! The journal as a whole, on real files, against a table in memory.

mod concurrent;
mod crash;
mod damage;
mod disk;
mod upgrade;

use std::{collections::BTreeMap, path::PathBuf};

use couic_common::{Policy, RuleKey};
use tempfile::TempDir;

use super::*;
use crate::rules::{Claim, Owner};
use couic_durable::{Kind, Name};

type Rules = BTreeMap<RuleKey, Vec<Claim>>;

/// An owner of rules that uses the journal as intended.
#[derive(Default)]
struct Table(Mutex<Rules>);

impl Table {
    /// Replaces the claims on a rule, without a commit.
    fn set(&self, journal: &Journal, key: RuleKey, claims: Vec<Claim>) {
        let mut rules = self.0.lock();
        let record = record(key, claims.clone());
        if claims.is_empty() {
            rules.remove(&key);
        } else {
            rules.insert(key, claims);
        }
        journal.append(&record);
    }

    fn rules(&self) -> Rules {
        self.0.lock().clone()
    }
}

impl Rows for Table {
    fn rows(&self, each: &mut dyn FnMut(&Record) -> io::Result<()>) -> io::Result<()> {
        // Key by key, so that changes are interleaved.
        let mut after: Option<RuleKey> = None;
        loop {
            let next = {
                let rules = self.0.lock();
                let mut rest = rules.iter().skip_while(|(key, _)| after >= Some(**key));
                rest.next().map(|(key, claims)| (*key, claims.clone()))
            };
            let Some((key, claims)) = next else {
                return Ok(());
            };
            after = Some(key);
            each(&record(key, claims))?;
        }
    }
}

/// A state directory.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        // In memory if possible: hundreds of runs would wait for the disk.
        let in_memory = tempfile::tempdir_in("/dev/shm");
        Self(in_memory.or_else(|_| tempfile::tempdir()).unwrap())
    }

    fn dir(&self) -> PathBuf {
        self.0.path().join("state")
    }

    fn open(&self) -> (Journal, Rules) {
        let (journal, recovered) = Journal::open(&self.dir()).unwrap();
        (journal, recovered.claims)
    }

    /// The rules that a start would recover.
    fn read(&self) -> Rules {
        // From a copy: a start creates a log.
        let copy = Self::new();
        std::fs::create_dir(copy.dir()).unwrap();
        for name in self.files() {
            let path = copy.dir().join(&name);
            std::fs::copy(self.dir().join(&name), path).unwrap();
        }
        copy.open().1
    }

    /// All file names, in order.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    /// The logs and snapshots, in reading order.
    fn state_files(&self) -> Vec<(Name, PathBuf)> {
        let names = self.files();
        let mut names: Vec<Name> = names
            .iter()
            .filter_map(|name| Name::parse(FORMAT.prefix, name))
            .collect();
        names.sort_unstable();
        let path = |name: Name| (name, self.dir().join(name.to_string()));
        names.into_iter().map(path).collect()
    }
}

fn record(key: RuleKey, claims: Vec<Claim>) -> Record {
    Record::Claims(RuleClaims { key, claims })
}

fn key(n: u32) -> RuleKey {
    let policy = Policy::ALL[n as usize % 2];
    let cidr = match n % 3 {
        0 => format!("2001:db8::{n:x}/128"),
        _ => format!("10.0.{}.{}/32", n / 256, n % 256),
    };
    RuleKey::new(policy, cidr.parse().unwrap())
}

fn claim(owner: u8, creation: u64) -> Claim {
    Claim {
        owner: match owner {
            0 => Owner::Api,
            n => Owner::Peer(format!("peer-{n}").parse().unwrap()),
        },
        tag: couic_common::Tag::parse(["", "ssh", "web"][creation as usize % 3]).unwrap(),
        expiration: creation * 7 % 11,
        creation,
        reason: couic_common::Reason::of(
            ["", "sshd: 5 failures", "by hand"][creation as usize % 3],
        ),
    }
}
