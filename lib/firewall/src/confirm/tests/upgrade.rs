//! Records written by an earlier version. See `fixtures/README.md`.

use super::*;

/// The second in which the changes of the fixture were made.
const MADE: u64 = 1_795_984_214;
const DAY: u64 = 86_400;

#[test]
fn changes_of_the_version_before_are_undone_at_their_time() {
    let mut lab = Lab::new();
    lab.clock.set(MADE);
    // The rules after the changes: one was added, one removed, and the set is gone.
    lab.plainly(
        &Actor::Client(ops()),
        tagged("198.51.100.7/32", 0, "fixture"),
    );
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/src/confirm/tests/fixtures");
    for file in fs::read_dir(fixtures).unwrap().map(Result::unwrap) {
        if file.path().extension().is_some_and(|e| e == "jsonl") {
            let to = lab.dir.path().join(DIR).join(file.file_name());
            fs::copy(file.path(), to).unwrap();
        }
    }
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
