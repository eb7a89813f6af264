//! Random changes by all owners, against a model that keeps a list of claims and recomputes everything from it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Claims as rule -> owner's rank and name -> (tag, expiration).
pub(super) type Model = BTreeMap<RuleKey, BTreeMap<(u8, String), (Option<Tag>, u64)>>;

#[derive(Clone, Debug)]
pub(super) enum Step {
    Add(Policy, usize, u8, u64, bool),
    Remove(Policy, usize, bool),
    Sets(Vec<(Policy, u8, Vec<usize>)>),
    Wait(u64),
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let policy = prop_oneof![Just(Policy::Drop), Just(Policy::Ignore)];
    let set = (
        policy.clone(),
        0u8..3,
        prop::collection::vec(0usize..24, 0..8),
    );
    prop_oneof![
        6 => (policy.clone(), 0usize..24, 0u8..4, 0u64..30, any::<bool>())
            .prop_map(|(p, c, t, e, peer)| Step::Add(p, c, t, e, peer)),
        3 => (policy, 0usize..24, any::<bool>()).prop_map(|(p, c, peer)| Step::Remove(p, c, peer)),
        1 => prop::collection::vec(set, 0..4).prop_map(Step::Sets),
        2 => (0u64..10).prop_map(Step::Wait),
    ]
}

/// Few networks, nested and apart, so that steps meet.
pub(super) fn network(index: usize) -> Cidr {
    let texts = [
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.0.0.0/9",
        "10.128.0.0/9",
        "10.1.0.0/16",
        "10.1.2.0/24",
        "10.1.2.3/32",
        "10.1.2.4/32",
        "192.0.2.0/24",
        "192.0.2.128/25",
        "192.0.2.255/32",
        "128.0.0.0/1",
        "::/0",
        "2001:db8::/32",
        "2001:db8::/48",
        "2001:db8::/64",
        "2001:db8::1/128",
        "::ffff:10.1.2.3/128",
        "fe80::/10",
        "8000::/1",
        "2001:db8:1::/48",
        "2001:db8::2/127",
        "203.0.113.0/31",
        "203.0.113.1/32",
    ];
    cidr(texts[index])
}

fn who(by_peer: bool) -> (Origin, (u8, String)) {
    if by_peer {
        (peer(), (2, "p".into()))
    } else {
        (client(), (1, String::new()))
    }
}

fn load_sets(house: &House, model: &mut Model, sets: Vec<(Policy, u8, Vec<usize>)>) {
    let mut by_name: BTreeMap<(Policy, u8), Vec<usize>> = BTreeMap::new();
    for (policy, name, networks) in sets {
        by_name.entry((policy, name)).or_default().extend(networks);
    }
    model
        .values_mut()
        .for_each(|claims| claims.retain(|(rank, _), _| *rank != 0));
    let mut loaded = Vec::new();
    for ((policy, name), networks) in by_name {
        let name: couic_common::SetName = format!("s{name}").parse().unwrap();
        let mut entries: Vec<Cidr> = networks.into_iter().map(network).collect();
        entries.sort_unstable();
        entries.dedup();
        for cidr in &entries {
            let claim = (Some(Tag::of_set(&name)), 0);
            model
                .entry(RuleKey::new(policy, *cidr))
                .or_default()
                .insert((0, name.to_string()), claim);
        }
        loaded.push(super::super::reload::LoadedSet {
            is_suspect: false,
            is_cut: false,
            policy,
            name,
            entries,
        });
    }
    house.firewall.replace_sets(&SetCatalog(loaded)).unwrap();
}

pub(super) fn run(house: &House, model: &mut Model, step: Step) {
    match step {
        Step::Add(policy, index, tag, lasts, by_peer) => {
            let now = house.firewall.now();
            let expiration = if lasts < 5 { 0 } else { now + lasts };
            let rule = rule(
                &network(index).to_string(),
                ["", "a", "b", "c"][usize::from(tag)],
                expiration,
            );
            let (origin, owner) = who(by_peer);
            let job = vec![Job::Add(rule.clone(), None)];
            house
                .firewall
                .apply(policy, job, &origin.actor)
                .remove(0)
                .unwrap();
            model
                .entry(RuleKey::new(policy, rule.cidr))
                .or_default()
                .insert(owner, (rule.tag, expiration));
        }
        Step::Remove(policy, index, by_peer) => {
            let (origin, owner) = who(by_peer);
            let _ = house.firewall.apply(
                policy,
                vec![Job::Remove(network(index), None)],
                &origin.actor,
            );
            let claims = model
                .entry(RuleKey::new(policy, network(index)))
                .or_default();
            if claims.remove(&owner).is_none() && !by_peer {
                claims.retain(|(rank, _), _| *rank != 2);
            }
        }
        Step::Sets(sets) => load_sets(house, model, sets),
        Step::Wait(seconds) => house.clock.advance(seconds),
    }
    let now = house.firewall.now();
    house.firewall.expire_due();
    model
        .values_mut()
        .for_each(|claims| claims.retain(|_, (_, end)| *end == 0 || *end > now));
    model.retain(|_, claims| !claims.is_empty());
}

/// The list, the data plane and the sum of the events agree with the model.
fn compare(house: &House, model: &Model, heard: &mut BTreeMap<RuleKey, (Option<Tag>, u64)>) {
    for event in house.events.recv_timeout(Duration::ZERO).events.iter() {
        let key = RuleKey::new(event.policy, event.entry.cidr);
        let value = (event.entry.tag.clone(), event.entry.expiration);
        match event.kind {
            EventKind::Added => assert_eq!(heard.insert(key, value), None),
            EventKind::Updated => assert!(
                heard
                    .insert(key, value.clone())
                    .is_some_and(|old| old != value)
            ),
            EventKind::Removed => assert!(heard.remove(&key).is_some()),
        }
    }
    let expected: BTreeMap<_, _> = model
        .iter()
        .map(|(key, claims)| (*key, claims.values().next().unwrap().clone()))
        .collect();
    assert_eq!(*heard, expected);
    let plane = house.plane.rules();
    assert!(plane.keys().eq(expected.keys()));
    for (key, claims) in model {
        let forever = claims.values().any(|(_, end)| *end == 0);
        let last = claims.values().map(|(_, end)| *end).max().unwrap();
        assert_eq!(plane[key].deadline, if forever { 0 } else { last });
    }
    for policy in Policy::ALL {
        let listed = house.firewall.page(policy, None, usize::MAX, None);
        let listed: Vec<_> = listed
            .into_iter()
            .map(|e| (e.cidr, (e.tag, e.expiration)))
            .collect();
        let wanted = expected.iter().filter(|(key, _)| key.policy == policy);
        assert!(
            listed
                .into_iter()
                .eq(wanted.map(|(key, v)| (key.cidr, v.clone())))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn agrees_with_the_model(steps in prop::collection::vec(step(), 1..120)) {
        let (house, mut model, mut heard) = (House::new(), Model::new(), BTreeMap::new());
        for step in steps {
            run(&house, &mut model, step);
            compare(&house, &model, &mut heard);
        }
    }

    #[test]
    fn lookups_agree_with_the_data_plane(
        steps in prop::collection::vec(step(), 1..60),
        sources in prop::collection::vec(any::<IpAddr>(), 1..20),
    ) {
        let (house, mut model) = (House::new(), Model::new());
        for step in steps {
            run(&house, &mut model, step);
        }
        let edges = (0..24).map(|index| network(index).addr());
        for source in sources.into_iter().chain(edges) {
            prop_assert_eq!(house.firewall.lookup(source).verdict, house.plane.packet(source.to_canonical(), 60));
        }
    }
}
