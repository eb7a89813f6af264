//! Bounds while the daemon is away, the end, and what the next run takes over.

use std::{fs, time::Duration};

use super::*;
use crate::Pending;

#[test]
fn at_the_bound_the_rules_go_that_end_soonest() {
    let fake = Fake::new();
    fake.go();
    let injector = fake.start(limits(100));
    for (n, rule) in (0..).zip(many(300, 0)) {
        injector.ban(Rule {
            until: later(n),
            ..rule
        });
    }
    let figures = injector.figures();
    assert_eq!((figures.pending, figures.dropped), (100, 200));
    fake.come();
    await_sent(&injector);
    let mut expected: Vec<String> = many(300, 0).skip(200).map(|r| r.cidr.to_string()).collect();
    expected.sort();
    assert_eq!(fake.in_force(), expected);
    end(injector);
}

#[test]
fn a_ban_that_ends_while_it_is_held_is_not_sent() {
    let fake = Fake::new();
    fake.go();
    let injector = fake.start(Limits::default());
    injector.ban(rule("192.0.2.1/32", "t", unix_seconds() + 1));
    injector.ban(rule("192.0.2.2/32", "t", later(0)));
    injector.ban(rule("192.0.2.3/32", "t", 1));
    await_figures(&injector, "two have ended", |f| f.expired == 2);
    fake.come();
    await_sent(&injector);
    assert_eq!(fake.jobs(), [["+192.0.2.2/32"]]);
    end(injector);
}

#[test]
fn what_is_left_at_the_deadline_is_taken_over_by_the_next_run() {
    let fake = Fake::new();
    fake.go();
    let injector = fake.start(Limits::default());
    injector.ban(rule("192.0.2.1/32", "t", later(100)));
    injector.ban(rule("192.0.2.2/32", "t", 0));
    injector.remove("192.0.2.3/32".parse().unwrap(), "t");
    injector.remove("192.0.2.4/32".parse().unwrap(), "t");
    injector.ban(rule("192.0.2.4/32", "t", later(0)));
    let file = fake.path("pending");
    injector.save(&file).unwrap();
    let saved = fs::read(&file).unwrap();
    let left = injector.stop(Duration::from_millis(300));
    assert_eq!(left.len(), 4);
    left.save(&file).unwrap();
    assert_eq!(fs::read(&file).unwrap(), saved, "the same, stopped or not");

    let loaded = Pending::load(&file, Limits::default()).unwrap();
    assert_eq!((loaded.pending.len(), loaded.damage), (4, None));
    let next = fake.start(Limits::default());
    // Newer than what is taken over.
    next.ban(rule("192.0.2.3/32", "t", later(0)));
    next.remove("192.0.2.2/32".parse().unwrap(), "t");
    next.ban(rule("192.0.2.1/32", "t", later(0)));
    next.restore(loaded.pending);
    fake.come();
    await_sent(&next);
    assert_eq!(
        fake.in_force(),
        ["192.0.2.1/32", "192.0.2.3/32", "192.0.2.4/32"]
    );
    let key = ("192.0.2.1/32".to_owned(), Some("t".to_owned()));
    let left = fake.world.lock().rules[&key].unwrap();
    assert!(left > 10_000, "the longer one counts: {left}");
    let rest = next.stop(Duration::from_secs(30));
    rest.save(&file).unwrap();
    assert!(!file.exists(), "nothing is left");
    let none = Pending::load(&file, Limits::default()).unwrap();
    assert!(none.pending.is_empty() && none.damage.is_none());
}

#[test]
fn a_batch_under_way_at_the_deadline_is_left() {
    let fake = Fake::new();
    fake.shut_gate();
    let injector = fake.start(Limits::default());
    injector.ban(rule("192.0.2.1/32", "t", later(0)));
    fake.await_batches(1);
    assert_eq!(injector.stop(Duration::from_millis(50)).len(), 1);
    fake.open_gate();
}

#[test]
fn a_damaged_file_is_set_aside_and_nothing_of_it_is_used() {
    let fake = Fake::new();
    fake.go();
    let injector = fake.start(Limits::default());
    injector.ban(rule("192.0.2.1/32", "t", later(0)));
    injector.ban(rule("192.0.2.2/32", "t", later(0)));
    let file = fake.path("pending");
    injector.stop(Duration::ZERO).save(&file).unwrap();
    let good = fs::read(&file).unwrap();
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).unwrap());
    assert_eq!(mode & 0o777, 0o600);
    let aside = fake.path("pending.damaged");
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x02;
        check_damage(&file, &aside, &bad);
        check_damage(&file, &aside, &good[..at]);
    }
    fs::write(&file, &good).unwrap();
    let loaded = Pending::load(&file, Limits::default()).unwrap();
    assert_eq!((loaded.pending.len(), loaded.damage), (2, None));
}

fn check_damage(file: &std::path::Path, aside: &std::path::Path, bytes: &[u8]) {
    fs::write(file, bytes).unwrap();
    let loaded = Pending::load(file, Limits::default()).unwrap();
    let Some(damage) = loaded.damage else {
        panic!("accepted: {}", String::from_utf8_lossy(bytes));
    };
    assert!(damage.contains("pending.damaged") && loaded.pending.is_empty());
    assert_eq!(fs::read(aside).unwrap(), bytes);
    assert!(!file.exists());
}
