//! Rules, deletions and their attributes reach the other node; sets do not.

use super::*;

#[test]
fn rules_and_deletions_arrive_with_policy_tag_and_owner() {
    let nodes = Node::pair(&Limits {
        ignore: true,
        ..Limits::default()
    });
    let [a, b] = &nodes;
    a.add(Policy::Drop, 1, "ssh", 0);
    a.add(Policy::Ignore, 2, "office", 0);
    level(&nodes);
    for policy in Policy::ALL {
        assert_eq!(a.rules(policy), b.rules(policy));
        assert_eq!(a.rules(policy).len(), 1);
    }
    assert_eq!(b.held(1)[0].owner, Owner::Peer(name("a")));
    a.delete(Policy::Drop, 1).unwrap();
    level(&nodes);
    assert!(a.rules(Policy::Drop).is_empty() && b.rules(Policy::Drop).is_empty());
    // Both want it: each has its own claim, and the rule stays until both have removed theirs.
    a.add(Policy::Drop, 1, "web", 0);
    level(&nodes);
    b.add(Policy::Drop, 1, "db", 0);
    level(&nodes);
    for node in &nodes {
        assert_eq!(node.held(1).len(), 2);
    }
    b.delete(Policy::Drop, 1).unwrap();
    level(&nodes);
    for node in &nodes {
        assert_eq!(node.rules(Policy::Drop)[0].1, Tag::parse("web").unwrap());
    }
}

#[test]
fn ignore_is_shared_only_if_both_sides_allow_it() {
    let open = Limits {
        ignore: true,
        ..Limits::default()
    };
    let nodes = [
        Node::new(&["b"], &open, 0, ROOM),
        Node::new(&["a"], &Limits::default(), 0, ROOM),
    ];
    let [a, b] = &nodes;
    a.add(Policy::Ignore, 1, "", 0);
    a.add(Policy::Drop, 2, "", 0);
    level(&nodes);
    assert!(b.rules(Policy::Ignore).is_empty());
    assert_eq!(b.rules(Policy::Drop).len(), 1);
}

#[test]
fn sets_are_not_shared() {
    let nodes = Node::pair(&Limits::default());
    let [a, b] = &nodes;
    let dir = tempfile::tempdir().unwrap();
    let sets = couic_firewall::rules::SetStore::open(dir.path()).unwrap();
    sets.create(Policy::Drop, &"s".parse().unwrap(), &[cidr(1)])
        .unwrap();
    let (catalog, problems): (SetCatalog, _) = sets.load_lenient();
    assert!(problems.is_empty());
    b.firewall.replace_sets(&catalog).unwrap();
    b.engine.scan();
    level(&nodes);
    assert!(a.rules(Policy::Drop).is_empty());
    a.add(Policy::Drop, 1, "", 0);
    level(&nodes);
    a.delete(Policy::Drop, 1).unwrap();
    level(&nodes);
    assert_eq!(b.rules(Policy::Drop).len(), 1, "the set's rule stays");
    assert!(b.held(1).is_empty());
}

#[test]
fn a_restarted_node_gets_everything_back_and_deletions_hold() {
    let trusting = Limits {
        ends_others: true,
        ..Limits::default()
    };
    let nodes = Node::pair(&trusting);
    let [a, b] = nodes;
    for n in 0..2_000 {
        a.add(Policy::Drop, n, "", 0);
    }
    let nodes = [a, b];
    level(&nodes);
    let [a, b] = nodes;
    assert_eq!(b.rules(Policy::Drop).len(), 2_000);
    // A is killed; B deletes one meanwhile.
    drop(a);
    b.unban(7).unwrap();
    let again = Node::new(&["b"], &trusting, 0, ROOM);
    // It has kept one rule, say from a journal, that was deleted since: older than the deletion.
    let kept = Job::Add(rule(7, "", 0), None);
    again.firewall.apply(Policy::Drop, vec![kept], &client());
    again.engine.register_existing();
    let nodes = [again, b];
    level(&nodes);
    let [a, b] = &nodes;
    assert_eq!(a.rules(Policy::Drop), b.rules(Policy::Drop));
    assert_eq!(a.rules(Policy::Drop).len(), 1_999);
}

#[test]
fn plain_jobs_of_an_old_node_are_relayed() {
    let nodes = Node::pair(&Limits::default());
    let [a, b] = &nodes;
    let old = Actor::Peer(name("old"));
    let add = Job::Add(rule(1, "t", 0), None);
    b.firewall.apply(Policy::Drop, vec![add], &old);
    b.engine.scan();
    level(&nodes);
    assert_eq!(a.held(1)[0].owner, Owner::Peer(name("b")));
    assert_eq!(b.held(1)[0].owner, Owner::Peer(name("old")));
    let remove = Job::Remove(cidr(1), ClaimScope::OWN, None);
    b.firewall.apply(Policy::Drop, vec![remove], &old);
    b.engine.scan();
    level(&nodes);
    assert!(a.rules(Policy::Drop).is_empty());
}

#[test]
fn claims_of_several_clients_are_shared_as_one_until_the_last_ends() {
    let nodes = Node::pair(&Limits::default());
    let [a, b] = &nodes;
    let key = RuleKey::new(Policy::Drop, cidr(1));
    let until = couic_common::unix_seconds() + 1_000;
    let of = |name: &str| Actor::Client(name.parse().unwrap());
    let apply = |job: Job, actor: &Actor| {
        let results = a.firewall.apply(Policy::Drop, vec![job], actor);
        assert!(results[0].is_ok(), "{results:?}");
        a.engine.absorb_keys(&[key]);
        level(&nodes);
    };
    let shown = || {
        let entry = b.firewall.entry(key)?;
        Some((entry.tag.unwrap().to_string(), entry.expiration))
    };
    apply(Job::Add(rule(1, "long", until + 600), None), &of("x"));
    apply(Job::Add(rule(1, "short", until), None), &of("y"));
    assert_eq!(shown(), Some(("short".to_owned(), until + 600)));
    assert_eq!(a.firewall.all_claims(key).len(), 2, "each has its own");
    let release = |scope| Job::Remove(cidr(1), scope, None);
    apply(release(ClaimScope::OWN), &of("x"));
    assert_eq!(shown(), Some(("short".to_owned(), until)));
    // The end of the claims of all owners is a deletion.
    apply(Job::Add(rule(1, "long", 0), None), &of("x"));
    apply(release(ClaimScope::ALL), &of("ops"));
    assert_eq!(shown(), None);
    assert!(a.firewall.all_claims(key).is_empty());
}

#[test]
fn reasons_arrive_and_follow_renewals() {
    let nodes = Node::pair(&Limits::default());
    let [a, b] = &nodes;
    let reason = |node: &Node| node.held(1)[0].reason.as_ref().map(ToString::to_string);
    for (why, shown) in [
        (Some("sshd: 5 failures"), "sshd: 5 failures"),
        // Without one it stays; a new one alone is a change.
        (None, "sshd: 5 failures"),
        (Some("by hand"), "by hand"),
    ] {
        a.add_because(1, why);
        level(&nodes);
        assert_eq!(reason(a).as_deref(), Some(shown));
        assert_eq!(reason(b).as_deref(), Some(shown));
    }
    // It has come to rest: looking again writes nothing.
    let root = || a.engine.state.lock().replica.tree(Policy::Drop).root();
    let before = root();
    a.engine.scan();
    b.engine.scan();
    assert_eq!(root(), before);
    assert_eq!(b.held(1)[0].owner, Owner::Peer(name("a")));
}
