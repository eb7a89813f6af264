//! Rules.

use super::*;
use crate::journal::{Journal, Rows};

const ONE: &str = "192.0.2.1/32";
const TWO: &str = "192.0.2.2/32";

#[test]
fn undone_at_its_time_and_not_before() {
    let lab = Lab::new();
    let id = lab.change(add(ONE, 0)).unwrap();
    assert_eq!((lab.expiration(ONE), lab.records()), (Some(0), 1));
    // It was made in the middle of a second, for all that its clock says.
    lab.clock.set(1_000 + WITHIN);
    lab.all.undo_due();
    let listed = lab.all.list(Some(&ops()));
    assert_eq!((listed.pending[0].id, listed.pending[0].left), (id, 0));
    assert_eq!((listed.pending[0].rules, lab.expiration(ONE)), (1, Some(0)));
    lab.clock.advance(1);
    lab.all.undo_due();
    assert_eq!((lab.expiration(ONE), lab.records()), (None, 0));
    let listed = lab.all.list(None);
    assert_eq!(listed.pending, []);
    assert_eq!(
        (listed.reverted[0].id, listed.reverted[0].restored),
        (id, 1)
    );
    let told = lab.all.confirm(id, None).unwrap_err().to_string();
    assert!(told.contains("was undone 0 s ago"), "{told}");
}

#[test]
fn what_is_undone_is_not_undone_again_for_a_record_that_cannot_be_removed() {
    let lab = Lab::new();
    let id = lab.change(add(ONE, 0)).unwrap();
    let mut records = fs::read_dir(lab.dir.path().join(DIR)).unwrap();
    let record = records.next().unwrap().unwrap().path();
    fs::remove_file(&record).unwrap();
    fs::create_dir(&record).unwrap();
    let told = lab.all.undo(id, None).unwrap_err().to_string();
    assert!(told.contains("record cannot be removed"), "{told}");
    assert_eq!(lab.expiration(ONE), None);
    lab.plainly(&Actor::Client(ops()), add(ONE, 0));
    lab.all.undo(id, None).unwrap_err();
    assert_eq!(lab.expiration(ONE), Some(0), "that is another change");
    fs::remove_dir(&record).unwrap();
    fs::write(&record, "").unwrap();
    lab.all.undo(id, None).unwrap();
    assert_eq!((lab.expiration(ONE), lab.records()), (Some(0), 0));
}

/// A full disk accepts removals, so the undo record was removed before the restored claim was on the disk.
#[test]
fn the_way_back_stays_until_the_disk_has_what_was_put_back() {
    let lab = Lab::new();
    let (journal, recovered) = Journal::open(&lab.dir.path().join("state")).unwrap();
    let journal = Arc::new(journal);
    let _ = lab.firewall.restore(Arc::clone(&journal), recovered);
    let id = lab.change(add(ONE, 0)).unwrap();
    journal.fill_disk();
    let told = lab.all.undo(id, None).unwrap_err().to_string();
    assert!(told.contains("the disk does not take that"), "{told}");
    assert_eq!((lab.expiration(ONE), lab.records()), (None, 1));
    lab.plainly(&Actor::Client(ops()), add(ONE, 0));
    lab.all.undo(id, None).unwrap_err();
    assert_eq!(lab.expiration(ONE), Some(0), "that is another change");
    let rules: &dyn Rows = &*lab.firewall;
    journal.compact(&[rules]).unwrap();
    let undone = lab.all.undo(id, None).unwrap();
    assert_eq!((undone.restored, lab.records()), (1, 0));
}

#[test]
fn confirmed_it_stays() {
    let lab = Lab::new();
    let id = lab.change(add(ONE, 0)).unwrap();
    lab.all.confirm(id, Some(&ops())).unwrap();
    assert_eq!(lab.records(), 0);
    lab.clock.advance(2 * WITHIN);
    lab.all.undo_due();
    assert_eq!(lab.expiration(ONE), Some(0));
    assert!(matches!(
        lab.all.confirm(id, None),
        Err(ConfirmError::Unknown(_))
    ));
}

#[test]
fn a_client_cannot_see_the_change_of_another() {
    let lab = Lab::new();
    let id = lab.change(add(ONE, 0)).unwrap();
    let other: ClientName = "other".parse().unwrap();
    assert!(matches!(
        lab.all.confirm(id, Some(&other)),
        Err(ConfirmError::Unknown(_))
    ));
    assert!(matches!(
        lab.all.undo(id, Some(&other)),
        Err(ConfirmError::Unknown(_))
    ));
    assert_eq!(
        lab.all.list(Some(&other)),
        couic_common::Confirmations::default()
    );
    lab.all.undo(id, Some(&ops())).unwrap();
    assert_eq!(lab.all.list(Some(&other)).reverted, []);
    assert!(matches!(
        lab.all.confirm(id, Some(&other)),
        Err(ConfirmError::Unknown(_))
    ));
}

#[test]
fn what_nothing_was_changed_by_does_not_wait() {
    let lab = Lab::new();
    lab.plainly(&Actor::Client(ops()), add(ONE, 5_000));
    assert_eq!(lab.change(add(ONE, 5_000)), None);
    assert_eq!(lab.change(remove(TWO)), None);
    assert_eq!(lab.changes(vec![add(TWO, 0), remove(TWO)]), None);
    assert_eq!((lab.records(), lab.all.waiting_count()), (0, 0));
}

#[test]
fn tag_expiration_and_creation_come_back() {
    let lab = Lab::new();
    lab.plainly(&Actor::Client(ops()), tagged(ONE, 9_000, "old"));
    lab.clock.advance(7);
    let before = lab
        .firewall
        .entry(RuleKey::new(Policy::Drop, ONE.parse().unwrap()));
    for (change, claims) in [
        (vec![tagged(ONE, 0, "new")], 1),
        (vec![remove(ONE)], 1),
        (vec![remove(ONE), tagged(ONE, 0, "old")], 1),
        (vec![remove(ONE), add(ONE, 0)], 2),
    ] {
        let id = lab.changes(change).unwrap();
        assert_ne!(
            lab.firewall
                .entry(RuleKey::new(Policy::Drop, ONE.parse().unwrap())),
            before
        );
        assert_eq!(lab.all.undo(id, None).unwrap().restored, claims);
        assert_eq!(
            lab.firewall
                .entry(RuleKey::new(Policy::Drop, ONE.parse().unwrap())),
            before
        );
    }
}

#[test]
fn a_claim_whose_time_is_over_does_not_come_back() {
    let lab = Lab::new();
    lab.plainly(&Actor::Client(ops()), add(ONE, 1_010));
    lab.change(add(ONE, 0)).unwrap();
    lab.clock.advance(WITHIN + 1);
    lab.all.undo_due();
    assert_eq!(lab.expiration(ONE), None);
}

#[test]
fn what_somebody_changed_afterwards_is_left_alone_and_named() {
    let lab = Lab::new();
    let id = lab.changes(vec![add(ONE, 0), add(TWO, 0)]).unwrap();
    lab.plainly(&Actor::Client(ops()), add(ONE, 7_000));
    let undone = lab.all.undo(id, None).unwrap();
    assert_eq!(undone.left_alone, [format!("drop {ONE}")]);
    assert_eq!(undone.restored, 1);
    assert_eq!(
        (lab.expiration(ONE), lab.expiration(TWO)),
        (Some(7_000), None)
    );
}

#[test]
fn the_claims_of_peers_come_back_and_are_left_alone() {
    let lab = Lab::new();
    let peer = |name: &str| Actor::Peer(name.parse().unwrap());
    lab.plainly(&peer("a"), add(ONE, 5_000));
    lab.plainly(&peer("b"), add(ONE, 6_000));
    let before = lab.claims(ONE);
    let all = Job::Remove(ONE.parse().unwrap(), ClaimScope::ALL, None);
    let id = lab.change(all).unwrap();
    assert_eq!(lab.expiration(ONE), None);
    assert_eq!(lab.all.undo(id, None).unwrap().restored, 2);
    assert_eq!(lab.claims(ONE), before);
    // A peer's claim in between is not undone.
    let id = lab.change(add(TWO, 0)).unwrap();
    lab.plainly(&peer("a"), add(TWO, 5_000));
    lab.all.undo(id, None).unwrap();
    let held = lab.claims(TWO);
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].owner, Owner::Peer("a".parse().unwrap()));
}

#[test]
fn followers_hear_why() {
    let lab = Lab::new();
    let events = lab.firewall.subscribe(10);
    let id = lab.change(add(ONE, 0)).unwrap();
    lab.all.undo(id, None).unwrap();
    let heard = events.recv_timeout(Duration::ZERO);
    let last = heard.events.iter().last().unwrap();
    let why = last.origin.metadata.as_ref().unwrap();
    assert_eq!(
        why.detail,
        format!("unconfirmed change {id} undone: a test")
    );
    assert_eq!(last.origin.actor, Actor::Client(ops()));
}

#[test]
fn what_does_not_fit_any_more_is_tried_again() {
    let lab = Lab::with(Limits {
        drop_entries: 1,
        ignore_entries: 1,
    });
    lab.plainly(&Actor::Client(ops()), add(ONE, 0));
    let id = lab.change(remove(ONE)).unwrap();
    lab.plainly(&Actor::Client(ops()), add(TWO, 0));
    let told = lab.all.undo(id, None).unwrap_err().to_string();
    assert!(told.contains("the drop table for IPv4 is full"), "{told}");
    assert!(lab.all.list(None).pending[0].problem.is_some());
    lab.plainly(&Actor::Client(ops()), remove(TWO));
    lab.all.undo(id, None).unwrap();
    assert_eq!(lab.expiration(ONE), Some(0));
}

#[test]
fn there_are_so_many_and_so_large_ones_and_no_more() {
    let lab = Lab::new();
    let changes: Vec<ConfirmableChange> = (0..MAX_PENDING)
        .map(|_| lab.all.begin(&ops(), WITHIN, String::new()).unwrap())
        .collect();
    let more = lab.all.begin(&ops(), WITHIN, String::new());
    assert!(matches!(more, Err(ConfirmError::TooMany)));
    drop(changes);
    assert_eq!(lab.all.waiting_count(), 0, "nothing was changed");
    let mut change = lab.all.begin(&ops(), WITHIN, String::new()).unwrap();
    let large = Change::File(FileChange {
        policy: Policy::Drop,
        set: "s".parse().unwrap(),
        before: None,
        after: Some("#".repeat(MAX_WEIGHT)),
    });
    assert!(matches!(
        change.predict(vec![large]),
        Err(ConfirmError::TooMuch)
    ));
    drop(change);
    assert_eq!((lab.all.waiting_count(), lab.records()), (0, 0));
}

#[test]
fn without_a_way_back_there_is_no_change() {
    let lab = Lab::new();
    let dir = lab.dir.path().join(DIR);
    fs::remove_dir(&dir).unwrap();
    // Something that is no directory.
    fs::write(&dir, "").unwrap();
    let mut change = lab.all.begin(&ops(), WITHIN, String::new()).unwrap();
    let refused = change.apply(Policy::Drop, vec![add(ONE, 0)], &Actor::Client(ops()));
    assert!(matches!(refused, Err(ConfirmError::Disk(_))));
    drop(change);
    assert_eq!(lab.all.waiting_count(), 0);
}

#[test]
fn a_change_that_breaks_off_waits_all_the_same() {
    let lab = Lab::new();
    let mut change = lab.all.begin(&ops(), WITHIN, String::new()).unwrap();
    lab.apply(&mut change, vec![add(ONE, 0)]);
    assert_eq!(lab.all.waiting_count(), 0, "it is being made");
    lab.clock.advance(2 * WITHIN);
    lab.all.undo_due();
    assert_eq!(lab.expiration(ONE), Some(0));
    drop(change);
    assert_eq!(lab.all.waiting_count(), 1);
    lab.clock.advance(WITHIN + 1);
    lab.all.undo_due();
    assert_eq!(lab.expiration(ONE), None);
}

#[test]
fn undoing_gives_back_the_reason_also_if_it_alone_was_changed() {
    let mut lab = Lab::new();
    let by_hand = || with_reason(add(ONE, 0), "by hand");
    lab.plainly(&Actor::Client(ops()), by_hand());
    let reason = |lab: &Lab| lab.claims(ONE)[0].reason.as_ref().map(ToString::to_string);
    let id = lab.change(with_reason(add(ONE, 0), "ticket 7")).unwrap();
    assert_eq!(reason(&lab).as_deref(), Some("ticket 7"));
    lab.restart();
    assert_eq!(reason(&lab).as_deref(), Some("ticket 7"));
    lab.all.undo(id, None).unwrap();
    assert_eq!(reason(&lab).as_deref(), Some("by hand"));
    // The same reason once more is no change.
    assert_eq!(lab.change(by_hand()), None);
}
