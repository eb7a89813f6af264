//! Rules that outlive the process.

mod lives;

use std::{path::Path, sync::Arc};

use super::*;
use crate::journal::{Journal, Rows};

const DAY: u64 = 86_400;

const ROOM: Limits = Limits {
    drop_entries: 1000,
    ignore_entries: 1000,
};

/// A start in this directory, after these sets were loaded. Returns the outcome for the rules.
pub(super) fn start(dir: &Path, now: u64, limits: Limits, sets: &SetCatalog) -> (House, Restored) {
    let house = House::at(now, limits);
    house.firewall.replace_sets(sets).unwrap();
    let _ = house.heard();
    let (journal, recovered) = Journal::open(&dir.join("state")).unwrap();
    let restored = house.firewall.restore(Arc::new(journal), recovered);
    assert_eq!(house.heard(), [""; 0], "a restart is no change");
    (house, restored)
}

fn start_plainly(dir: &Path, now: u64, limits: Limits) -> (House, Restored) {
    start(dir, now, limits, &SetCatalog::default())
}

fn add(house: &House, network: &str, tag: &str, expiration: u64, origin: &Origin) {
    let job = vec![Job::Add(rule(network, tag, expiration), None)];
    let results = house.firewall.apply(Policy::Drop, job, &origin.actor);
    assert!(results[0].is_ok(), "{results:?}");
}

fn listed(house: &House) -> Vec<String> {
    let entries = house.firewall.page(Policy::Drop, None, usize::MAX, None);
    entries.into_iter().map(|e| e.cidr.to_string()).collect()
}

fn compact(house: &House) {
    let rows: &dyn Rows = &house.firewall;
    let journal = house.firewall.journal().unwrap();
    journal.compact(&[rows]).unwrap();
}

#[test]
fn a_restored_rule_has_all_that_it_had_and_emits_no_event() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _) = start_plainly(dir.path(), 1000, ROOM);
    add(&house, "10.0.0.0/8", "ssh", 5_000, &client());
    add(&house, "2001:db8::/32", "", 0, &peer());
    let job = Job::Add(rule("192.0.2.1/32", "ssh", 0), because("sshd: 5 failures"));
    house.firewall.apply(Policy::Drop, vec![job], &peer().actor);
    let before = house.firewall.page(Policy::Drop, None, 10, None);
    // As kill -9 leaves it: nothing is closed, synced or dropped.
    std::mem::forget(house);
    let (house, restored) = start_plainly(dir.path(), 2000, ROOM);
    assert_eq!((restored.rules, restored.expired, restored.kept), (3, 0, 0));
    let after = house.firewall.page(Policy::Drop, None, 10, None);
    assert_eq!(
        after[1].reason,
        couic_common::Reason::of("sshd: 5 failures")
    );
    assert_eq!(after, before);
    assert_eq!(after[0].creation, 1000);
    assert_eq!(house.verdict("10.1.1.1"), Verdict::Drop);
    let (held, _) = house.firewall.claims(drop_key("2001:db8::/32"));
    assert_eq!(held[0].owner, Owner::Peer("p".parse().unwrap()));
    house.clock.set(5_000);
    house.firewall.expire_due();
    assert_eq!(listed(&house), ["192.0.2.1/32", "2001:db8::/32"]);
}

#[test]
fn a_deletion_outlives_the_process_too() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _) = start_plainly(dir.path(), 1000, ROOM);
    add(&house, "10.0.0.0/8", "", 0, &client());
    add(&house, "11.0.0.0/8", "", 1_001, &client());
    add(&house, "12.0.0.0/8", "", 0, &client());
    house
        .firewall
        .remove(drop_key("10.0.0.0/8"), &ClaimScope::OWN, &client())
        .unwrap();
    house.clock.set(1_001);
    house.firewall.expire_due();
    // Set back, so that the expired one could return.
    let (house, restored) = start_plainly(dir.path(), 1000, ROOM);
    assert_eq!((restored.rules, restored.expired), (1, 0));
    assert_eq!(listed(&house), ["12.0.0.0/8"]);
}

#[test]
fn single_changes_outlive_the_process_once_committed_and_few_wait() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _) = start_plainly(dir.path(), 1000, Limits::default());
    let host = |n: u32| rule(&format!("10.0.{}.{}/32", n / 256, n % 256), "", 0);
    let add = |n| house.firewall.add(Policy::Drop, &host(n), &client());
    add(0).unwrap();
    house.firewall.commit();
    let (_, restored) = start_plainly(dir.path(), 1000, ROOM);
    assert_eq!(restored.rules, 1);
    for n in 1..5_000 {
        add(n).unwrap();
    }
    let (_, restored) = start_plainly(dir.path(), 1000, Limits::default());
    assert!(restored.rules > 3_900, "{restored:?}");
    house.firewall.commit();
    for n in 0..5_000 {
        let removed = house.firewall.remove(
            RuleKey::new(Policy::Drop, host(n).cidr),
            &ClaimScope::OWN,
            &client(),
        );
        removed.unwrap();
    }
    house.firewall.commit();
    let (_, restored) = start_plainly(dir.path(), 1000, Limits::default());
    assert_eq!(restored, Restored::default());
}

#[test]
fn clock_jumps_between_two_lives_end_rules_early_or_late_but_break_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (house, _) = start_plainly(dir.path(), 10 * DAY, ROOM);
    add(&house, "10.0.0.0/8", "", 10 * DAY + 60, &client());
    add(&house, "11.0.0.0/8", "", 12 * DAY, &client());
    let (house, restored) = start_plainly(dir.path(), 9 * DAY, ROOM);
    assert_eq!(restored.rules, 2);
    house.clock.set(10 * DAY + 59);
    assert_eq!((house.firewall.expire_due(), listed(&house).len()), (0, 2));
    let (house, restored) = start_plainly(dir.path(), 11 * DAY, ROOM);
    assert_eq!((restored.rules, restored.expired), (1, 1));
    house.clock.set(12 * DAY);
    assert_eq!(house.firewall.expire_due(), 1);
    let (_, restored) = start_plainly(dir.path(), 10 * DAY, ROOM);
    assert_eq!(restored, Restored::default(), "what has ended has ended");
}

#[test]
fn a_set_covers_the_claim_beneath_over_a_restart_and_gives_it_back() {
    let dir = tempfile::tempdir().unwrap();
    let entries: &[&str] = &["10.0.0.0/8", "11.0.0.0/8"];
    let sets = catalog(&[(Policy::Drop, "s", entries)]);
    let (house, _) = start(dir.path(), 1000, ROOM, &sets);
    add(&house, "10.0.0.0/8", "ban", 5_000, &client());
    let (house, restored) = start(dir.path(), 2000, ROOM, &sets);
    assert_eq!(restored.rules, 1);
    let entry = house.firewall.entry(drop_key("10.0.0.0/8")).unwrap();
    assert_eq!(
        (entry.tag.unwrap().as_str(), entry.expiration),
        ("s.couic", 0)
    );
    house.firewall.replace_sets(&SetCatalog::default()).unwrap();
    let left = house.firewall.page(Policy::Drop, None, 10, None);
    assert_eq!(left.len(), 1);
    let ban = &left[0];
    assert_eq!((ban.expiration, ban.creation), (5_000, 1000));
}

#[test]
fn what_does_not_fit_is_kept_until_it_does() {
    let small = Limits {
        drop_entries: 2,
        ignore_entries: 2,
    };
    let dir = tempfile::tempdir().unwrap();
    let (house, _) = start_plainly(dir.path(), 1000, ROOM);
    for network in ["10.0.0.1/32", "10.0.0.2/32", "10.0.0.3/32", "10.0.0.4/32"] {
        add(&house, network, "t", 0, &client());
    }
    add(&house, "10.0.0.5/32", "t", 1_500, &client());
    let (house, restored) = start_plainly(dir.path(), 1000, small);
    assert_eq!((restored.rules, restored.kept), (2, 3));
    assert_eq!(house.firewall.kept_rules(), 3);
    assert_eq!(house.firewall.admit_kept(), 0);
    // Not lost with the next snapshot either.
    compact(&house);
    let (house, restored) = start_plainly(dir.path(), 1000, small);
    assert_eq!((restored.rules, restored.kept), (2, 3));
    // Deleting one that is not in force, letting time pass, and making room.
    let deleted = house
        .firewall
        .remove(drop_key("10.0.0.4/32"), &ClaimScope::OWN, &client())
        .unwrap();
    assert_eq!(
        (deleted.creation, deleted.tag),
        (1000, Tag::parse("t").unwrap())
    );
    house.clock.set(2_000);
    assert_eq!(
        (house.firewall.admit_kept(), house.firewall.kept_rules()),
        (0, 1)
    );
    house
        .firewall
        .remove(drop_key("10.0.0.1/32"), &ClaimScope::OWN, &client())
        .unwrap();
    let _ = house.heard();
    assert_eq!(house.firewall.admit_kept(), 1);
    assert_eq!(house.heard(), [""; 0]);
    assert_eq!(listed(&house), ["10.0.0.2/32", "10.0.0.3/32"]);
    let (house, restored) = start_plainly(dir.path(), 2_000, ROOM);
    assert_eq!((restored.rules, restored.kept), (2, 0));
    assert_eq!(listed(&house), ["10.0.0.2/32", "10.0.0.3/32"]);
}

#[test]
fn a_kept_rule_that_is_added_anew_is_what_was_asked_for_last() {
    let none = Limits {
        drop_entries: 0,
        ignore_entries: 0,
    };
    let dir = tempfile::tempdir().unwrap();
    let (house, _) = start_plainly(dir.path(), 1000, ROOM);
    add(&house, "10.0.0.1/32", "old", 0, &client());
    add(&house, "10.0.0.2/32", "old", 0, &peer());
    let (house, _) = start_plainly(dir.path(), 1000, none);
    assert_eq!(house.firewall.kept_rules(), 2);
    // A client and a peer release their own claims alone.
    let other = Origin {
        actor: Actor::Peer("q".parse().unwrap()),
        metadata: None,
    };
    for other in [other, client()] {
        let refused = house
            .firewall
            .remove(drop_key("10.0.0.2/32"), &ClaimScope::OWN, &other);
        assert!(matches!(refused, Err(FirewallError::NotFound { .. })));
    }
    let entries: &[&str] = &["10.0.0.1/32"];
    let one = Limits {
        drop_entries: 1,
        ignore_entries: 1,
    };
    let sets = catalog(&[(Policy::Drop, "s", entries)]);
    let (house, restored) = start(dir.path(), 1000, one, &sets);
    // The set has made the room for the claim beneath it.
    assert_eq!((restored.rules, restored.kept), (1, 1));
    add(&house, "10.0.0.1/32", "new", 0, &client());
    house
        .firewall
        .remove(drop_key("10.0.0.2/32"), &ClaimScope::ALL, &client())
        .unwrap();
    house.firewall.commit();
    let (house, _) = start_plainly(dir.path(), 1000, ROOM);
    let left = house.firewall.page(Policy::Drop, None, 10, None);
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].tag, Tag::parse("new").unwrap());
}

#[test]
fn without_a_journal_nothing_is_written() {
    let house = House::new();
    add(&house, "10.0.0.1/32", "", 0, &client());
    assert!(house.firewall.journal().is_none());
}
