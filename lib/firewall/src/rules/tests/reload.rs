//! Sets: differential, all or nothing, without a gap.

use super::*;

#[test]
fn set_over_dynamic_and_back() {
    let house = House::new();
    house
        .firewall
        .add(Policy::Drop, &rule("10.0.0.0/8", "ban", 5000), &client())
        .unwrap();
    let sets = catalog(&[(Policy::Drop, "s", &["10.0.0.0/8", "11.0.0.0/8"])]);
    let change = house.firewall.replace_sets(&sets).unwrap();
    assert_eq!(
        change,
        SetChange {
            added: 2,
            removed: 0,
            total: 2
        }
    );
    let shown = house.firewall.entry(drop_key("10.0.0.0/8")).unwrap();
    assert_eq!(
        (shown.tag.unwrap().as_str(), shown.expiration),
        ("s.couic", 0)
    );
    assert_eq!(house.firewall.replace_sets(&sets).unwrap().added, 0);
    house.clock.set(2000);
    assert_eq!(
        house
            .firewall
            .replace_sets(&SetCatalog::default())
            .unwrap()
            .removed,
        2
    );
    let shown = house.firewall.entry(drop_key("10.0.0.0/8")).unwrap();
    assert_eq!(
        (
            shown.tag.unwrap().as_str(),
            shown.expiration,
            shown.creation
        ),
        ("ban", 5000, 1000)
    );
    assert_eq!(house.firewall.entry(drop_key("11.0.0.0/8")), None);
    let heard = house.heard();
    assert_eq!(
        heard[1..],
        [
            "~ drop 10.0.0.0/8 tag=s.couic until=0 by set s",
            "+ drop 11.0.0.0/8 tag=s.couic until=0 by set s",
            "- drop 11.0.0.0/8 tag=s.couic until=0 by set s",
            "/ drop 10.0.0.0/8 tag=ban until=5000 by set s",
        ]
    );
}

/// The plan of a reload takes much memory, under the lock: none is made for an impossible reload.
#[test]
fn more_than_the_table_holds_is_refused_before_it_is_planned() {
    let house = House::with(Limits {
        drop_entries: 2,
        ignore_entries: 2,
    });
    let sets = catalog(&[
        (Policy::Drop, "s", &["10.0.0.0/8", "11.0.0.0/8", "::/64"]),
        (Policy::Drop, "t", &["10.0.0.0/8", "12.0.0.0/8"]),
    ]);
    let error = house.firewall.replace_sets(&sets).unwrap_err();
    assert!(
        matches!(
            error,
            FirewallError::Full {
                family: "IPv4",
                limit: 2,
                ..
            }
        ),
        "{error}"
    );
    let sets = catalog(&[
        (Policy::Drop, "s", &["10.0.0.0/8", "11.0.0.0/8", "::/64"]),
        (Policy::Drop, "t", &["10.0.0.0/8"]),
    ]);
    assert_eq!(house.firewall.replace_sets(&sets).unwrap().added, 4);
}

#[test]
fn a_client_cannot_delete_what_a_set_defines() {
    let house = House::new();
    house
        .firewall
        .replace_sets(&catalog(&[(Policy::Drop, "s", &["10.0.0.0/8"])]))
        .unwrap();
    let error = house
        .firewall
        .remove(drop_key("10.0.0.0/8"), &ClaimScope::OWN, &client())
        .unwrap_err();
    assert!(
        matches!(&error, FirewallError::OfSet { set, .. } if set.as_str() == "s"),
        "{error}"
    );
}

#[test]
fn a_cidr_in_two_sets_is_one_entry_until_both_let_go() {
    let house = House::new();
    let one: &[&str] = &["10.0.0.0/8"];
    house
        .firewall
        .replace_sets(&catalog(&[
            (Policy::Drop, "b", one),
            (Policy::Drop, "a", one),
        ]))
        .unwrap();
    assert_eq!(house.firewall.stats().drop_cidr_count, 1);
    let tag = || {
        house
            .firewall
            .entry(drop_key("10.0.0.0/8"))
            .unwrap()
            .tag
            .unwrap()
            .to_string()
    };
    assert_eq!(tag(), "a.couic");
    house
        .firewall
        .replace_sets(&catalog(&[(Policy::Drop, "b", one)]))
        .unwrap();
    assert_eq!(tag(), "b.couic");
    house.firewall.replace_sets(&SetCatalog::default()).unwrap();
    assert_eq!(house.firewall.stats().drop_cidr_count, 0);
}

#[test]
fn a_full_table_refuses_the_whole_reload() {
    let house = House::with(Limits {
        drop_entries: 2,
        ignore_entries: 2,
    });
    house
        .firewall
        .replace_sets(&catalog(&[(Policy::Drop, "s", &["10.0.0.0/8"])]))
        .unwrap();
    house.heard();
    let sets = catalog(&[
        (Policy::Ignore, "i", &["1.0.0.0/8"]),
        (
            Policy::Drop,
            "s",
            &["11.0.0.0/8", "12.0.0.0/8", "13.0.0.0/8"],
        ),
    ]);
    let error = house.firewall.replace_sets(&sets).unwrap_err();
    assert!(
        matches!(
            error,
            FirewallError::Full {
                policy: Policy::Drop,
                limit: 2,
                ..
            }
        ),
        "{error}"
    );
    assert!(house.heard().is_empty());
    assert_eq!(house.plane.rules().len(), 1);
}

#[test]
fn a_full_table_can_be_replaced_whole() {
    let house = House::with(Limits {
        drop_entries: 2,
        ignore_entries: 2,
    });
    let first = catalog(&[
        (Policy::Drop, "s", &["10.0.0.0/8", "11.0.0.0/8"]),
        (Policy::Ignore, "i", &["1.0.0.0/8"]),
    ]);
    let second = catalog(&[
        (Policy::Drop, "s", &["2.0.0.0/8", "3.0.0.0/8"]),
        (Policy::Ignore, "i", &["4.0.0.0/8"]),
    ]);
    house.firewall.replace_sets(&first).unwrap();
    house.firewall.replace_sets(&second).unwrap();
    let rules: Vec<String> = house
        .plane
        .rules()
        .keys()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        rules,
        ["drop 2.0.0.0/8", "drop 3.0.0.0/8", "ignore 4.0.0.0/8"]
    );
}

#[test]
fn a_failure_half_way_is_undone() {
    for fail_after in 0..4 {
        let house = House::new();
        let before = catalog(&[(Policy::Drop, "s", &["10.0.0.0/8", "20.0.0.0/8"])]);
        house.firewall.replace_sets(&before).unwrap();
        house
            .firewall
            .add(Policy::Drop, &rule("10.1.0.0/16", "x", 2000), &client())
            .unwrap();
        let rules = house.plane.rules();
        house.plane.fail_put_after(fail_after);
        let after = catalog(&[
            (Policy::Ignore, "i", &["1.0.0.0/8"]),
            (
                Policy::Drop,
                "t",
                &["10.0.0.0/8", "10.1.0.0/16", "30.0.0.0/8"],
            ),
        ]);
        house.firewall.replace_sets(&after).unwrap_err();
        assert_eq!(house.plane.rules(), rules, "after {fail_after} puts");
        assert!(house.firewall.replace_sets(&after).is_ok());
    }
}

/// A source that is dropped before and after is dropped at every step in between, and one that passes likewise: the
/// events are the steps.
#[test]
fn no_gap_in_either_direction() {
    let house = House::new();
    house
        .firewall
        .replace_sets(&catalog(&[
            (
                Policy::Drop,
                "s",
                &["10.0.0.0/8", "20.0.0.0/9", "20.128.0.0/9", "30.0.0.0/8"],
            ),
            (Policy::Ignore, "i", &["30.1.0.0/16"]),
        ]))
        .unwrap();
    house.heard();
    house
        .firewall
        .replace_sets(&catalog(&[
            (
                Policy::Drop,
                "s",
                &["10.0.0.0/9", "10.128.0.0/9", "20.0.0.0/8", "30.0.0.0/9"],
            ),
            (Policy::Ignore, "i", &["30.0.0.0/15"]),
        ]))
        .unwrap();
    let heard = house.heard();
    let at = |what: &str| {
        heard
            .iter()
            .position(|line| line.starts_with(what))
            .unwrap()
    };
    assert!(at("+ drop 10.0.0.0/9") < at("- drop 10.0.0.0/8"));
    assert!(at("+ drop 10.128.0.0/9") < at("- drop 10.0.0.0/8"));
    assert!(at("+ drop 20.0.0.0/8") < at("- drop 20.0.0.0/9").min(at("- drop 20.128.0.0/9")));
    assert_eq!(at("+ ignore 30.0.0.0/15"), 0);
    assert_eq!(at("- ignore 30.1.0.0/16"), heard.len() - 1);
}

#[test]
fn two_new_sets_never_share_the_last_tag() {
    let house = House::with(Limits::default());
    house.firewall.set_admins(|_| true);
    let hosts = (0..8190u32).map(|i| {
        let network = format!("20.0.{}.{}/32", i >> 8, i & 255);
        Job::Add(rule(&network, &format!("t{i}"), 0), None)
    });
    let added = house
        .firewall
        .apply(Policy::Drop, hosts.collect(), &client().actor);
    assert!(added.iter().all(Result::is_ok));
    let a = (Policy::Drop, "a", &["10.0.0.0/8"][..]);
    let b = (Policy::Drop, "b", &["11.0.0.0/8"][..]);
    let error = house.firewall.replace_sets(&catalog(&[a, b])).unwrap_err();
    assert!(
        matches!(error, FirewallError::TooManyTags { .. }),
        "{error}"
    );
    assert_eq!(house.firewall.stats().drop_cidr_count, 8190);
    house.firewall.replace_sets(&catalog(&[b])).unwrap();
    let shown = house.firewall.entry(drop_key("11.0.0.0/8")).unwrap();
    assert_eq!(shown.tag.unwrap().as_str(), "b.couic");
}
