//! Gathering, and the order of what concerns one network.

use std::time::Duration;

use couic_common::GuardRequest;
use serde_json::json;

use super::*;

#[test]
fn rules_that_come_together_are_one_batch_with_all_they_say() {
    let fake = Fake::new();
    fake.go();
    let injector = fake.start(Limits::default());
    injector.ban(rule("192.0.2.7/24", "mon-a", later(0)));
    injector.ban(rule("2001:db8::1/128", "", 0));
    injector.remove("192.0.2.9/32".parse().unwrap(), "mon-a");
    injector.remove("192.0.2.10/32".parse().unwrap(), "");
    fake.come();
    let figures = await_sent(&injector);
    assert_eq!((figures.batches, figures.applied), (1, 4));
    assert!(figures.last_success.is_some() && figures.oldest.is_none());
    end(injector);
    let batch = fake.world.lock().batches[0].clone();
    let [timed, endless, removal, untagged] = &batch[..] else {
        panic!("{batch:?}");
    };
    assert_eq!(timed.entry.cidr, "192.0.2.0/24");
    assert_eq!(timed.entry.tag.as_deref(), Some("mon-a"));
    let left = timed.entry.ttl.unwrap();
    assert!((9_900..=10_000).contains(&left), "{left}");
    assert_eq!(timed.entry.guard, Some(GuardRequest::default()));
    let metadata = timed.entry.metadata.as_ref().unwrap();
    assert_eq!(
        (&*metadata.kind, &*metadata.detail),
        ("test", "seven times")
    );
    assert_eq!(metadata.extra.as_ref().unwrap()["count"], json!(7));
    assert_eq!((endless.entry.ttl, endless.entry.expiration), (None, 0));
    assert_eq!(endless.entry.tag, None);
    assert_eq!(removal.entry.tag.as_deref(), Some("mon-a"));
    assert!(removal.entry.metadata.is_none());
    assert_eq!(untagged.entry.tag.as_deref(), Some("untagged"));
}

#[test]
fn the_first_rule_waits_for_others_but_not_long() {
    let fake = Fake::new();
    let injector = fake.start(Limits {
        gather: Duration::from_secs(3_600),
        ..Limits::default()
    });
    let start = std::time::Instant::now();
    injector.ban(rule("192.0.2.1/32", "t", later(0)));
    await_sent(&injector);
    assert!(start.elapsed() >= Duration::from_millis(100));
    end(injector);
}

#[test]
fn a_tag_that_is_none_is_refused_at_once() {
    let fake = Fake::new();
    let injector = fake.start(Limits::default());
    injector.ban(rule("192.0.2.7/32", "a b", later(0)));
    injector.remove("192.0.2.7/32".parse().unwrap(), "a b");
    let figures = injector.figures();
    assert_eq!((figures.refused, figures.pending), (2, 0));
    assert!(
        figures
            .refusal
            .unwrap()
            .starts_with("192.0.2.7/32: the tag: ")
    );
    end(injector);
}

#[test]
fn one_batch_is_under_way_at_a_time_and_what_comes_meanwhile_follows_it() {
    let fake = Fake::new();
    fake.shut_gate();
    fake.go();
    let injector = fake.start(Limits::default());
    injector.ban(rule("192.0.2.1/32", "t", later(100)));
    injector.ban(rule("192.0.2.2/32", "t", later(100)));
    injector.ban(rule("192.0.2.3/32", "t", later(100)));
    fake.come();
    fake.await_batches(1);
    // Removed and banned for a shorter time; removed; a shorter ban, which the one under way covers; a new one.
    injector.remove("192.0.2.1/32".parse().unwrap(), "t");
    injector.ban(rule("192.0.2.1/32", "t", later(0)));
    injector.remove("192.0.2.2/32".parse().unwrap(), "t");
    injector.ban(rule("192.0.2.3/32", "t", later(50)));
    injector.ban(rule("192.0.2.4/32", "t", later(0)));
    assert_eq!(injector.figures().pending, 4);
    fake.open_gate();
    await_sent(&injector);
    assert_eq!(
        fake.jobs(),
        [
            vec!["+192.0.2.1/32", "+192.0.2.2/32", "+192.0.2.3/32"],
            vec!["+192.0.2.1/32", "-192.0.2.2/32", "+192.0.2.4/32"],
        ]
    );
    assert_eq!(
        fake.in_force(),
        ["192.0.2.1/32", "192.0.2.3/32", "192.0.2.4/32"]
    );
    let tag = Some("t".to_owned());
    let left = fake.world.lock().rules[&("192.0.2.1/32".to_owned(), tag)];
    assert!(left.unwrap() <= 10_000, "the shorter ban came last");
    end(injector);
}

#[test]
fn stopping_sends_without_gathering_and_at_once() {
    let fake = Fake::new();
    let injector = fake.start(Limits::default());
    for rule in many(5_000, later(0)) {
        injector.ban(rule);
    }
    end(injector);
    assert_eq!(fake.in_force().len(), 5_000);
    let idle = fake.start(Limits::default());
    assert!(idle.stop(Duration::from_secs(3_600)).is_empty());
}
