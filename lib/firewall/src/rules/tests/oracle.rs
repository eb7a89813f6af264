//! Random changes by all owners, against a model that keeps a list of claims and recomputes everything from it.

use std::collections::BTreeMap;

use couic_common::Reason;
use proptest::prelude::*;

use super::*;

/// A claim of the model.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// 0 a set, 1 a client, 2 a peer.
    pub(super) rank: u8,
    pub(super) name: String,
    tag: Option<Tag>,
    pub(super) end: u64,
    /// Why, as last given.
    reason: Option<Reason>,
    /// Counts writes.
    written: usize,
}

impl Held {
    /// The order of owners; the claim of a client that was written last comes first.
    fn place(&self) -> (u8, usize, &str) {
        match self.rank {
            1 => (1, usize::MAX - self.written, ""),
            rank => (rank, 0, &self.name),
        }
    }

    fn owner(&self) -> Owner {
        match self.rank {
            0 => Owner::Set(self.name.parse().unwrap()),
            1 => Owner::Client(self.name.parse().unwrap()),
            _ => Owner::Peer(self.name.parse().unwrap()),
        }
    }
}

/// Claims by rule.
pub(super) type Model = BTreeMap<RuleKey, Vec<Held>>;

const TAGS: [&str; 4] = ["", "a", "b", "c"];

const REASONS: [&str; 4] = ["", " \n", "sshd: 5 failures", "by hand"];

#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Network, tag and reason, seconds, and who.
    Add(Policy, usize, (usize, usize), u64, usize),
    /// Network, who, and which claims: own, all owners', own under a tag.
    Remove(Policy, usize, usize, usize),
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
        8 => (policy.clone(), 0usize..24, (0usize..4, 0usize..4), 0u64..30, 0usize..4)
            .prop_map(|(p, c, t, e, who)| Step::Add(p, c, t, e, who)),
        4 => (policy, 0usize..24, 0usize..4, 0usize..6)
            .prop_map(|(p, c, who, which)| Step::Remove(p, c, who, which)),
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

/// Two clients and two peers.
fn who(index: usize) -> (Actor, u8, &'static str) {
    let name = ["x", "y"][index % 2];
    match index {
        0 | 1 => (Actor::Client(name.parse().unwrap()), 1, name),
        _ => (Actor::Peer(name.parse().unwrap()), 2, name),
    }
}

fn load_sets(house: &House, model: &mut Model, sets: Vec<(Policy, u8, Vec<usize>)>) {
    let mut by_name: BTreeMap<(Policy, u8), Vec<usize>> = BTreeMap::new();
    for (policy, name, networks) in sets {
        by_name.entry((policy, name)).or_default().extend(networks);
    }
    model
        .values_mut()
        .for_each(|claims| claims.retain(|held| held.rank != 0));
    let mut loaded = Vec::new();
    for ((policy, name), networks) in by_name {
        let name: couic_common::SetName = format!("s{name}").parse().unwrap();
        let mut entries: Vec<Cidr> = networks.into_iter().map(network).collect();
        entries.sort_unstable();
        entries.dedup();
        for cidr in &entries {
            let claims = model.entry(RuleKey::new(policy, *cidr)).or_default();
            claims.push(Held {
                rank: 0,
                name: name.to_string(),
                tag: Some(Tag::of_set(&name)),
                end: 0,
                reason: None,
                written: 0,
            });
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

fn add(
    house: &House,
    model: &mut Model,
    (policy, why): (Policy, &str),
    rule: ClaimRequest,
    by: usize,
) {
    let key = RuleKey::new(policy, rule.cidr);
    let (actor, rank, name) = who(by);
    let claims = model.entry(key).or_default();
    let is_own = |held: &Held| {
        (held.rank, held.name.as_str()) == (rank, name) && (rank == 2 || held.tag == rule.tag)
    };
    let new = Held {
        rank,
        name: name.to_owned(),
        tag: rule.tag.clone(),
        end: rule.expiration,
        reason: Reason::of(why),
        written: 1 + claims.iter().map(|held| held.written).max().unwrap_or(0),
    };
    let applied = match claims.iter().position(is_own) {
        Some(at)
            if claims[at].end == new.end
                && claims[at].tag == new.tag
                && (new.reason.is_none() || claims[at].reason == new.reason) =>
        {
            Applied::Unchanged
        }
        Some(at) => {
            // A renewal without a reason keeps it.
            let reason = new.reason.clone().or(claims[at].reason.take());
            claims[at] = Held { reason, ..new };
            Applied::Updated
        }
        None => {
            claims.push(new);
            if claims.len() == 1 {
                Applied::Added
            } else {
                Applied::Updated
            }
        }
    };
    let job = vec![Job::Add(rule, because(why))];
    let result = house.firewall.apply(key.policy, job, &actor).remove(0);
    assert_eq!(result.unwrap(), applied);
}

fn remove(house: &House, model: &mut Model, key: RuleKey, by: usize, which: usize) {
    let (actor, rank, name) = who(by);
    let scope = match which {
        0 => ClaimScope::OWN,
        1 => ClaimScope::ALL,
        which => ClaimScope {
            tag: Some(Tag::parse(TAGS[which - 2]).unwrap()),
            all_owners: false,
        },
    };
    let claims = model.entry(key).or_default();
    let count = claims.len();
    claims.retain(|held| {
        let is_meant = if scope.all_owners {
            held.rank != 0
        } else {
            (held.rank, held.name.as_str()) == (rank, name)
        };
        !is_meant || scope.tag.as_ref().is_some_and(|tag| *tag != held.tag)
    });
    let job = vec![Job::Remove(key.cidr, scope.clone(), None)];
    let result = house.firewall.apply(key.policy, job, &actor).remove(0);
    match (count, claims.len()) {
        (0, _) => assert_eq!(result.unwrap(), Applied::Unchanged),
        (before, now) if before == now && (rank == 2 || scope.tag.is_some()) => {
            assert_eq!(result.unwrap(), Applied::Unchanged);
        }
        (before, now) if before == now => assert!(result.is_err(), "{result:?}"),
        (_, 0) => assert_eq!(result.unwrap(), Applied::Removed),
        _ => assert_eq!(result.unwrap(), Applied::Released),
    }
}

pub(super) fn run(house: &House, model: &mut Model, step: Step) {
    match step {
        Step::Add(policy, index, (tag, why), lasts, by) => {
            let now = house.firewall.now();
            let expiration = if lasts < 5 { 0 } else { now + lasts };
            let rule = rule(&network(index).to_string(), TAGS[tag], expiration);
            add(house, model, (policy, REASONS[why]), rule, by);
        }
        Step::Remove(policy, index, by, which) => {
            let key = RuleKey::new(policy, network(index));
            remove(house, model, key, by, which);
        }
        Step::Sets(sets) => load_sets(house, model, sets),
        Step::Wait(seconds) => house.clock.advance(seconds),
    }
    let now = house.firewall.now();
    house.firewall.expire_due();
    end(model, now);
}

/// Ends the claims whose time is over.
pub(super) fn end(model: &mut Model, now: u64) {
    for claims in model.values_mut() {
        claims.retain(|held| held.end == 0 || held.end > now);
        claims.sort_by(|a, b| a.place().cmp(&b.place()));
    }
    model.retain(|_, claims| !claims.is_empty());
}

/// When the last one ends.
fn last_end(claims: &[Held]) -> u64 {
    let forever = claims.iter().any(|held| held.end == 0);
    let last = claims.iter().map(|held| held.end).max().unwrap();
    if forever { 0 } else { last }
}

/// Tag, end and reason of a rule.
type Shown = (Option<Tag>, u64, Option<Reason>);

fn shown(entry: Entry) -> Shown {
    (entry.tag, entry.expiration, entry.reason)
}

/// The list, the data plane and the sum of the events agree with the model.
fn compare(house: &House, model: &Model, heard: &mut BTreeMap<RuleKey, Shown>) {
    for event in house.events.recv_timeout(Duration::ZERO).events.iter() {
        let key = RuleKey::new(event.policy, event.entry.cidr);
        let value = shown(event.entry.clone());
        match event.kind {
            EventKind::Added => assert_eq!(heard.insert(key, value), None),
            EventKind::Updated | EventKind::Released => assert!(
                heard
                    .insert(key, value.clone())
                    .is_some_and(|old| old != value)
            ),
            EventKind::Removed => assert!(heard.remove(&key).is_some()),
        }
    }
    let expected: BTreeMap<_, _> = model
        .iter()
        .map(|(key, claims)| {
            let first = &claims[0];
            let shown = (first.tag.clone(), last_end(claims), first.reason.clone());
            (*key, shown)
        })
        .collect();
    assert_eq!(*heard, expected);
    let plane = house.plane.rules();
    assert!(plane.keys().eq(expected.keys()));
    for (key, claims) in model {
        assert_eq!(plane[key].deadline, last_end(claims));
        let held = house.firewall.all_claims(*key);
        let held = held.into_iter();
        let held = held.map(|c| (c.owner, c.tag, c.expiration, c.reason));
        let wanted = claims.iter();
        let wanted = wanted.map(|h| (h.owner(), h.tag.clone(), h.end, h.reason.clone()));
        assert_eq!(held.collect::<Vec<_>>(), wanted.collect::<Vec<_>>());
    }
    for policy in Policy::ALL {
        let listed = house.firewall.page(policy, None, usize::MAX, None);
        let listed: Vec<_> = listed.into_iter().map(|e| (e.cidr, shown(e))).collect();
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
            let different: std::collections::BTreeSet<_> =
                model.values().flatten().filter_map(|held| held.reason.clone()).collect();
            prop_assert_eq!(house.firewall.reasons().kept, different.len(), "none stays behind");
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
