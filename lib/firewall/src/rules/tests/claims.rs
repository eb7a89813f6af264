//! Adds, removals and renewals by one owner and several.

use super::*;

#[test]
fn ignore_beats_drop_whatever_the_lengths() {
    let house = House::new();
    house
        .firewall
        .add(Policy::Drop, &rule("10.1.2.3/32", "", 0), &client())
        .unwrap();
    house
        .firewall
        .add(Policy::Ignore, &rule("10.0.0.0/8", "", 0), &client())
        .unwrap();
    assert_eq!(house.verdict("10.1.2.3"), Verdict::Pass);
    house
        .firewall
        .remove(
            RuleKey::new(Policy::Ignore, cidr("10.0.0.0/8")),
            &ClaimScope::OWN,
            &client(),
        )
        .unwrap();
    assert_eq!(house.verdict("10.1.2.3"), Verdict::Drop);
}

#[test]
fn a_second_add_is_refused_and_changes_nothing() {
    let house = House::new();
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "a", 0), &client())
        .unwrap();
    let error = house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "b", 2000), &client())
        .unwrap_err();
    assert!(matches!(error, FirewallError::Exists { .. }));
    let entry = house.firewall.entry(drop_key("10.0.0.0/8")).unwrap();
    assert_eq!(
        (
            entry.tag.unwrap().as_str(),
            entry.expiration,
            entry.creation
        ),
        ("a", 0, 1000)
    );
    assert!(
        house
            .firewall
            .add(Policy::Ignore, &rule("10.0.0.0/8", "b", 0), &client())
            .is_ok()
    );
}

#[test]
fn an_expiration_must_lie_in_the_future() {
    let house = House::new();
    for past in [1, 999, 1000] {
        let error = house
            .firewall
            .add(Policy::Drop, &rule("10.0.0.0/8", "", past), &client())
            .unwrap_err();
        assert!(matches!(error, FirewallError::Expired { now: 1000, .. }));
    }
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "", 1001), &client())
        .unwrap();
}

#[test]
fn a_full_table_refuses_and_the_other_family_goes_on() {
    let house = House::with(Limits {
        drop_entries: 2,
        ignore_entries: 1,
    });
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "", 0), &client())
        .unwrap();
    house
        .firewall
        .add(Policy::Drop, &rule("11.0.0.0/8", "", 0), &client())
        .unwrap();
    let error = house
        .firewall
        .add(Policy::Drop, &rule("12.0.0.0/8", "t", 0), &client())
        .unwrap_err();
    assert!(
        matches!(
            error,
            FirewallError::Full {
                limit: 2,
                family: "IPv4",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(house.verdict("12.0.0.1"), Verdict::Pass);
    house
        .firewall
        .add(Policy::Drop, &rule("2001:db8::/32", "", 0), &client())
        .unwrap();
    // Renewing takes no room.
    let jobs = vec![Job::Add(rule("10.0.0.0/8", "new", 5000), None)];
    let results = house.firewall.apply(Policy::Drop, jobs, &client().actor);
    assert_eq!(results[0].as_ref().unwrap(), &Applied::Updated);
}

#[test]
fn a_refusal_of_the_data_plane_leaves_all_as_it_was() {
    let house = House::new();
    house.plane.fail_put_after(0);
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "t", 2000), &client())
        .unwrap_err();
    assert_eq!(house.firewall.entry(drop_key("10.0.0.0/8")), None);
    assert!(house.heard().is_empty() && house.firewall.tag_stats(Policy::Drop).is_empty());
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "t", 2000), &client())
        .unwrap();
}

#[test]
fn renewal_through_apply() {
    let house = House::new();
    let actor = client().actor;
    let apply = |job| house.apply(&actor, job);
    assert_eq!(
        apply(Job::Add(rule("10.0.0.0/8", "a", 2000), None)),
        Applied::Added
    );
    assert_eq!(
        apply(Job::Add(rule("10.0.0.0/8", "a", 2000), None)),
        Applied::Unchanged
    );
    house.clock.set(1500);
    assert_eq!(
        apply(Job::Add(rule("10.0.0.0/8", "a", 1600), None)),
        Applied::Updated
    );
    let entry = house.firewall.entry(drop_key("10.0.0.0/8")).unwrap();
    assert_eq!((entry.creation, entry.expiration), (1000, 1600));
    assert_eq!(
        apply(Job::Remove(cidr("10.0.0.0/8"), ClaimScope::OWN, None)),
        Applied::Removed
    );
    assert_eq!(
        apply(Job::Remove(cidr("10.0.0.0/8"), ClaimScope::OWN, None)),
        Applied::Unchanged
    );
    assert_eq!(
        house.heard(),
        [
            "+ drop 10.0.0.0/8 tag=a until=2000 by client c",
            "~ drop 10.0.0.0/8 tag=a until=1600 by client c",
            "- drop 10.0.0.0/8 tag=a until=1600 by client c",
        ]
    );
}

#[test]
fn an_extension_is_never_shorter() {
    let house = House::new();
    let actor = client().actor;
    let extend = |tag: &str, end| {
        let applied = house.apply(&actor, Job::Extend(rule("10.0.0.0/8", tag, end), None));
        let entry = house.firewall.entry_with_owners(drop_key("10.0.0.0/8"));
        let mut owners = entry.unwrap().owners;
        owners.sort_by(|one, other| one.tag.cmp(&other.tag));
        let ends: Vec<_> = owners.iter().map(|owner| owner.expiration).collect();
        (applied, ends)
    };
    assert_eq!(extend("a", 2000), (Applied::Added, vec![2000]));
    assert_eq!(extend("a", 1500), (Applied::Unchanged, vec![2000]));
    assert_eq!(extend("a", 3000), (Applied::Updated, vec![3000]));
    assert_eq!(
        extend("b", 1600),
        (Applied::Updated, vec![3000, 1600]),
        "each tag has its own"
    );
    assert_eq!(extend("a", 0), (Applied::Updated, vec![0, 1600]));
    assert_eq!(extend("a", 9000), (Applied::Unchanged, vec![0, 1600]));
    // Of one rule alone it is no error either that the rule is there.
    let job = Job::Extend(rule("10.0.0.0/8", "b", 1700), None);
    let entry = house.firewall.execute(Policy::Drop, job, actor.clone());
    assert_eq!(entry.unwrap().expiration, 0);
    assert_eq!(extend("b", 1700), (Applied::Unchanged, vec![0, 1700]));
}

#[test]
fn remove_by_tag_takes_what_a_delete_would() {
    let house = House::new();
    house
        .firewall
        .replace_sets(&catalog(&[(Policy::Drop, "s", &["10.0.0.0/8"])]))
        .unwrap();
    let jobs = (0..10_000u32).map(|i| {
        let tag = if i % 2 == 0 { "even" } else { "odd" };
        Job::Add(
            rule(&format!("20.0.{}.{}/32", i >> 8, i & 255), tag, 0),
            None,
        )
    });
    let house_big = House::with(Limits::default());
    assert!(
        house_big
            .firewall
            .apply(Policy::Drop, jobs.collect(), &client().actor)
            .iter()
            .all(Result::is_ok)
    );
    let pattern = "ev*,nothing".parse().unwrap();
    assert_eq!(
        house_big
            .firewall
            .remove_by_tag(Policy::Drop, &pattern, false, &client())
            .removed,
        5000
    );
    assert_eq!(house_big.firewall.stats().drop_cidr_count, 5000);
    assert_eq!(
        house
            .firewall
            .remove_by_tag(Policy::Drop, &"*".parse().unwrap(), false, &client())
            .removed,
        0
    );
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop);
}

#[test]
fn remove_by_a_sets_tag_leaves_the_ban_beneath_it() {
    let house = House::new();
    let ban = rule("10.0.0.0/8", "ban", 0);
    house.firewall.add(Policy::Drop, &ban, &client()).unwrap();
    let sets = catalog(&[(Policy::Drop, "s", &["10.0.0.0/8"])]);
    house.firewall.replace_sets(&sets).unwrap();
    let pattern = "s.couic".parse().unwrap();
    assert_eq!(
        house
            .firewall
            .remove_by_tag(Policy::Drop, &pattern, false, &client())
            .removed,
        0
    );
    house.firewall.replace_sets(&SetCatalog::default()).unwrap();
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop);
}
