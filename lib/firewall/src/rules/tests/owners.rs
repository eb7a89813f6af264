//! Claims of clients, of peers and of sets on the same rule.

use super::*;

const NET: &str = "10.0.0.0/8";

fn named(name: &str) -> Actor {
    Actor::Client(name.parse().unwrap())
}

fn add(house: &House, actor: &Actor, tag: &str, expiration: u64) -> Applied {
    house.apply(actor, Job::Add(rule(NET, tag, expiration), None))
}

fn tagged(tag: &str) -> ClaimScope {
    ClaimScope {
        tag: Some(Tag::parse(tag).unwrap()),
        all_owners: false,
    }
}

fn remove(house: &House, actor: &Actor, scope: &ClaimScope) -> Result<Entry, FirewallError> {
    let origin = Origin {
        actor: actor.clone(),
        metadata: None,
    };
    house.firewall.remove(drop_key(NET), scope, &origin)
}

/// Tag and expiration as shown.
fn shown(house: &House) -> Option<(String, u64)> {
    let entry = house.firewall.entry(drop_key(NET))?;
    let tag = entry.tag.map(|tag| tag.to_string());
    Some((tag.unwrap_or_default(), entry.expiration))
}

#[test]
fn two_jails_with_one_token_do_not_end_each_others_bans() {
    let house = House::new();
    let f2b = named("f2b");
    add(&house, &f2b, "long", 4_600);
    assert_eq!(add(&house, &f2b, "sshd", 1_003), Applied::Updated);
    assert_eq!(shown(&house), Some(("sshd".to_owned(), 4_600)));
    house.clock.set(1_003);
    house.firewall.expire_due();
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop);
    assert_eq!(shown(&house), Some(("long".to_owned(), 4_600)));
    // fail2ban unbans what has ended already.
    let gone = remove(&house, &f2b, &tagged("sshd")).unwrap_err();
    assert!(matches!(gone, FirewallError::NoClaim { .. }), "{gone}");
    let text = gone.to_string();
    assert!(
        text.contains("with the tag sshd") && text.contains("client f2b (tag long) for 59m"),
        "{text}"
    );
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop);
    remove(&house, &f2b, &tagged("long")).unwrap();
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Pass);
}

#[test]
fn a_renewal_never_shortens_anothers_ban() {
    let house = House::new();
    add(&house, &named("a"), "", 604_800);
    // Under the same tag, too.
    for tag in ["", "t"] {
        assert_eq!(add(&house, &named("b"), tag, 1_600), Applied::Updated);
    }
    assert_eq!(shown(&house), Some(("t".to_owned(), 604_800)));
    house.clock.set(1_600);
    house.firewall.expire_due();
    assert_eq!(shown(&house), Some((String::new(), 604_800)));
    // One's own it does.
    assert_eq!(add(&house, &named("a"), "", 2_000), Applied::Updated);
    assert_eq!(shown(&house), Some((String::new(), 2_000)));
    add(&house, &named("b"), "", 0);
    assert_eq!(shown(&house), Some((String::new(), 0)), "one never ends");
}

#[test]
fn a_deletion_releases_ones_own_claims_and_no_others() {
    let house = House::new();
    let (a, b) = (named("a"), named("b"));
    add(&house, &a, "x", 0);
    add(&house, &a, "y", 2_000);
    add(&house, &b, "x", 3_000);
    add(&house, &peer().actor, "", 4_000);
    assert_eq!(
        house.apply(&a, Job::Remove(cidr(NET), ClaimScope::OWN, None)),
        Applied::Released
    );
    assert_eq!(shown(&house), Some(("x".to_owned(), 4_000)));
    let refused = remove(&house, &a, &ClaimScope::OWN).unwrap_err();
    let text = refused.to_string();
    assert!(matches!(refused, FirewallError::OfOthers { .. }));
    for part in [
        "client b (tag x) for 33m 20s",
        "peer p for 50m",
        "?all_owners=true",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let refused = house.firewall.apply(
        Policy::Drop,
        vec![Job::Remove(cidr(NET), ClaimScope::OWN, None)],
        &a,
    );
    assert!(matches!(refused[0], Err(FirewallError::OfOthers { .. })));
    remove(&house, &b, &ClaimScope::OWN).unwrap();
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop, "the peer's");
    house.apply(&peer().actor, Job::Remove(cidr(NET), ClaimScope::OWN, None));
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Pass);
    let gone = remove(&house, &a, &ClaimScope::OWN);
    assert!(matches!(gone, Err(FirewallError::NotFound { .. })));
}

#[test]
fn all_owners_ends_the_claims_of_clients_and_peers_and_leaves_those_of_sets() {
    let house = House::new();
    let sets = catalog(&[(Policy::Drop, "s", &[NET])]);
    house.firewall.replace_sets(&sets).unwrap();
    for actor in [named("a"), named("b"), peer().actor] {
        add(&house, &actor, "t", 2_000);
    }
    remove(&house, &named("ops"), &ClaimScope::ALL).unwrap();
    let left = house
        .firewall
        .entry_with_owners(drop_key(NET))
        .unwrap()
        .owners;
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].who(), "set s");
    let refused = remove(&house, &named("ops"), &ClaimScope::ALL).unwrap_err();
    assert!(matches!(refused, FirewallError::OfSet { .. }), "{refused}");
}

#[test]
fn a_deletion_by_tag_releases_own_claims_and_counts_what_stays() {
    let house = House::new();
    let (a, b) = (named("a"), named("b"));
    for (network, tag, actor) in [
        ("10.0.0.0/8", "ssh-1", &a),
        ("10.0.0.0/8", "ssh-2", &a),
        ("11.0.0.0/8", "ssh-1", &a),
        ("11.0.0.0/8", "web", &a),
        ("12.0.0.0/8", "ssh-1", &a),
        ("12.0.0.0/8", "ssh-1", &b),
        ("13.0.0.0/8", "ssh-1", &b),
    ] {
        house.apply(actor, Job::Add(rule(network, tag, 0), None));
    }
    let pattern = "ssh-*".parse().unwrap();
    let by = |actor: &Actor, all_owners| {
        let origin = Origin {
            actor: actor.clone(),
            metadata: None,
        };
        let done = house
            .firewall
            .remove_by_tag(Policy::Drop, &pattern, all_owners, &origin);
        (done.removed, done.released)
    };
    assert_eq!(by(&a, false), (1, 2));
    assert_eq!(by(&a, false), (0, 0));
    assert_eq!(by(&a, true), (2, 0));
    let left = house.firewall.page(Policy::Drop, None, 9, None);
    assert_eq!(
        left.iter().map(|e| e.cidr).collect::<Vec<_>>(),
        [cidr("11.0.0.0/8")]
    );
}

#[test]
fn a_claim_of_an_unknown_client_is_released_or_taken_over_by_any() {
    let house = House::new();
    let unknown = |house: &House| {
        let wanted = Claim {
            owner: Owner::Api,
            tag: Tag::parse("ban").unwrap(),
            expiration: 5_000,
            creation: 7,
            reason: None,
        };
        let swap = ClaimSwap {
            key: drop_key(NET),
            owner: None,
            expected: vec![],
            wanted: Some(wanted),
        };
        assert!(house.firewall.swap(vec![swap], &client())[0].is_done());
    };
    unknown(&house);
    // Under another tag it is another claim.
    add(&house, &named("a"), "other", 1_500);
    assert_eq!(shown(&house), Some(("other".to_owned(), 5_000)));
    add(&house, &named("b"), "ban", 2_000);
    let held = house.firewall.all_claims(drop_key(NET));
    let owners: Vec<String> = held.iter().map(|claim| claim.owner.to_string()).collect();
    assert_eq!(owners, ["client b", "client a"]);
    assert_eq!(held[0].creation, 7, "as old as what it took over");
    remove(&house, &named("a"), &ClaimScope::ALL).unwrap();
    unknown(&house);
    remove(&house, &named("a"), &ClaimScope::OWN).unwrap();
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Pass);
}

#[test]
fn a_client_that_makes_up_tags_leaves_room_for_others() {
    let house = House::new();
    let try_add = |actor: &Actor, tag: String| {
        let job = vec![Job::Add(rule(NET, &tag, 0), None)];
        house.firewall.apply(Policy::Drop, job, actor).remove(0)
    };
    let mut accepted = 0;
    for client in 0..8 {
        for tag in 0..20 {
            match try_add(&named(&format!("c{client}")), format!("t{tag}")) {
                Ok(_) => accepted += 1,
                Err(FirewallError::TooManyClaims { .. }) => assert!(tag >= 16 || client >= 4),
                Err(error) => panic!("{error}"),
            }
        }
    }
    assert_eq!(accepted, 64);
    // Renewing takes no room; and a claim that is released makes some.
    try_add(&named("c0"), "t0".to_owned()).unwrap();
    remove(&house, &named("c1"), &tagged("t3")).unwrap();
    try_add(&named("c7"), "t0".to_owned()).unwrap();
}

#[test]
fn claims_beyond_the_first_on_each_rule_are_bounded_in_all() {
    let house = House::with(Limits {
        drop_entries: 2,
        ignore_entries: 1,
    });
    let try_add = |network: &str, client: &str| {
        let job = vec![Job::Add(rule(network, "", 0), None)];
        house
            .firewall
            .apply(Policy::Drop, job, &named(client))
            .remove(0)
    };
    for (network, client) in [
        (NET, "a"),
        ("11.0.0.0/8", "a"),
        (NET, "b"),
        ("11.0.0.0/8", "b"),
    ] {
        try_add(network, client).unwrap();
    }
    assert!(matches!(
        try_add(NET, "c"),
        Err(FirewallError::TooManyClaims { limit: 2, .. })
    ));
    remove(&house, &named("a"), &ClaimScope::OWN).unwrap();
    try_add(NET, "c").unwrap();
}

#[test]
fn a_release_that_leaves_the_rule_in_force_is_told_as_one() {
    let house = House::new();
    let hidden = house.firewall.subscribe_hidden(10);
    add(&house, &named("a"), "long", 5_000);
    add(&house, &named("b"), "short", 1_005);
    add(&house, &named("c"), "short", 1_010);
    remove(&house, &named("c"), &ClaimScope::OWN).unwrap();
    house.clock.set(1_005);
    house.firewall.expire_due();
    remove(&house, &named("ops"), &ClaimScope::ALL).unwrap();
    let received = house.events.recv_timeout(Duration::ZERO);
    let told: Vec<String> = received
        .events
        .iter()
        .map(|event| format!("{} of {}", describe(event), event.owner))
        .collect();
    assert_eq!(
        told,
        [
            "+ drop 10.0.0.0/8 tag=long until=5000 by client a of client a",
            "~ drop 10.0.0.0/8 tag=short until=5000 by client b of client b",
            "/ drop 10.0.0.0/8 tag=long until=5000 by expiry of client b",
            "- drop 10.0.0.0/8 tag=long until=5000 by client ops of client a",
        ]
    );
    // Neither tag nor end of what is shown changed.
    let received = hidden.recv_timeout(Duration::ZERO);
    let kinds: Vec<EventKind> = received.events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Updated, EventKind::Released]);
}

#[test]
fn a_kept_claim_is_not_ended_by_another_clients() {
    let dir = tempfile::tempdir().unwrap();
    let room = |drop_entries| Limits {
        drop_entries,
        ignore_entries: 1,
    };
    let none = SetCatalog::default();
    let start = |limits| durable::start(dir.path(), 1_000, limits, &none).0;
    let house = start(room(9));
    let first = "9.0.0.0/8";
    house.apply(&named("a"), Job::Add(rule(first, "", 0), None));
    add(&house, &named("a"), "", 5_000);
    let house = start(room(1));
    assert!(house.firewall.is_kept(drop_key(NET)));
    house.apply(&named("a"), Job::Remove(cidr(first), ClaimScope::OWN, None));
    add(&house, &named("b"), "", 2_000);
    assert_eq!(shown(&house), Some((String::new(), 5_000)));
}

#[test]
fn peers_and_clients_do_not_take_each_others_claims() {
    let house = House::new();
    let actor = peer().actor;
    add(&house, &client().actor, "api", 0);
    let removed = house.apply(&actor, Job::Remove(cidr(NET), ClaimScope::OWN, None));
    assert_eq!(removed, Applied::Unchanged);
    assert_eq!(add(&house, &actor, "peer", 3_000), Applied::Updated);
    remove(&house, &client().actor, &ClaimScope::OWN).unwrap();
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop);
    assert_eq!(shown(&house), Some(("peer".to_owned(), 3_000)));
    // Now only the peer claims it.
    let refused = remove(&house, &client().actor, &ClaimScope::OWN);
    assert!(matches!(refused, Err(FirewallError::OfOthers { .. })));
    remove(&house, &client().actor, &ClaimScope::ALL).unwrap();
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Pass);
}

#[test]
fn a_peer_cannot_take_what_a_set_defines() {
    let house = House::new();
    house
        .firewall
        .replace_sets(&catalog(&[(Policy::Drop, "s", &["10.0.0.0/8"])]))
        .unwrap();
    let actor = peer().actor;
    let result = house.firewall.apply(
        Policy::Drop,
        vec![Job::Remove(cidr("10.0.0.0/8"), ClaimScope::OWN, None)],
        &actor,
    );
    assert_eq!(result[0].as_ref().unwrap(), &Applied::Unchanged);
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop);
}

#[test]
fn a_peer_cannot_take_another_peers_claim() {
    let house = House::new();
    let add = vec![Job::Add(rule("10.0.0.0/8", "", 0), None)];
    house.firewall.apply(Policy::Drop, add, &peer().actor);
    let other = Actor::Peer("q".parse().unwrap());
    let remove = vec![Job::Remove(cidr("10.0.0.0/8"), ClaimScope::OWN, None)];
    let result = house.firewall.apply(Policy::Drop, remove, &other);
    assert_eq!(result[0].as_ref().unwrap(), &Applied::Unchanged);
    assert_eq!(house.verdict("10.0.0.1"), Verdict::Drop);
}
