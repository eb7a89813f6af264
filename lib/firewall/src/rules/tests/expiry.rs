//! Claims whose time has come, and clocks that jump.

use super::*;

#[test]
fn expires_at_its_second_and_says_so() {
    let house = House::new();
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "t", 1010), &client())
        .unwrap();
    house.clock.set(1009);
    assert_eq!(house.firewall.expire_due(), 0);
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop);
    house.clock.set(1010);
    assert_eq!(house.firewall.expire_due(), 1);
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Pass);
    assert_eq!(
        house.heard()[1],
        "- drop 10.0.0.0/8 tag=t until=1010 by expiry"
    );
}

#[test]
fn what_is_past_its_time_is_not_there_for_an_add() {
    let house = House::new();
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "", 1010), &client())
        .unwrap();
    house.clock.set(1010);
    assert_eq!(house.firewall.entry(drop_key("10.0.0.0/8")), None);
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "", 1020), &client())
        .unwrap();
}

#[test]
fn a_renewed_claim_outlives_its_first_deadline() {
    let house = House::new();
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "", 1010), &client())
        .unwrap();
    house.firewall.apply(
        Policy::Drop,
        vec![Job::Add(rule("10.0.0.0/8", "", 1020), None)],
        &client().actor,
    );
    house.clock.set(1015);
    assert_eq!(house.firewall.expire_due(), 0);
    house.clock.set(1020);
    assert_eq!(house.firewall.expire_due(), 1);
}

#[test]
fn the_longer_of_two_claims_keeps_the_rule() {
    let house = House::new();
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "short", 1010), &client())
        .unwrap();
    house.firewall.apply(
        Policy::Drop,
        vec![Job::Add(rule("10.0.0.0/8", "long", 1020), None)],
        &peer().actor,
    );
    let deadline = house.plane.rules()[&drop_key("10.0.0.0/8")].deadline;
    assert_eq!(
        deadline, 1020,
        "the data plane must not let go before the last claim"
    );
    house.clock.set(1010);
    house.firewall.expire_due();
    assert_eq!(
        house
            .firewall
            .entry(drop_key("10.0.0.0/8"))
            .unwrap()
            .tag
            .unwrap()
            .as_str(),
        "long"
    );
    assert_eq!(
        house.heard()[1..],
        [
            // From here on it really ends.
            "~ drop 10.0.0.0/8 tag=short until=1020 by peer p",
            "/ drop 10.0.0.0/8 tag=long until=1020 by expiry",
        ]
    );
    house.clock.set(1020);
    house.firewall.expire_due();
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Pass);
}

#[test]
fn a_clock_that_jumps_takes_expirations_with_it() {
    let house = House::new();
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "", 5000), &client())
        .unwrap();
    house.clock.set(10);
    assert_eq!(house.firewall.expire_due(), 0);
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop);
    house.clock.set(u64::MAX);
    assert_eq!(house.firewall.expire_due(), 1);
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Pass);
}

#[test]
fn many_at_once() {
    let house = House::with(Limits::default());
    let jobs = (0..20_000u32).map(|i| {
        Job::Add(
            rule(
                &format!("20.0.{}.{}/32", i >> 8, i & 255),
                "t",
                1100 + u64::from(i % 7),
            ),
            None,
        )
    });
    house
        .firewall
        .apply(Policy::Drop, jobs.collect(), &client().actor);
    house.clock.set(1103);
    let expired = house.firewall.expire_due();
    assert_eq!(expired, (0..20_000).filter(|i| i % 7 <= 3).count());
    assert_eq!(
        house.firewall.stats().drop_cidr_count,
        20_000 - expired as u64
    );
}

/// The renewal at which the queue was swept of others' leftovers lost its own deadline.
#[test]
fn renewals_keep_their_deadlines_however_many_they_are() {
    let house = House::with(Limits::default());
    let add = |until| {
        let one = |n: u32| rule(&format!("20.0.{}.{}/32", n >> 8, n & 255), "", until);
        let jobs = (0..3_000).map(|n| Job::Add(one(n), None)).collect();
        let results = house.firewall.apply(Policy::Drop, jobs, &client().actor);
        assert!(results.iter().all(Result::is_ok));
    };
    for until in 1_100..1_105 {
        add(until);
    }
    house.clock.set(1_103);
    assert_eq!(house.firewall.expire_due(), 0);
    house.clock.set(1_104);
    assert_eq!(house.firewall.expire_due(), 3_000);
    assert_eq!(house.firewall.stats().drop_cidr_count, 0);
}
