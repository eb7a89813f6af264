//! State written by an earlier version. See `fixtures/README.md`.

use std::{fs, os::unix::fs::PermissionsExt};

use couic_peering::{NodeId, Record as Write, RecordState, Stamp};

use super::*;

/// The rule of this number, as created by the generator of the fixture.
fn rule(n: u32, owners: &[&str]) -> (RuleKey, Vec<Claim>) {
    let cidr = match n % 3 {
        0 => format!("2001:db8::{n:x}/128"),
        _ => format!("10.0.0.{n}/32"),
    };
    let claim = |owner: &&str| Claim {
        owner: match *owner {
            "" => Owner::Api,
            name => Owner::Peer(name.parse().unwrap()),
        },
        tag: couic_common::Tag::parse(["", "ssh", "web"][n as usize % 3]).unwrap(),
        expiration: u64::from(n) * 7 % 11,
        creation: 1_700_000_000 + u64::from(n),
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
    };
    let is_older = false;
    let key = RuleKey::new(Policy::Drop, format!("10.0.0.{n}/32").parse().unwrap());
    // The version before had one register of each rule, and did not name its author.
    ((key, None), SavedRegister { register, is_older })
}

#[test]
fn the_state_of_the_previous_version_is_read_completely() {
    let home = Home::new();
    fs::create_dir(home.dir()).unwrap();
    for (name, bytes) in [
        (
            "journal-0000000002-6beeb20e.snap",
            &include_bytes!("fixtures/journal-0000000002-6beeb20e.snap")[..],
        ),
        (
            "journal-0000000002-670e81f9.log",
            &include_bytes!("fixtures/journal-0000000002-670e81f9.log")[..],
        ),
    ] {
        let path = home.dir().join(name);
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let (journal, recovered) = Journal::open(&home.dir()).unwrap();
    assert_eq!(journal.problems(), []);
    // After the snapshot: 12 is new, 1 has no claims any more, 2 is another peer's.
    let claims = (3..12).map(|n| rule(n, &["", "fw2"][..1 + n as usize % 2]));
    let claims = claims.chain([rule(12, &[""]), rule(2, &["fw3"])]);
    let live = RecordState::Live {
        tag: couic_common::Tag::parse("mesh").unwrap(),
        until: 99,
    };
    let registers = [register(200, live), register(201, RecordState::Deleted)];
    let wanted = Recovered {
        claims: claims.collect(),
        registers: registers.into_iter().collect(),
    };
    assert_eq!(recovered, wanted);
}
