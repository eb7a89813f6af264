//! Records written by an earlier version. See `fixtures/README.md`.

use super::*;

/// The second in which the changes of the fixture were made.
const MADE: u64 = 1_795_984_214;
const DAY: u64 = 86_400;

/// Puts the records of a version in place.
fn copy(version: &str, lab: &Lab) {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/src/confirm/tests/fixtures");
    let fixtures = Path::new(fixtures).join(version);
    for file in fs::read_dir(fixtures).unwrap().map(Result::unwrap) {
        let to = lab.dir.path().join(DIR).join(file.file_name());
        fs::copy(file.path(), to).unwrap();
    }
}

#[test]
fn changes_of_the_version_before_owners_are_undone_at_their_time() {
    let mut lab = Lab::new();
    lab.clock.set(MADE);
    // The rules after the changes, as the journal of that version has them: one was added, one removed, and the set is
    // gone.
    let added = ClaimSwap {
        key: RuleKey::new(Policy::Drop, "198.51.100.7/32".parse().unwrap()),
        owner: None,
        expected: vec![],
        wanted: Some(Claim {
            owner: Owner::Api,
            tag: Tag::parse("fixture").unwrap(),
            expiration: 0,
            creation: MADE,
            reason: None,
        }),
    };
    let origin = Origin {
        actor: Actor::Client(ops()),
        metadata: None,
    };
    assert!(lab.firewall.swap(vec![added], &origin)[0].is_done());
    copy("before-owners", &lab);
    lab.clock.advance(10);
    lab.restart();
    let pending = lab.all.list(None).pending;
    let summaries: Vec<_> = pending.iter().map(|p| p.summary.as_str()).collect();
    assert_eq!(
        summaries,
        [
            "drop add 198.51.100.7/32",
            "drop delete 198.51.100.1/32",
            "set drop/spam delete",
            "sets reload"
        ]
    );
    assert!(pending.iter().all(|p| p.left == DAY - 10), "{pending:?}");
    lab.clock.advance(DAY);
    lab.restart();
    assert_eq!(lab.records(), 0, "undone by the start");
    assert_eq!(lab.expiration("198.51.100.7/32"), None);
    let back = lab.claims("198.51.100.1/32");
    let tags: Vec<_> = back.iter().map(|c| c.tag.clone()).collect();
    assert_eq!(tags, [Tag::parse("kept").unwrap()]);
    assert_eq!(back[0].creation, MADE);
    for of_set in ["192.0.2.0/24", "2001:db8:1::/48"] {
        assert_eq!(lab.expiration(of_set), Some(0), "{of_set}");
    }
    let spam = &"spam".parse().unwrap();
    let text = lab.sets.raw(Policy::Drop, spam).unwrap().unwrap();
    assert_eq!(text, b"192.0.2.0/24\n2001:db8:1::/48\n");
}

#[test]
fn changes_of_several_owners_are_undone_as_they_were_written() {
    let mut lab = Lab::new();
    let (one, two) = ("192.0.2.1/32", "192.0.2.2/32");
    let f2b = Actor::Client("f2b".parse().unwrap());
    // After the changes: all claims on one were ended, and a claim on the other was added beside another client's.
    lab.plainly(&f2b, tagged(two, 9_000, "x"));
    lab.plainly(&Actor::Client(ops()), tagged(two, 0, "y"));
    copy("owners", &lab);
    lab.restart();
    assert_eq!(lab.all.list(None).pending.len(), 2);
    lab.clock.set(2_000);
    for pending in lab.all.list(None).pending {
        lab.all.undo(pending.id, None).unwrap();
    }
    let shown = |cidr: &str| {
        let key = RuleKey::new(Policy::Drop, cidr.parse().unwrap());
        let mut all: Vec<String> = lab
            .firewall
            .all_claims(key)
            .iter()
            .map(|c| format!("{} {:?} {}", c.owner, c.tag, c.expiration))
            .collect();
        all.sort();
        all
    };
    assert_eq!(
        shown(one),
        [
            "client f2b None 0",
            "client f2b Some(\"long\") 5000",
            "client ops Some(\"long\") 6000",
            "peer fw2 Some(\"mesh\") 7000",
        ]
    );
    assert_eq!(shown(two), ["client f2b Some(\"x\") 9000"]);
}
