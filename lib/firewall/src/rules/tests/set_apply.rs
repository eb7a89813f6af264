//! One set alone: against all sets at once, and against its file.

use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path};

use couic_common::SetName;
use proptest::{collection::vec, prelude::*};

use super::*;

const POLICY: Policy = Policy::Drop;

fn name(text: &str) -> SetName {
    text.parse().unwrap()
}

fn sorted(texts: &[&str]) -> Vec<Cidr> {
    let mut cidrs: Vec<Cidr> = texts.iter().map(|text| cidr(text)).collect();
    cidrs.sort_unstable();
    cidrs
}

/// Applies the set `s` as the API does.
fn apply(
    house: &House,
    store: &SetStore,
    entries: Option<&[&str]>,
) -> Result<SetChange, ApplyError> {
    let entries = entries.map(sorted);
    let file = entries
        .as_ref()
        .map(|e| store.new_file(POLICY, &name("s"), e));
    let catalog = SetCatalog::one(POLICY, name("s"), entries.unwrap_or_default());
    let _turn = store.turn();
    house
        .firewall
        .apply_set(store, file.transpose().unwrap(), &catalog)
}

fn text(dir: &Path) -> Option<String> {
    fs::read_to_string(dir.join("sets/drop/s.couic")).ok()
}

fn files(dir: &Path) -> usize {
    fs::read_dir(dir.join("sets/drop")).unwrap().count()
}

#[test]
fn file_and_rules_change_together() {
    let (house, dir) = (House::new(), tempfile::tempdir().unwrap());
    let store = SetStore::open(dir.path()).unwrap();
    let change = apply(&house, &store, Some(&["10.0.0.0/8", "192.0.2.7/32"])).unwrap();
    assert_eq!((change.added, change.removed, change.total), (2, 0, 2));
    assert_eq!(text(dir.path()).unwrap(), "10.0.0.0/8\n192.0.2.7/32\n");
    let change = apply(&house, &store, Some(&["192.0.2.7/32", "::/0"])).unwrap();
    assert_eq!((change.added, change.removed), (1, 1));
    let in_force = house.firewall.set_in_force(POLICY, &name("s"));
    assert_eq!(in_force, sorted(&["192.0.2.7/32", "::/0"]));
    assert_eq!(in_force, store.read(POLICY, &name("s")).unwrap());
    let change = apply(&house, &store, None).unwrap();
    assert_eq!((change.removed, change.total), (2, 0));
    assert_eq!((text(dir.path()), files(dir.path())), (None, 0));
    assert!(house.plane.rules().is_empty());
}

#[test]
fn whatever_fails_leaves_the_former_file_byte_for_byte_and_the_former_rules() {
    for former in [
        None,
        Some("# by hand\r\n10.0.0.0/8\n192.0.2.1 ; why"),
        Some("10.0.0.0/8\nnonsense"),
    ] {
        for fail_after in 0..3 {
            let (house, dir) = (House::new(), tempfile::tempdir().unwrap());
            let store = SetStore::open(dir.path()).unwrap();
            if let Some(text) = former {
                fs::write(dir.path().join("sets/drop/s.couic"), text).unwrap();
                let before = catalog(&[(POLICY, "s", &["10.0.0.0/8", "192.0.2.1/32"])]);
                house.firewall.replace_sets(&before).unwrap();
            }
            let rules = house.plane.rules();
            house.plane.fail_put_after(fail_after);
            let entries = ["10.1.0.0/16", "11.0.0.0/8", "12.0.0.0/8"];
            let error = apply(&house, &store, Some(&entries)).unwrap_err();
            assert!(matches!(error, ApplyError::Rules(FirewallError::Plane(_))));
            assert_eq!(house.plane.rules(), rules, "after {fail_after} puts");
            assert_eq!(text(dir.path()).as_deref(), former);
            assert_eq!(files(dir.path()), usize::from(former.is_some()));
            assert_eq!(apply(&house, &store, Some(&entries)).unwrap().added, 3);
        }
    }
}

#[test]
fn a_link_is_back_as_a_link() {
    let (house, dir) = (House::new(), tempfile::tempdir().unwrap());
    let store = SetStore::open(dir.path()).unwrap();
    let folder = dir.path().join("sets/drop");
    fs::write(folder.join("list.txt"), "10.0.0.0/8\n").unwrap();
    symlink("list.txt", folder.join("s.couic")).unwrap();
    house.plane.fail_put_after(0);
    apply(&house, &store, Some(&["11.0.0.0/8"])).unwrap_err();
    assert!(folder.join("s.couic").is_symlink());
    assert_eq!(text(dir.path()).unwrap(), "10.0.0.0/8\n");
    apply(&house, &store, Some(&["11.0.0.0/8"])).unwrap();
    assert!(!folder.join("s.couic").is_symlink());
}

#[test]
fn claims_of_others_stay() {
    let (house, dir) = (House::new(), tempfile::tempdir().unwrap());
    let store = SetStore::open(dir.path()).unwrap();
    let ban = rule("10.0.0.0/8", "x", 2000);
    house.firewall.add(POLICY, &ban, &client()).unwrap();
    let others = catalog(&[
        (POLICY, "a", &["10.0.0.0/8"]),
        (POLICY, "z", &["10.0.0.0/8", "11.0.0.0/8"]),
        (Policy::Ignore, "s", &["10.0.0.0/8"]),
    ]);
    house.firewall.replace_sets(&others).unwrap();
    let rules = house.plane.rules();
    let change = apply(&house, &store, Some(&["10.0.0.0/8", "11.0.0.0/8"])).unwrap();
    assert_eq!((change.added, change.removed), (2, 0));
    assert_eq!(house.firewall.set_in_force(POLICY, &name("s")).len(), 2);
    apply(&house, &store, None).unwrap();
    assert_eq!(house.plane.rules(), rules);
    assert_eq!(house.firewall.sets_in_force(), others.entries());
}

#[test]
fn with_those_of_others_there_are_no_more_entries_than_a_start_loads() {
    let limits = Limits {
        drop_entries: 1,
        ignore_entries: 1,
    };
    let (house, dir) = (House::with(limits), tempfile::tempdir().unwrap());
    let store = SetStore::open(dir.path()).unwrap().for_limits(limits);
    let one: &[&str] = &["10.0.0.0/8"];
    let others = ["a", "b", "c"].map(|set| (POLICY, set, one));
    house.firewall.replace_sets(&catalog(&others)).unwrap();
    // Its own place is not counted twice.
    apply(&house, &store, Some(one)).unwrap();
    apply(&house, &store, Some(one)).unwrap();
    let more: Vec<_> = ["a", "b", "c", "d"].map(|set| (POLICY, set, one)).to_vec();
    house.firewall.replace_sets(&catalog(&more)).unwrap();
    let error = apply(&house, &store, Some(one)).unwrap_err();
    let told = "with sets/drop/s.couic the drop sets have more than 4 entries together";
    assert!(error.to_string().starts_with(told), "{error}");
}

proptest! {
    /// Sets that are applied one after the other lead to the same rules as all of them at once.
    #[test]
    fn one_by_one_is_all_at_once(
        changes in vec((0..3_usize, any::<bool>(), vec(0..24_u8, 0..8)), 1..20),
    ) {
        let (one, all) = (House::new(), House::new());
        let mut sets: BTreeMap<(Policy, SetName), Vec<Cidr>> = BTreeMap::new();
        for (set, ignore, entries) in changes {
            let policy = if ignore { Policy::Ignore } else { Policy::Drop };
            let set = name(["a", "b", "c"][set]);
            // Networks that hold each other, of both families.
            let network = |n: u8| match n {
                0..8 => format!("10.{n}.0.0/16"),
                8..16 => format!("10.0.0.0/{n}"),
                _ => format!("2001:db8::/{}", n + 20),
            };
            let mut entries: Vec<Cidr> = entries.into_iter().map(|n| cidr(&network(n))).collect();
            entries.sort_unstable();
            entries.dedup();
            let before = sets.get(&(policy, set.clone())).map_or(0, Vec::len);
            let catalog = SetCatalog::one(policy, set.clone(), entries.clone());
            let change = one.firewall.replace_set(&catalog.0[0]).unwrap();
            prop_assert_eq!(before + change.added - change.removed, entries.len());
            sets.insert((policy, set), entries);
            sets.retain(|_, entries| !entries.is_empty());
            all.firewall.replace_sets(&SetCatalog::of(sets.clone())).unwrap();
            let shape = |house: &House| {
                let rules = house.plane.rules().into_iter();
                rules.map(|(key, rule)| (key, rule.deadline)).collect::<Vec<_>>()
            };
            prop_assert_eq!(shape(&one), shape(&all));
            prop_assert_eq!(one.firewall.sets_in_force(), sets.clone());
        }
    }
}
