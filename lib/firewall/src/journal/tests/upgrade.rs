//! State written by an earlier version. See `fixtures/README.md`.

use std::{fs, os::unix::fs::PermissionsExt};

use couic_peering::{NodeId, Record as Write, RecordState, Stamp};

use super::*;

/// The rule of this number, as created by the generator of the fixtures: `client:NAME` is a client, another name a
/// peer's, none an unknown client.
fn rule(n: u32, owners: &[&str]) -> (RuleKey, Vec<Claim>) {
    let cidr = match n % 3 {
        0 => format!("2001:db8::{n:x}/128"),
        _ => format!("10.0.0.{n}/32"),
    };
    let claim = |owner: &&str| Claim {
        owner: match owner.split_once(':') {
            Some((_, name)) => Owner::Client(name.parse().unwrap()),
            None if owner.is_empty() => Owner::Api,
            None => Owner::Peer(owner.parse().unwrap()),
        },
        tag: couic_common::Tag::parse(["", "ssh", "web"][n as usize % 3]).unwrap(),
        expiration: u64::from(n) * 7 % 11,
        creation: 1_700_000_000 + u64::from(n),
        reason: None,
    };
    let key = RuleKey::new(Policy::ALL[n as usize % 2], cidr.parse().unwrap());
    (key, owners.iter().map(claim).collect())
}

fn register(n: u32, state: RecordState) -> ((RuleKey, Option<u32>), SavedRegister) {
    let stamp = Stamp {
        time: 12,
        node: NodeId(0x1_0000_0002),
    };
    let record = Write {
        stamp,
        state,
        covers: 3,
        revokes: 0,
    };
    let register = Register {
        record,
        shift: 0,
        from: Some("fw2".parse().unwrap()),
        direct: false,
        ended: false,
        heeded: false,
        reason: None,
    };
    let is_older = false;
    let key = RuleKey::new(Policy::Drop, format!("10.0.0.{n}/32").parse().unwrap());
    // The version before had one register of each rule, and did not name its author.
    ((key, None), SavedRegister { register, is_older })
}

/// What is recovered from a directory with these files.
fn recovered(files: &[(&str, &[u8])]) -> Recovered {
    let home = Home::new();
    fs::create_dir(home.dir()).unwrap();
    for (name, bytes) in files {
        let path = home.dir().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let (journal, recovered) = Journal::open(&home.dir()).unwrap();
    assert_eq!(journal.problems(), []);
    recovered
}

fn registers() -> Registers {
    let live = RecordState::Live {
        tag: couic_common::Tag::parse("mesh").unwrap(),
        until: 99,
    };
    let registers = [register(200, live), register(201, RecordState::Deleted)];
    registers.into_iter().collect()
}

#[test]
fn the_state_of_the_version_before_owners_is_read_completely() {
    let recovered = recovered(&[
        (
            "journal-0000000002-6beeb20e.snap",
            include_bytes!("fixtures/journal-0000000002-6beeb20e.snap"),
        ),
        (
            "journal-0000000002-670e81f9.log",
            include_bytes!("fixtures/journal-0000000002-670e81f9.log"),
        ),
    ]);
    // After the snapshot: 12 is new, 1 has no claims any more, 2 is another peer's.
    let claims = (3..12).map(|n| rule(n, &["", "fw2"][..1 + n as usize % 2]));
    let claims = claims.chain([rule(12, &[""]), rule(2, &["fw3"])]);
    let wanted = Recovered {
        claims: claims.collect(),
        registers: registers(),
    };
    assert_eq!(recovered, wanted);
}

/// The owners of a rule of the fixture with owners.
const OWNERS: [&[&str]; 3] = [
    &["client:f2b"],
    &["client:ops", "client:f2b", "fw2"],
    &["", "client:fw2"],
];

#[test]
fn the_state_of_the_first_version_with_owners_is_read_completely() {
    let recovered = recovered(&[
        (
            "journal-0000000002-9131b677.snap",
            include_bytes!("fixtures/journal-0000000002-9131b677.snap"),
        ),
        (
            "journal-0000000002-6ae49eab.log",
            include_bytes!("fixtures/journal-0000000002-6ae49eab.log"),
        ),
    ]);
    // After the snapshot: 12 is new, 1 has no claims any more, 2 is one client's.
    let claims = (3..13).map(|n| rule(n, OWNERS[n as usize % 3]));
    let claims = claims.chain([rule(2, &["client:ops"])]);
    let wanted = Recovered {
        claims: claims.collect(),
        registers: registers(),
    };
    assert_eq!(recovered, wanted);
}
