//! Full answers that lack what is banned, deletions of something else, refusals, other clients.

use super::oracle::{RULES, ban, cidr, tags};
use crate::{
    claims::{Before, Change, Found, Key, Refused},
    decision::{Ban, Id},
    model::{Judgement, Model, Told},
};

const NOW: u64 = 1_000;
const END: u64 = 10_000;

fn told(new: Vec<Ban>, deleted: &[(i64, u8)]) -> Told {
    let id = |(id, value): &(i64, u8)| Id {
        cidr: cidr(*value),
        id: *id,
    };
    Told {
        new,
        deleted: deleted.iter().map(id).collect(),
        cut: false,
    }
}

fn key(value: u8) -> Key {
    Key {
        cidr: cidr(value),
        tag: tags()[0],
    }
}

fn found(value: u8) -> Found {
    Found {
        key: key(value),
        until: END + RULES.grace,
    }
}

/// `+` for bans and `-` for releases, with the last byte of the address.
fn settle(model: &mut Model, now: u64) -> String {
    let mut text = String::new();
    let last = |key: Key| {
        key.cidr
            .addr()
            .to_string()
            .rsplit('.')
            .next()
            .unwrap()
            .to_owned()
    };
    while model.settle_next(now, |change| {
        text += &match change {
            Change::Ban { key, .. } => format!("+{} ", last(key)),
            Change::Release(key) => format!("-{} ", last(key)),
        };
    }) {}
    text.trim_end().to_owned()
}

/// Ten values, banned.
fn ten() -> Model {
    let mut model = Model::new(RULES);
    let all = (0..10).map(|n| ban(i64::from(n) + 1, n, 0, END)).collect();
    assert_eq!(
        model.full(&told(all, &[]), Some(&[]), NOW),
        Judgement::Believed { released: 0 }
    );
    assert_eq!(settle(&mut model, NOW), "+0 +1 +2 +3 +4 +5 +6 +7 +8 +9");
    model
}

#[test]
fn a_list_that_lacks_most_is_believed_the_second_time_and_not_at_once() {
    let mut model = ten();
    let few = || told(vec![ban(1, 0, 0, END), ban(99, 30, 0, END)], &[]);
    let doubted = Judgement::Doubted {
        lacking: 9,
        claimed: 10,
    };
    assert_eq!(model.full(&few(), None, NOW), doubted);
    // What is new counts at once.
    assert_eq!(settle(&mut model, NOW), "+30");
    let doubted = Judgement::Doubted {
        lacking: 9,
        claimed: 11,
    };
    assert_eq!(model.full(&few(), None, NOW + 599), doubted);
    assert_eq!(settle(&mut model, NOW + 599), "");
    assert_eq!(
        model.full(&few(), None, NOW + 600),
        Judgement::Believed { released: 9 }
    );
    assert_eq!(settle(&mut model, NOW + 600), "-1 -2 -3 -4 -5 -6 -7 -8 -9");
}

#[test]
fn an_empty_list_is_never_believed_and_a_good_one_ends_the_doubt() {
    let mut model = ten();
    for hour in 0..2 {
        let judged = model.full(&told(vec![], &[]), None, NOW + 3_600 * hour);
        assert!(matches!(judged, Judgement::Doubted { .. }));
        assert_eq!(settle(&mut model, NOW + 3_600 * hour), "");
    }
    // Bans run to their end.
    assert_eq!(model.claims().len(), 10);
    let all = (0..9).map(|n| ban(i64::from(n) + 101, n, 0, END)).collect();
    assert_eq!(
        model.full(&told(all, &[]), None, NOW),
        Judgement::Believed { released: 1 }
    );
    assert_eq!(settle(&mut model, NOW), "-9");
    model.full(&told(vec![], &[]), None, END + RULES.grace);
    assert_eq!(model.claims().len(), 0);
}

#[test]
fn deletions_that_are_told_explain_what_is_lacking() {
    let mut model = ten();
    let deleted: Vec<(i64, u8)> = (0..10).map(|n| (500 + i64::from(n), n)).collect();
    assert_eq!(
        model.full(&told(vec![], &deleted), None, NOW),
        Judgement::Believed { released: 0 }
    );
    assert_eq!(settle(&mut model, NOW), "-0 -1 -2 -3 -4 -5 -6 -7 -8 -9");
}

#[test]
fn a_deletion_of_what_is_kept_in_doubt_releases_it() {
    let mut model = ten();
    model.full(&told(vec![], &[]), None, NOW);
    model.delta(&told(vec![], &[(77, 3)]));
    assert_eq!(settle(&mut model, NOW), "-3");
    assert!(!model.is_unclear());
}

#[test]
fn a_deletion_that_comes_again_or_beside_a_new_decision_does_no_harm() {
    let mut model = ten();
    model.delta(&told(vec![], &[(1, 0)]));
    assert_eq!(settle(&mut model, NOW), "-0");
    model.delta(&told(vec![ban(50, 0, 0, END)], &[(1, 0)]));
    assert_eq!(settle(&mut model, NOW), "+0");
    model.delta(&told(vec![], &[(1, 0), (1, 0)]));
    assert_eq!(
        (settle(&mut model, NOW), model.is_unclear()),
        (String::new(), false)
    );
    // Never told, so only everything tells what it means; until then the ban stays.
    model.delta(&told(vec![], &[(49, 0)]));
    assert_eq!(
        (settle(&mut model, NOW), model.is_unclear()),
        (String::new(), true)
    );
    let rest = (1..10).map(|n| ban(i64::from(n) + 1, n, 0, END)).collect();
    model.full(&told(rest, &[(49, 0), (50, 0)]), None, NOW);
    assert_eq!(
        (settle(&mut model, NOW), model.is_unclear()),
        ("-0".to_owned(), false)
    );
    // Of what is not held.
    model.delta(&told(vec![], &[(7, 99)]));
    assert_eq!(
        (settle(&mut model, NOW), model.is_unclear()),
        (String::new(), false)
    );
}

#[test]
fn each_origin_has_its_claim_and_the_longest_of_one_counts() {
    let mut model = Model::new(RULES);
    let all = vec![ban(1, 0, 0, 5_000), ban(2, 0, 0, END), ban(3, 0, 1, 7_000)];
    model.full(&told(all, &[]), None, NOW);
    let mut changes = Vec::new();
    model.settle_next(NOW, |change| changes.push(change));
    let ends: Vec<(Key, u64)> = changes
        .iter()
        .map(|change| match change {
            Change::Ban {
                key,
                until,
                before: Before::Nothing,
                ..
            } => (*key, *until),
            other => panic!("{other:?}"),
        })
        .collect();
    let second = Key {
        tag: tags()[1],
        ..key(0)
    };
    assert_eq!(ends, [(key(0), END + 20), (second, 7_020)]);
    changes.clear();
    // The longest of the first goes: its claim gets the end of the shorter one.
    model.delta(&told(vec![], &[(2, 0)]));
    model.settle_next(NOW, |change| changes.push(change));
    assert!(
        matches!(
            changes[..],
            [Change::Ban {
                until: 5_020,
                before: Before::Longer,
                ..
            }]
        ),
        "{changes:?}"
    );
    changes.clear();
    model.delta(&told(vec![], &[(1, 0)]));
    model.settle_next(NOW, |change| changes.push(change));
    assert_eq!(changes, [Change::Release(key(0))]);
}

#[test]
fn what_the_daemon_refuses_is_sent_again_only_when_it_is_prolonged() {
    let mut model = ten();
    model.refuse(key(0), Refused::Ever("host"));
    model.refuse(key(1), Refused::ForNow("other"));
    assert_eq!(
        model.claims().refused().into_iter().collect::<Vec<_>>(),
        [("host", 1), ("other", 1)]
    );
    let all = || {
        (0..10)
            .map(|n| ban(i64::from(n) + 1, n, 0, END))
            .collect::<Vec<_>>()
    };
    let list: Vec<Found> = (2..10).map(found).collect();
    model.full(&told(all(), &[]), Some(&list), NOW);
    assert_eq!(settle(&mut model, NOW), "+1");
    model.delta(&told(vec![ban(60, 0, 0, END + 100)], &[]));
    assert_eq!(settle(&mut model, NOW), "+0");
    model.refuse(key(0), Refused::Ever("host"));
    // It was there once, so the daemon may still have it.
    model.delta(&told(vec![], &[(1, 0), (60, 0)]));
    assert_eq!(settle(&mut model, NOW), "-0");
    // That was never there.
    model.delta(&told(vec![ban(70, 70, 0, END)], &[]));
    assert_eq!(settle(&mut model, NOW), "+70");
    model.refuse(key(70), Refused::Ever("host"));
    model.delta(&told(vec![], &[(70, 70)]));
    assert_eq!(settle(&mut model, NOW), "");
}

#[test]
fn what_a_former_run_left_is_compared_at_the_start() {
    let mut model = Model::new(RULES);
    let all: Vec<Ban> = (0..8).map(|n| ban(i64::from(n) + 1, n, 0, END)).collect();
    // 0 is missing there, 7 ends too early, 8 and 9 were deleted meanwhile.
    let mut list: Vec<Found> = (1..10).map(found).collect();
    list[6].until = 2_000;
    assert_eq!(
        model.full(&told(all.clone(), &[]), Some(&list), NOW),
        Judgement::Believed { released: 2 }
    );
    assert_eq!(settle(&mut model, NOW), "+0 +7 -8 -9");
    // A claim that stays in spite of its release is of another client.
    let mut list: Vec<Found> = (0..8).map(found).collect();
    list.push(found(9));
    model.full(&told(all, &[]), Some(&list), NOW);
    assert_eq!(settle(&mut model, NOW), "");
    // An empty LAPI at the start releases nothing.
    let mut model = Model::new(RULES);
    let judged = model.full(&told(vec![], &[]), Some(&list), NOW);
    assert!(matches!(judged, Judgement::Doubted { .. }));
    assert_eq!(settle(&mut model, NOW), "");
}

#[test]
fn more_decisions_than_are_held_release_nothing() {
    let mut model = ten();
    let mut cut = told(vec![ban(1, 0, 0, END), ban(40, 40, 0, END)], &[]);
    cut.cut = true;
    let judged = model.full(&cut, None, NOW);
    assert!(matches!(judged, Judgement::Doubted { .. }));
    assert_eq!(settle(&mut model, NOW), "+40");
    assert!(model.is_cut());
}
