//! What a start finds.

use super::*;

const ONE: &str = "192.0.2.1/32";

#[test]
fn a_restart_makes_nothing_permanent() {
    let mut lab = Lab::new();
    let id = lab.change(add(ONE, 0)).unwrap();
    lab.restart();
    let listed = lab.all.list(Some(&ops()));
    assert_eq!((listed.pending[0].id, listed.pending[0].left), (id, WITHIN));
    assert_eq!(
        (listed.pending[0].summary.as_str(), lab.expiration(ONE)),
        ("a test", Some(0))
    );
    lab.clock.advance(WITHIN + 5);
    lab.restart();
    assert_eq!(
        (lab.expiration(ONE), lab.records()),
        (None, 0),
        "undone by the start itself"
    );
    assert_eq!(lab.all.list(None).reverted[0].id, id);
}

#[test]
fn a_deletion_is_undone_where_the_rules_are_gone() {
    let lab = Lab::new();
    lab.plainly(&Actor::Client(ops()), add(ONE, 0));
    lab.change(remove(ONE)).unwrap();
    // Another daemon, without rules, finds the record.
    let mut other = Lab::new();
    let record = fs::read_dir(lab.dir.path().join(DIR))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    fs::copy(
        record.path(),
        other.dir.path().join(DIR).join(record.file_name()),
    )
    .unwrap();
    other.clock.advance(WITHIN);
    other.restart();
    assert_eq!(other.expiration(ONE), Some(0));
}

#[test]
fn a_clock_that_is_set_back_puts_nothing_off() {
    let mut lab = Lab::new();
    lab.clock.set(1_000_000);
    lab.change(add(ONE, 0)).unwrap();
    lab.clock.set(1_000);
    lab.restart();
    let due = lab.all.state.lock().pending[0].due;
    assert!(due <= Instant::now() + Duration::from_secs(WITHIN));
}

#[test]
fn a_change_that_was_killed_in_the_middle_is_undone() {
    let mut lab = Lab::new();
    let mut draft = lab.all.begin(&ops(), WITHIN, "a batch".to_owned()).unwrap();
    lab.spell(&mut draft, vec![add(ONE, 0)]);
    // What was foretold and not done.
    let job = add("192.0.2.2/32", 0);
    let foretold = lab
        .firewall
        .foretell(Policy::Drop, &job, &Actor::Client(ops()));
    draft
        .will(foretold.into_iter().map(Change::Claim).collect())
        .unwrap();
    std::mem::forget(draft);
    lab.clock.advance(WITHIN);
    lab.restart();
    assert_eq!(lab.expiration(ONE), None);
    assert_eq!(lab.expiration("192.0.2.2/32"), None);
    assert_eq!(lab.records(), 0);
}

#[test]
fn torn_and_damaged_records() {
    let mut lab = Lab::new();
    let id = lab.change(add(ONE, 0)).unwrap();
    let path = lab.dir.path().join(DIR).join(format!("{id}.{ENDING}"));
    let whole = fs::read(&path).unwrap();
    for tail in [&b"{\"claim\":{\"pol"[..], b"{\"claim\":{\"pol\n", b"\0\0\0"] {
        fs::write(&path, [&whole[..], tail].concat()).unwrap();
        lab.restart();
        assert_eq!(lab.all.list(None).pending[0].rules, 1, "{tail:?}");
    }
    // Every way to cut it short: read, or set aside, and never a panic.
    for end in 0..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        lab.restart();
        let _ = fs::remove_file(path.with_extension("damaged"));
    }
    fs::write(&path, b"nonsense\nnonsense\n").unwrap();
    lab.restart();
    assert_eq!(lab.all.waiting_count(), 0);
    assert!(
        path.with_extension("damaged").exists(),
        "kept for somebody to look at"
    );
    assert_eq!(lab.expiration(ONE), Some(0));
}
