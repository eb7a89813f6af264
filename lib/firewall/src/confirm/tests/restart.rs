//! The state that a start finds.

use std::os::unix::fs::MetadataExt;

use super::*;
use crate::rules::Clock;

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

/// A clock with a fraction of a second, which the manual one has not.
struct Fraction(Arc<ManualClock>, u64);

impl Clock for Fraction {
    fn now(&self) -> u64 {
        self.0.now()
    }

    fn now_ms(&self) -> u64 {
        self.0.now_ms() + self.1
    }
}

#[test]
fn a_restart_takes_no_part_of_a_second_away() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::new(1_000));
    let daemon = |fraction| {
        let plane = MemoryPlane::default();
        let firewall = Arc::new(Firewall::new(
            Box::new(plane.clone()),
            Arc::new(plane),
            Limits::default(),
            Arc::new(Fraction(Arc::clone(&clock), fraction)),
        ));
        let sets = Arc::new(SetStore::open(dir.path()).unwrap());
        open(&dir, &firewall, &sets)
    };
    // Made at 1,000.9 s.
    let mut change = daemon(900)
        .begin(&ops(), WITHIN, "a test".to_owned())
        .unwrap();
    let made = change.apply(Policy::Drop, vec![add(ONE, 0)], &Actor::Client(ops()));
    assert!(made.unwrap()[0].is_ok());
    change.finish().unwrap();
    // Restarted at 1,001.1 s: 0.2 s are gone.
    clock.advance(1);
    let all = daemon(100);
    let before = Instant::now();
    let left = all.state.lock().pending[0].due - before;
    let expected = Duration::from_millis(WITHIN * 1_000 - 200);
    assert!(
        left + Duration::from_secs(5) > expected && left <= expected,
        "{left:?}"
    );
    // At its second, but before its fraction of it, another restart does not undo it.
    clock.set(1_000 + WITHIN);
    assert_eq!(daemon(800).waiting_count(), 1);
    assert_eq!(daemon(900).waiting_count(), 0);
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
    let mut change = lab.all.begin(&ops(), WITHIN, "a batch".to_owned()).unwrap();
    lab.apply(&mut change, vec![add(ONE, 0)]);
    // Predicted, but not done.
    let jobs = [add("192.0.2.2/32", 0)];
    let predicted = lab
        .firewall
        .predict(Policy::Drop, &jobs, &Actor::Client(ops()));
    let predicted = predicted.into_iter().map(Change::Claim);
    change.predict(predicted.collect()).unwrap();
    std::mem::forget(change);
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
        "kept for an operator to examine"
    );
    assert_eq!(lab.expiration(ONE), Some(0));
}

#[test]
fn a_damaged_record_is_told_until_it_is_taken_away() {
    let mut lab = Lab::new();
    let id = lab.change(add(ONE, 0)).unwrap();
    let path = lab.dir.path().join(DIR).join(format!("{id}.{ENDING}"));
    let mut text = fs::read(&path).unwrap();
    text.extend(b"nonsense\n{\"until\":5}\n");
    fs::write(&path, text).unwrap();
    // The first start sets it aside, later ones find it.
    for _ in 0..2 {
        lab.restart();
        lab.all.recheck_now();
        let told = lab.all.problems();
        let what = [&format!("confirm/{id}.damaged"), "of ops (a test)", "STAYS"];
        assert!(what.iter().all(|part| told[0].contains(part)), "{told:?}");
        assert_eq!(told.len(), 1);
    }
    fs::remove_file(path.with_extension("damaged")).unwrap();
    lab.all.recheck_now();
    assert_eq!(lab.all.problems(), Vec::<String>::new());
}

#[test]
fn a_directory_that_is_taken_away_is_made_again_with_what_was_in_it() {
    let mut lab = Lab::new();
    let dir = lab.dir.path().join(DIR);
    let first = lab.change(add(ONE, 0)).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    let second = lab.change(add("192.0.2.2/32", 0)).unwrap();
    assert_eq!(lab.records(), 2);
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
    lab.restart();
    let pending = lab.all.list(None).pending;
    assert_eq!([pending[0].id, pending[1].id], [first, second]);
    lab.clock.advance(WITHIN);
    lab.restart();
    assert_eq!((lab.expiration(ONE), lab.records()), (None, 0));
}

#[test]
fn a_record_that_is_taken_away_is_written_again_without_any_change() {
    let mut lab = Lab::new();
    let dir = lab.dir.path().join(DIR);
    lab.change(add(ONE, 0)).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    // Something that is no directory: nothing can be made below it.
    fs::write(&dir, "").unwrap();
    lab.all.recheck_now();
    let told = lab.all.problems();
    assert!(told[0].contains("cannot be written to"), "{told:?}");
    fs::remove_file(&dir).unwrap();
    lab.all.recheck_now();
    assert_eq!(lab.all.problems(), Vec::<String>::new());
    lab.restart();
    assert_eq!(lab.all.waiting_count(), 1);
}

#[test]
fn what_waits_can_be_confirmed_and_undone_without_the_directory() {
    let lab = Lab::new();
    let dir = lab.dir.path().join(DIR);
    let [one, two] = ["192.0.2.1/32", "192.0.2.2/32"].map(|cidr| lab.change(add(cidr, 0)).unwrap());
    fs::remove_dir_all(&dir).unwrap();
    lab.all.confirm(one, None).unwrap();
    lab.all.undo(two, None).unwrap();
    assert_eq!(lab.expiration(ONE), Some(0));
    assert_eq!(lab.expiration("192.0.2.2/32"), None);
}

#[test]
fn a_batch_that_began_with_the_directory_goes_on_without_it() {
    let mut lab = Lab::new();
    let mut change = lab.all.begin(&ops(), WITHIN, "a batch".to_owned()).unwrap();
    lab.apply(&mut change, vec![add(ONE, 0)]);
    fs::remove_dir_all(lab.dir.path().join(DIR)).unwrap();
    lab.apply(&mut change, vec![add("192.0.2.2/32", 0)]);
    let _ = change.finish().unwrap();
    lab.restart();
    let pending = &lab.all.list(None).pending[0];
    assert_eq!((pending.rules, pending.added), (2, 2));
}
