//! Whatever a peer responds, a link neither panics nor sends requests endlessly, and the replica stays bounded.

use couic_common::{Cidr, Policy, RuleKey};
use couic_peering::{
    Ask, DigestAnswer, Face, Failure, Limits, Link, LinkSettings, MAX_PULL, Mark, Moment, NEVER,
    Next, NodeId, PROTOCOL, PeerId, PullAnswer, PushAnswer, RecordState, Replica, WireRecord,
};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000_000;

/// Maximum number of registers of the replica.
const LIMIT: usize = 500;

fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(NOW),
        Just(NOW << 16),
        Just(u64::MAX),
        any::<u64>()
    ]
}

fn face() -> impl Strategy<Value = Face> {
    let node = prop_oneof![Just(7), Just(1), 0..u64::from(u32::MAX)];
    let protocol = prop_oneof![9 => Just(PROTOCOL), 1 => any::<u16>()];
    let wall = prop_oneof![3 => Just(NOW), 1 => numbers()];
    (node, wall, protocol).prop_map(|(node, wall, protocol)| Face {
        node: NodeId(node << 32),
        wall,
        protocol,
    })
}

fn record() -> impl Strategy<Value = WireRecord> {
    let cidr = prop_oneof!["10\\.0\\.[0-9]{1,2}\\.[0-9]{1,2}/32", "\\PC{0,20}"];
    let until = proptest::option::of(numbers());
    let tag = proptest::option::of("\\PC{0,5}");
    let node = prop_oneof![1 => Just(1 << 32), 1 => Just(7 << 32), 2 => any::<u64>()];
    let shift = prop_oneof![3 => Just(0), 1 => any::<i64>()];
    (
        cidr,
        numbers(),
        node,
        until,
        tag,
        (numbers(), numbers(), shift, any::<bool>()),
    )
        .prop_map(
            |(cidr, time, node, until, tag, (covers, revokes, shift, ended))| WireRecord {
                cidr,
                time,
                node: NodeId(node),
                until,
                tag,
                shift,
                covers,
                revokes: revokes.min(time),
                reason: None,
                ended,
                heeded: ended,
            },
        )
}

/// A response, whatever the request.
#[derive(Clone, Debug)]
enum Answer {
    Digest(Face, bool, Vec<u64>),
    /// Of the requested length.
    Digests(Face, u64),
    Pull(Face, Vec<WireRecord>, Option<Mark>),
    Push(Face, u64, u64, u64),
    Failed(Failure),
    PlainTaken,
}

fn mark() -> impl Strategy<Value = Option<Mark>> {
    let cidr = "10\\.0\\.[0-9]{1,2}\\.[0-9]{1,2}/32";
    let mark = (any::<u16>(), cidr, any::<u32>());
    proptest::option::of(mark.prop_map(|(leaf, cidr, author)| Mark { leaf, cidr, author }))
}

fn answer() -> impl Strategy<Value = Answer> {
    let failure = prop_oneof![
        Just(Failure::TooLarge),
        Just(Failure::Unknown),
        Just(Failure::NotEnabled),
        Just(Failure::Refused("no".to_owned())),
        Just(Failure::Other("no".to_owned())),
    ];
    prop_oneof![
        (
            face(),
            any::<bool>(),
            proptest::collection::vec(any::<u64>(), 0..4)
        )
            .prop_map(|(face, accepts, digests)| Answer::Digest(face, accepts, digests)),
        (face(), any::<u64>()).prop_map(|(face, seed)| Answer::Digests(face, seed)),
        (face(), proptest::collection::vec(record(), 0..30), mark())
            .prop_map(|(face, records, last)| Answer::Pull(face, records, last)),
        (face(), numbers(), numbers(), numbers())
            .prop_map(|(face, taken, wait, refused)| Answer::Push(face, taken, wait, refused)),
        failure.prop_map(Answer::Failed),
        Just(Answer::PlainTaken),
    ]
}

fn digests_for(ask: &Ask, seed: u64) -> Vec<u64> {
    use couic_peering::Of;
    let count = match ask {
        Ask::Digest(_, Of::Branches) => 256,
        Ask::Digest(_, Of::Leaves(branches)) => branches.len() * 256,
        _ => 1,
    };
    (1..=count as u64).map(|n| n.wrapping_mul(seed)).collect()
}

fn give(link: &mut Link, replica: &mut Replica, ask: &Ask, answer: Answer, now: Moment) {
    let digest = |from, accepts, digests| DigestAnswer {
        from,
        accepts,
        records: u64::MAX,
        digests,
    };
    match answer {
        Answer::Digest(from, accepts, digests) => {
            link.digests(replica, &digest(from, accepts, digests), now);
        }
        Answer::Digests(from, seed) => {
            link.digests(replica, &digest(from, true, digests_for(ask, seed)), now);
        }
        Answer::Pull(from, records, last) => {
            let answer = PullAnswer {
                from,
                records,
                last,
            };
            let outcome = link.pulled(replica, &answer, now);
            for offer in outcome.theirs {
                let key = RuleKey::new(outcome.policy, offer.cidr);
                replica.merge(link.peer(), key, &offer, &Limits::default(), now);
            }
        }
        Answer::Push(from, taken, wait_ms, refused) => {
            let answer = PushAnswer {
                from,
                taken,
                wait_ms,
                refused,
                problem: Some("\u{1b}[2J".to_owned()),
            };
            link.pushed(replica, &answer, now);
        }
        Answer::Failed(failure) => link.failed(failure, now),
        Answer::PlainTaken => link.plain_taken(now),
    }
    // A request with a mismatched response is over nevertheless.
    link.failed(Failure::Other("that was no answer".to_owned()), now);
}

proptest! {
    #[test]
    fn hostile_responses_do_no_harm(answers in proptest::collection::vec((answer(), 0_u64..3_000), 1..80)) {
        let at = |mono| Moment { wall: NOW + mono, mono };
        let mut replica = Replica::new(NodeId::started(1, 0), 86_400_000, LIMIT);
        let peer = replica.introduce(&Limits::default());
        let settings = LinkSettings { policies: Policy::ALL.to_vec(), ..LinkSettings::default() };
        let mut link = Link::new(peer, settings, 1);
        let mut mono = 0;
        for (n, (answer, later)) in (0_u32..).zip(answers) {
            let cidr = Cidr::host(std::net::Ipv4Addr::from_bits(n).into());
            let key = RuleKey::new(Policy::Drop, cidr);
            replica.write(key, RecordState::Live { tag: None, until: NEVER }, PeerId::SELF, at(mono));
            link.changed(replica.own_id(key), at(mono));
            if let Next::Ask(ask) = link.poll(&replica, at(mono), |_| true) {
                give(&mut link, &mut replica, &ask, answer, at(mono));
            }
            replica.bury(at(mono), 1_000);
            let status = link.status(at(mono));
            let error = status.last_error.map(|(_, text)| text).unwrap_or_default();
            prop_assert!(!error.contains('\u{1b}'), "{error:?}");
            prop_assert!(replica.len(Policy::Drop) + replica.len(Policy::Ignore) <= LIMIT + 80);
            mono += later;
        }
    }

    /// A peer whose responses match the requests but are made up: the requests end nevertheless.
    #[test]
    fn requests_end(seed in any::<u64>(), last in mark()) {
        let now = |mono| Moment { wall: NOW + mono, mono };
        let from = Face { node: NodeId(7 << 32), wall: NOW, protocol: PROTOCOL };
        let mut replica = Replica::new(NodeId::started(1, 0), 86_400_000, LIMIT);
        let peer = replica.introduce(&Limits::default());
        let mut link = Link::new(peer, LinkSettings::default(), 1);
        let mut asked = 0;
        while let Next::Ask(ask) = link.poll(&replica, now(0), |_| true) {
            asked += 1;
            prop_assert!(asked < 10_000, "endless requests");
            match ask {
                Ask::Digest(..) => {
                    let digests = digests_for(&ask, seed | 1);
                    let answer = DigestAnswer { from, accepts: true, records: 0, digests };
                    link.digests(&mut replica, &answer, now(0));
                }
                Ask::Pull(..) => {
                    let answer = PullAnswer { from, records: Vec::new(), last: last.clone() };
                    link.pulled(&mut replica, &answer, now(0));
                }
                _ => break,
            }
        }
        let state = link.status(now(0)).state;
        prop_assert_ne!(state, couic_peering::LinkState::InSync, "its digests differ");
    }
}

/// Answers that do not fit, one after the other for 18 seconds.
fn asked_of(answer: impl Fn(&Ask) -> Answer) -> (u32, String) {
    let at = |mono| Moment {
        wall: NOW + mono,
        mono,
    };
    let mut replica = Replica::new(NodeId::started(1, 0), 86_400_000, LIMIT);
    let peer = replica.introduce(&Limits::default());
    let mut link = Link::new(peer, LinkSettings::default(), 1);
    let (mut asked, mut mono) = (0, 0);
    while mono < 18_000 {
        match link.poll(&replica, at(mono), |_| true) {
            Next::Ask(ask) => {
                asked += 1;
                assert!(asked < 10_000, "endless requests");
                let answer = answer(&ask);
                give(&mut link, &mut replica, &ask, answer, at(mono));
            }
            Next::Wait(until) => mono = until.max(mono + 1),
        }
    }
    let error = link.status(at(mono)).last_error;
    (asked, error.map(|(_, text)| text).unwrap_or_default())
}

fn peer() -> Face {
    Face {
        node: NodeId(7 << 32),
        wall: NOW,
        protocol: PROTOCOL,
    }
}

#[test]
fn a_peer_that_answers_a_wrong_number_of_digests_is_asked_with_pauses_and_named() {
    let (asked, error) = asked_of(|ask| match ask {
        Ask::Digest(_, couic_peering::Of::Leaves(_)) => {
            Answer::Digest(peer(), true, vec![1; 256 * 3 + 1])
        }
        _ => Answer::Digests(peer(), 5),
    });
    assert!(asked < 100, "{asked}");
    assert!(error.contains("digests"), "{error}");
}

#[test]
fn a_peer_whose_pages_do_not_end_is_asked_with_pauses_and_named() {
    let (asked, error) = asked_of(|ask| match ask {
        Ask::Pull(_, leaves, after) => {
            let n = after.as_ref().map_or(0, |mark| mark.author + 1);
            let mark = Mark {
                leaf: leaves[0].0,
                cidr: "10.0.0.1/32".to_owned(),
                author: n,
            };
            let record = WireRecord {
                cidr: "10.0.0.1/32".to_owned(),
                time: NOW << 16,
                node: NodeId(7 << 32),
                ..WireRecord::default()
            };
            let few = if n < 3 { MAX_PULL } else { 1 };
            Answer::Pull(peer(), vec![record; few], Some(mark))
        }
        _ => Answer::Digests(peer(), 5),
    });
    assert!(asked < 500, "{asked}");
    assert!(error.contains("does not go on"), "{error}");
}

#[test]
fn a_node_of_another_protocol_is_refused_with_pauses_and_named() {
    let old = Face {
        protocol: 0,
        ..peer()
    };
    let (asked, error) = asked_of(|_| Answer::Digests(old, 5));
    assert!(asked < 50, "{asked}");
    assert!(error.contains("same version"), "{error}");
}
