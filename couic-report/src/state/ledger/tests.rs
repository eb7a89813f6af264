use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::state::record::{Batch, BatchWriter, Row, handed};

fn batch(id: u128, source: &str, adds: &[(u8, u8)], removes: u32) -> Batch {
    let id = (id > 0).then(|| Uuid::from_u128(id));
    let mut writer = BatchWriter::new(id, source, 1_000, 0);
    for (host, tag) in adds {
        let tag = if *tag == 0 {
            String::new()
        } else {
            format!("t{tag}")
        };
        writer.push(&Row {
            tag: &tag,
            ..Row::add(format!("192.0.2.{host}/32").parse().unwrap())
        });
    }
    let cidr = "192.0.2.255/32".parse().unwrap();
    let removed = Row {
        action: PeerAction::Remove,
        ..Row::add(cidr)
    };
    (0..removes).for_each(|_| writer.push(&removed));
    writer.finish()
}

fn seal(until: u64, next: u128) -> Vec<u8> {
    Seal {
        until,
        next_from: until,
        next_id: Uuid::from_u128(next),
    }
    .encode()
}

fn bytes(ledger: &Ledger) -> Vec<u8> {
    let mut out = Vec::new();
    ledger.encode(&mut out);
    out
}

#[test]
fn an_interval_ends_as_one_summary_and_the_next_is_empty() {
    let mut ledger = Ledger::new(Uuid::from_u128(1), 100);
    ledger
        .apply(&batch(0, "a", &[(1, 1), (1, 1), (2, 2), (3, 0)], 5).payload)
        .unwrap();
    ledger.apply(&batch(0, "b", &[(9, 1)], 0).payload).unwrap();
    ledger.apply(&seal(160, 2)).unwrap();
    let named = |list: &[(&str, u64)]| -> Vec<(String, u64)> {
        list.iter().map(|(t, n)| ((*t).to_owned(), *n)).collect()
    };
    let expected = Sealed {
        id: Uuid::from_u128(1),
        from: 100,
        until: 160,
        adds: 5,
        distinct: 4,
        estimated: false,
        top_tags: named(&[("t1", 3), ("t2", 1)]),
        sources: named(&[("a", 4), ("b", 1)]),
    };
    assert_eq!(ledger.outbox, [expected]);
    assert_eq!((ledger.interval, ledger.from), (Uuid::from_u128(2), 160));
    assert_eq!((ledger.figures.adds(), ledger.figures.removes()), (0, 0));
    ledger.apply(&handed(Uuid::from_u128(1))).unwrap();
    assert!(ledger.outbox.is_empty());
}

#[test]
fn a_repeated_request_counts_once() {
    let mut ledger = Ledger::new(Uuid::nil(), 0);
    for id in [7, 7, 8, 7, 0, 0] {
        ledger.apply(&batch(id, "", &[(1, 1)], 1).payload).unwrap();
    }
    assert_eq!((ledger.figures.adds(), ledger.figures.removes()), (4, 4));
    for id in 100..100 + RECENT as u128 {
        ledger.apply(&batch(id, "", &[], 0).payload).unwrap();
    }
    assert!(!ledger.knows(Uuid::from_u128(7)), "bounded");
    assert!(ledger.knows(Uuid::from_u128(100)));
}

#[test]
fn the_outbox_is_bounded() {
    let mut ledger = Ledger::new(Uuid::from_u128(1), 0);
    for n in 2..OUTBOX as u128 + 12 {
        ledger.apply(&seal(n as u64, n)).unwrap();
    }
    assert_eq!(ledger.outbox.len(), OUTBOX);
    assert_eq!(ledger.outbox[0].id, Uuid::from_u128(11));
}

/// Random actions of clients.
#[derive(Clone, Debug)]
enum Step {
    Batch(u128, u8, Vec<(u8, u8)>, u32),
    Seal,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let adds = proptest::collection::vec((any::<u8>(), 0u8..5), 0..20);
    prop_oneof![
        8 => (0u128..10, 0u8..4, adds, 0u32..5).prop_map(|(id, s, a, r)| Step::Batch(id, s, a, r)),
        1 => Just(Step::Seal),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    /// Against plain counting, with the state written and read back at random moments.
    #[test]
    fn figures_are_those_of_a_plain_count(steps in proptest::collection::vec(step(), 0..60)) {
        let mut ledger = Ledger::new(Uuid::from_u128(1000), 0);
        let (mut hosts, mut tags, mut adds) = (BTreeSet::new(), BTreeMap::<u8, u64>::new(), 0);
        let (mut ids, mut sealed) = (BTreeSet::new(), Vec::new());
        for (n, step) in steps.into_iter().enumerate() {
            match step {
                Step::Batch(id, source, rows, removes) => {
                    ledger.apply(&batch(id, &format!("s{source}"), &rows, removes).payload).unwrap();
                    if id == 0 || ids.insert(id) {
                        adds += rows.len() as u64;
                        for (host, tag) in rows {
                            hosts.insert(host);
                            if tag > 0 {
                                *tags.entry(tag).or_default() += 1;
                            }
                        }
                    }
                }
                Step::Seal => {
                    ledger.apply(&seal(n as u64, 2000 + n as u128)).unwrap();
                    sealed.push((adds, hosts.len() as u64));
                    (hosts, tags, adds) = (BTreeSet::new(), BTreeMap::new(), 0);
                }
                Step::Restart => {
                    let before = bytes(&ledger);
                    ledger = Ledger::decode(&mut Take(&before)).unwrap();
                }
            }
        }
        let got: Vec<_> = ledger.outbox.iter().map(|s| (s.adds, s.distinct)).collect();
        prop_assert_eq!(got, sealed);
        prop_assert_eq!(ledger.figures.adds(), adds);
        prop_assert_eq!(ledger.figures.distinct(), (hosts.len() as u64, false));
        let top: BTreeMap<u8, u64> = ledger
            .figures
            .top_tags(10)
            .into_iter()
            .map(|(t, c)| (t[1..].parse().unwrap(), c))
            .collect();
        prop_assert_eq!(top, tags);
    }

    #[test]
    fn damage_is_refused_or_leaves_a_ledger_that_can_be_kept(garbage: Vec<u8>, at in 0usize..200, flip: u8) {
        let mut good = batch(3, "src", &[(1, 2), (3, 4)], 1).payload;
        if let Some(byte) = good.get_mut(at) {
            *byte ^= flip;
        }
        for record in [&garbage, &good] {
            let mut ledger = Ledger::new(Uuid::nil(), 0);
            if ledger.apply(record).is_ok() {
                let kept = Ledger::decode(&mut Take(&bytes(&ledger))).unwrap();
                prop_assert_eq!(kept.figures.adds(), ledger.figures.adds());
                prop_assert_eq!(kept.figures.distinct(), ledger.figures.distinct());
            }
        }
        if let Ok(ledger) = Ledger::decode(&mut Take(&garbage)) {
            prop_assert!(bytes(&ledger).len() <= garbage.len());
        }
    }
}
