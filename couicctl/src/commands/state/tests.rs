//! Plans against a model of the daemon, and files with mistakes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use couic_common::{
    BatchJob, Cidr, ClientInfo, ClientName, Entry, PeerAction, Policy, Reason, Tag, UNTAGGED,
};
use proptest::prelude::*;
use serde_json::json;

use super::{
    compare::{self, Comparison},
    observe::Exported,
    plan::{ClientChange, Plan, RuleChange, SetChange, SetKind},
    read,
    send::job,
    steps,
    wanted::{Claim, Rules, Sets, Wanted},
    write,
};

/// A claim: network, client, tag.
type Held = (Cidr, &'static str, Option<Tag>);

/// The claims of one policy.
type Daemon = BTreeMap<Held, Claim>;

fn own() -> ClientName {
    "couicctl".parse().unwrap()
}

fn entries(daemon: &Daemon) -> Vec<Entry> {
    let mut by_cidr: BTreeMap<Cidr, Vec<serde_json::Value>> = BTreeMap::new();
    for ((cidr, client, tag), claim) in daemon {
        by_cidr.entry(*cidr).or_default().push(json!({
            "kind": "client", "name": client, "tag": tag, "expiration": claim.expiration, "reason": claim.reason,
        }));
    }
    let entry = |(cidr, owners)| {
        let value =
            json!({"creation": 1, "cidr": cidr, "tag": null, "expiration": 0, "owners": owners});
        serde_json::from_value(value).unwrap()
    };
    by_cidr.into_iter().map(entry).collect()
}

/// As the daemon does a job of couicctl's.
fn carry_out(daemon: &mut Daemon, BatchJob { action, entry }: BatchJob) {
    let tag = entry.tag.as_deref().filter(|tag| *tag != UNTAGGED);
    let tag = tag.and_then(|tag| Tag::parse(tag).unwrap());
    let key: Held = (entry.cidr.parse().unwrap(), "couicctl", tag);
    match action {
        PeerAction::Remove => {
            assert!(entry.tag.is_some(), "it would release all tags");
            daemon.remove(&key).unwrap();
        }
        PeerAction::Add => {
            let reason = entry.metadata.and_then(|given| Reason::of(&given.detail));
            let kept = daemon.get(&key).and_then(|claim| claim.reason.clone());
            let claim = Claim {
                expiration: entry.expiration,
                reason: reason.or(kept),
            };
            daemon.insert(key, claim);
        }
    }
}

fn plan(rules: &Rules, daemon: &Daemon) -> Vec<RuleChange> {
    let (own, sets) = (own(), Sets::default());
    let mut comparison = Comparison::of(Policy::Drop, rules.clone(), &sets, &own);
    entries(daemon)
        .iter()
        .for_each(|entry| comparison.see(entry));
    comparison.end().0
}

fn cidr() -> impl Strategy<Value = Cidr> {
    let v4 = (0u8..6, 30u8..=32).prop_map(|(host, prefix)| format!("192.0.2.{host}/{prefix}"));
    let v6 = (0u8..3).prop_map(|host| format!("2001:db8::{host}/128"));
    prop_oneof![v4, v6].prop_map(|text| text.parse().unwrap())
}

fn tag() -> impl Strategy<Value = Option<Tag>> {
    let tag = |text| Tag::parse(text).unwrap();
    prop::sample::select(vec![None, tag("a"), tag("ab"), tag("b"), tag("c")])
}

fn claim() -> impl Strategy<Value = Claim> {
    let expiration = prop_oneof![Just(0), 4_000_000_000u64..4_000_000_003];
    let reason = prop_oneof![
        Just(String::new()),
        "[a-b]",
        "\\PC{0,12}",
        "[\"'\\\\\n#é]{0,5}"
    ];
    (expiration, reason).prop_map(|(expiration, reason)| Claim {
        expiration,
        reason: Reason::of(&reason),
    })
}

fn daemon() -> impl Strategy<Value = Daemon> {
    let client = prop::sample::select(vec!["couicctl", "fail2ban"]);
    prop::collection::btree_map((cidr(), client, tag()), claim(), 0..20)
}

fn rules() -> impl Strategy<Value = Rules> {
    let owned = prop::sample::select(vec![None, Some("a*"), Some("untagged,c")]);
    let claims = prop::collection::btree_map((cidr(), tag()), claim(), 0..12);
    (owned, claims, prop::collection::btree_set(tag(), 0..2)).prop_map(
        |(owned, claims, mut tags)| {
            tags.extend(claims.keys().map(|(_, tag)| tag.clone()));
            let owned = owned.map(|owned| owned.parse().unwrap());
            Rules {
                tags,
                owned,
                claims,
            }
        },
    )
}

proptest! {
    #[test]
    fn after_an_apply_all_is_as_the_file_says_and_the_rest_as_it_was(rules in rules(), before in daemon()) {
        let mut after = before.clone();
        for change in plan(&rules, &before) {
            carry_out(&mut after, job(&change, &couic_common::GuardRequest::default(), false));
        }
        prop_assert_eq!(plan(&rules, &after), vec![], "a second apply");
        let is_others = |held: &Held| held.1 != "couicctl" || !rules.owns(&held.2);
        let others = |daemon: &Daemon| -> Daemon {
            daemon.iter().filter(|(held, _)| is_others(held)).map(|(h, c)| (h.clone(), c.clone())).collect()
        };
        prop_assert_eq!(others(&before), others(&after));
        let owned: Vec<_> = after.keys().filter(|held| !is_others(held)).map(|(cidr, _, tag)| (*cidr, tag.clone())).collect();
        let wanted: Vec<_> = rules.claims.keys().cloned().collect();
        prop_assert_eq!(owned, wanted);
        for ((cidr, tag), claim) in &rules.claims {
            let held = &after[&(*cidr, "couicctl", tag.clone())];
            prop_assert_eq!(held.expiration, claim.expiration);
            prop_assert!(claim.reason.is_none() || held.reason == claim.reason);
        }
    }

    #[test]
    fn what_was_exported_is_no_difference(before in daemon()) {
        let mut all = Rules::default();
        for ((cidr, client, tag), claim) in &before {
            if *client == "couicctl" {
                all.tags.insert(tag.clone());
                all.claims.insert((*cidr, tag.clone()), claim.clone());
            }
        }
        let exported = Exported { own: own(), rules: [(Policy::Drop, all.clone())].into(), sets: vec![], clients: None };
        let mut text = Vec::new();
        write::file(&exported, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let read = read::parse("f", &text, Path::new("")).map_err(|f| f.text());
        let mut read = read.unwrap();
        prop_assert_eq!(read.client, Some(own()));
        let rules = read.rules.remove(&Policy::Drop).unwrap();
        prop_assert_eq!((&rules.tags, &rules.claims), (&all.tags, &all.claims), "{}", text);
        prop_assert_eq!(plan(&rules, &before), vec![]);
    }
}

fn parsed(text: &str) -> Wanted {
    read::parse("f", text, Path::new(""))
        .map_err(|f| f.text())
        .unwrap()
}

fn mistakes(text: &str) -> String {
    read::parse("f", text, Path::new("/nonexistent"))
        .err()
        .unwrap()
        .text()
}

#[test]
fn every_mistake_has_its_line() {
    let text = "\
client = \"a b\"
[owns]
drop = [\"a?\"]
sets = [\"feed\"]
[[drop]]
tag = \"x.y\"
entries = [\"192.0.2.300\", \"192.0.2.1\", 7,
  { cidr = \"x\", expires = 2027-01-01T00:00:00 },
  { expires = 0 }]
[[ignore]]
[sets.drop.\"a b\"]
entries = []
[sets.drop.list]
file = \"list.txt\"
[clients.ci]
group = \"root\"
limits = { policies = [], tag = [\"a\"] }
token = \"x\"
token_file = \"here\"
";
    let told = mistakes(text);
    let lines: Vec<&str> = told.lines().collect();
    let begins = [
        "f is not usable, nothing was changed",
        "  line 1: client: a name has 1 to 48",
        "  line 3: owns.drop: \"a?\" is no pattern",
        "  line 4: owns.sets: \"feed\" is no pattern",
        "  line 6: drop[0].tag: a tag consists of",
        "  line 7: drop[0].entries[2]: must be a string or a table",
        "  line 7: drop[0].entries: \"192.0.2.300\": not an IPv4",
        "  line 8: drop[0].entries[3].expires: must be a time with its offset",
        "  line 8: drop[0].entries[3].cidr: \"x\": not an IPv4",
        "  line 9: drop[0].entries[4].expires: must be a time",
        "  line 9: drop[0].entries[4].cidr: is missing",
        "  line 10: ignore[0].tag: is missing; \"untagged\" is",
        "  line 10: ignore[0]: has neither entries nor a file",
        "  line 11: sets.drop.a b: a name has",
        "  line 14: sets.drop.list.file: /nonexistent/list.txt cannot be read",
        "  line 16: clients.ci.group: unknown group",
        "  line 17: clients.ci.limits: unknown field `tag`",
        "  line 18: clients.ci.token: unknown key",
        "  line 19: clients.ci.token_file: \"here\" must be an absolute path",
    ];
    for (line, begin) in lines.iter().zip(begins) {
        assert!(line.starts_with(begin), "{line}\n{begin}\n{told}");
    }
    assert_eq!(lines.len(), begins.len(), "{told}");
}

#[test]
fn long_lists_of_mistakes_are_cut_and_read_in_linear_time() {
    let entries: String = (0..200_000).map(|n| format!("\"{n}\",\n")).collect();
    let told = mistakes(&format!("[[drop]]\ntag='a'\nentries = [\n{entries}]\n"));
    assert_eq!(told.lines().count(), 22);
    assert!(told.ends_with("and 199980 more mistakes"), "{told}");
}

#[test]
fn times_have_an_offset() {
    let text = "[[drop]]\ntag='a'\nexpires = 2027-01-31T01:00:00+01:00\nreason = 'r'\nentries = ['192.0.2.1', \
        {cidr = '192.0.2.2', expires = 'never', reason = ''}, {cidr = '192.0.2.4-192.0.2.6', expires = 1801353600}]\n";
    let rules = &parsed(text).rules[&Policy::Drop];
    let ends: Vec<_> = rules
        .claims
        .iter()
        .map(|((cidr, _), c)| (cidr.to_string(), c.expiration, c.reason.is_some()))
        .collect();
    let end = |text: &str, end, reason| (text.to_owned(), end, reason);
    assert_eq!(
        ends,
        [
            end("192.0.2.1/32", 1_801_353_600, true),
            end("192.0.2.2/32", 0, false),
            end("192.0.2.4/31", 1_801_353_600, true),
            end("192.0.2.6/32", 1_801_353_600, true),
        ]
    );
}

#[test]
fn a_network_is_declared_once_for_each_tag() {
    let same = "[[drop]]\ntag='a'\nentries=['192.0.2.1','192.0.2.1']\n[[drop]]\ntag='untagged'\nentries=['192.0.2.1']\n";
    assert_eq!(parsed(same).rules[&Policy::Drop].claims.len(), 2);
    let told = mistakes(
        "[[drop]]\ntag='a'\nentries=['192.0.2.1',\n{cidr='192.0.2.1', expires=1801353600}]\n",
    );
    assert!(
        told.contains("line 4: drop[0].entries: 192.0.2.1/32 is declared twice"),
        "{told}"
    );
}

#[test]
fn what_has_expired_is_left_out_and_its_tag_stays_owned() {
    let mut wanted = parsed("[[drop]]\ntag='a'\nexpires=100\nentries=['192.0.2.1']\n");
    assert_eq!((wanted.expire(99), wanted.expire(100)), (0, 1));
    let rules = &wanted.rules[&Policy::Drop];
    assert!(rules.claims.is_empty() && rules.owns(&Tag::parse("a").unwrap()));
    assert!(wanted.concerns(Policy::Drop) && !wanted.concerns(Policy::Ignore));
}

#[test]
fn a_set_differs_in_its_file_or_else_in_its_rules() {
    let set =
        |all: &[&str]| -> BTreeSet<Cidr> { all.iter().map(|text| text.parse().unwrap()).collect() };
    let wanted = set(&["192.0.2.1/32", "192.0.2.2/32"]);
    assert_eq!(compare::set(&wanted, Some(&wanted), [0, 0]), None);
    let not_in_force = SetKind::Rules {
        entries: wanted.iter().copied().collect(),
        missing: 1,
        extra: 0,
    };
    assert_eq!(
        compare::set(&wanted, Some(&wanted), [1, 0]),
        Some(not_in_force)
    );
    let file = set(&["192.0.2.1/32", "192.0.2.9/32", "192.0.2.8/32"]);
    let changed = compare::set(&wanted, Some(&file), [0, 0]);
    assert!(matches!(
        changed,
        Some(SetKind::Change {
            added: 1,
            removed: 2,
            total: Some(3),
            ..
        })
    ));
    assert!(matches!(
        compare::set(&wanted, None, [0, 0]),
        Some(SetKind::Change { total: None, .. })
    ));
}

#[test]
fn clients_that_differ_are_found_and_own_ones_never_deleted() {
    let there = |name: &str, group: &str, limits: serde_json::Value| -> ClientInfo {
        serde_json::from_value(
            json!({"name": name, "group": group, "limits": limits, "own": name == "me"}),
        )
        .unwrap()
    };
    let all = [
        there("couicctl", "admin", json!(null)),
        there("me", "admin", json!(null)),
        there("other", "admin", json!(null)),
        there("ci-old", "clientrw", json!(null)),
        there("same", "clientrw", json!({"tags": ["b", "a"]})),
        there("more", "clientrw", json!({"tags": ["a"], "longest": 5})),
    ];
    let wanted = parsed(
        "[owns]\nclients = ['ci-*', 'me', 'couic*']\n[clients.same]\ngroup='clientrw'\nlimits={tags=['a','b']}\n\
         [clients.more]\ngroup='clientrw'\nlimits={tags=['a']}\n[clients.new]\ngroup='monitoring'\n",
    );
    let changes = compare::clients(&wanted.clients, &all);
    let shown: Vec<_> = changes
        .iter()
        .map(|c| format!("{:?} {}", c.action(), c.name))
        .collect();
    assert_eq!(shown, ["Delete ci-old", "Change more", "Add new"]);
}

/// A change of each kind, of every part.
fn one_of_each() -> Plan {
    let rule = |policy, cidr: &str, [old, new]: [bool; 2]| {
        let claim = Claim {
            expiration: 0,
            reason: None,
        };
        RuleChange {
            policy,
            cidr: cidr.parse().unwrap(),
            tag: None,
            old: old.then(|| claim.clone()),
            new: new.then_some(claim),
        }
    };
    let set = |policy, name: &str, kind| SetChange {
        policy,
        name: name.parse().unwrap(),
        kind,
    };
    let wanted = parsed("[clients.x]\ngroup='clientro'\n").clients.named;
    let wanted = wanted.into_values().next();
    let client = |name: &str, new| ClientChange {
        name: name.parse().unwrap(),
        old: Some((couic_common::Group::ClientRo, None)),
        new,
    };
    let bad = SetKind::Rules {
        entries: vec![],
        missing: 1,
        extra: 0,
    };
    Plan {
        rules: vec![
            rule(Policy::Ignore, "192.0.2.1/32", [true, false]),
            rule(Policy::Ignore, "192.0.2.2/32", [false, true]),
            rule(Policy::Drop, "192.0.2.3/32", [true, false]),
            rule(Policy::Drop, "192.0.2.4/32", [false, true]),
            rule(Policy::Drop, "192.0.2.5/32", [true, true]),
        ],
        sets: vec![
            set(Policy::Ignore, "gone", SetKind::Delete { total: 1 }),
            set(Policy::Ignore, "new", SetKind::Add { entries: vec![] }),
            set(Policy::Drop, "bad", bad),
        ],
        clients: vec![client("old", None), client("other", wanted)],
        expired: 0,
    }
}

#[test]
fn what_protects_comes_first_and_goes_last() {
    let plan = one_of_each();
    let steps: Vec<String> = steps::of(&plan).into_iter().map(|step| step.what).collect();
    assert_eq!(
        steps,
        [
            "create client: other",
            "ignore: add 1 rule",
            "sets of ignore: new",
            "drop: add 1 rule, change 1 rule, delete 1 rule",
            "sets of drop: bad",
            "sets of ignore: gone",
            "ignore: delete 1 rule",
            "delete client: old",
        ]
    );
    assert_eq!(
        plan.counts(),
        "2 rules to add, 1 rule to change, 2 rules to delete, 1 set to add, 1 set to change, 1 set to delete, \
         1 client to change, 1 client to delete"
    );
}
