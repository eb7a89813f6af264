//! Whatever a peer answers, a link neither panics nor asks without end, and the replica stays bounded.

use couic_common::{Cidr, Policy, RuleKey};
use couic_peering::{
    Ask, DigestAnswer, Face, Failure, Link, LinkSettings, Moment, NEVER, Next, NodeId, PullAnswer,
    PushAnswer, RegisterState, Replica, WireRecord,
};
use proptest::prelude::*;

const NOW: u64 = 1_800_000_000_000;

/// Registers that a replica may have.
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
    let node = prop_oneof![Just(7), Just(1), any::<u64>()];
    let clock = prop_oneof![3 => Just(NOW << 16), 1 => numbers()];
    (node, numbers(), clock).prop_map(|(node, wall, clock)| Face {
        node: NodeId(node),
        wall,
        clock,
    })
}

fn record() -> impl Strategy<Value = WireRecord> {
    let cidr = prop_oneof!["10\\.0\\.[0-9]{1,2}\\.[0-9]{1,2}/32", "\\PC{0,20}"];
    let until = proptest::option::of(numbers());
    let tag = proptest::option::of("\\PC{0,5}");
    (cidr, numbers(), any::<u64>(), until, tag, numbers()).prop_map(
        |(cidr, time, node, until, tag, covers)| WireRecord {
            cidr,
            time,
            node: NodeId(node),
            until,
            tag,
            covers,
        },
    )
}

/// What comes back, whatever was asked.
#[derive(Clone, Debug)]
enum Answer {
    Digest(Face, bool, Vec<u64>),
    /// Of the length that was asked for.
    Digests(Face, u64),
    Pull(Face, Vec<WireRecord>, Option<u16>),
    Push(Face, u64, u64, u64),
    Failed(Failure),
    PlainTaken,
}

fn answer() -> impl Strategy<Value = Answer> {
    let failure = prop_oneof![
        Just(Failure::TooLarge),
        Just(Failure::Unknown),
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
        (
            face(),
            proptest::collection::vec(record(), 0..30),
            any::<Option<u16>>()
        )
            .prop_map(|(face, records, next)| Answer::Pull(face, records, next)),
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
    (0..count as u64).map(|n| n.wrapping_mul(seed)).collect()
}

fn give(link: &mut Link, replica: &mut Replica<()>, ask: &Ask, answer: Answer, now: Moment) {
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
        Answer::Pull(from, records, next) => {
            let answer = PullAnswer {
                from,
                records,
                next,
            };
            let outcome = link.pulled(replica, &answer, now);
            for (cidr, record) in outcome.theirs {
                replica.merge(RuleKey::new(outcome.policy, cidr), record, (), now);
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
    // A request that was answered with something else is over all the same.
    link.failed(Failure::Other("that was no answer".to_owned()), now);
}

proptest! {
    #[test]
    fn answers_cannot_hurt(answers in proptest::collection::vec((answer(), 0_u64..3_000), 1..80)) {
        let at = |mono| Moment { wall: NOW + mono, mono };
        let mut replica: Replica<()> = Replica::new(NodeId(1), at(0), 86_400_000, LIMIT);
        let settings = LinkSettings { policies: Policy::ALL.to_vec(), ..LinkSettings::default() };
        let mut link = Link::new(settings, 1);
        let mut mono = 0;
        for (n, (answer, later)) in (0_u32..).zip(answers) {
            let cidr = Cidr::host(std::net::Ipv4Addr::from_bits(n).into());
            replica.write(RuleKey::new(Policy::Drop, cidr), RegisterState::Live { tag: None, until: NEVER }, (), at(mono));
            link.changed(RuleKey::new(Policy::Drop, cidr), at(mono));
            if let Next::Ask(ask) = link.poll(&replica, at(mono), |_| true) {
                give(&mut link, &mut replica, &ask, answer, at(mono));
            }
            replica.bury(at(mono).wall, 1_000);
            let status = link.status(at(mono));
            let error = status.last_error.map(|(_, text)| text).unwrap_or_default();
            prop_assert!(!error.contains('\u{1b}'), "{error:?}");
            prop_assert!(replica.len(Policy::Drop) + replica.len(Policy::Ignore) <= LIMIT + 80);
            mono += later;
        }
    }

    /// A peer whose answers fit the questions but are made up: the questions end nevertheless.
    #[test]
    fn questions_end(seed in any::<u64>(), next in any::<Option<u16>>()) {
        let now = |mono| Moment { wall: NOW + mono, mono };
        let from = Face { node: NodeId(7), wall: NOW, clock: NOW << 16 };
        let mut replica: Replica<()> = Replica::new(NodeId(1), now(0), 86_400_000, LIMIT);
        let mut link = Link::new(LinkSettings::default(), 1);
        let mut asked = 0;
        while let Next::Ask(ask) = link.poll(&replica, now(0), |_| true) {
            asked += 1;
            prop_assert!(asked < 10_000, "it asks without end");
            let answer = match ask {
                Ask::Digest(..) => Answer::Digests(from, seed | 1),
                Ask::Pull(..) => Answer::Pull(from, Vec::new(), next),
                _ => break,
            };
            match answer {
                Answer::Digests(from, seed) => {
                    let digests = digests_for(&ask, seed);
                    let answer = DigestAnswer { from, accepts: true, records: 0, digests };
                    link.digests(&mut replica, &answer, now(0));
                }
                Answer::Pull(from, records, next) => {
                    link.pulled(&mut replica, &PullAnswer { from, records, next }, now(0));
                }
                _ => {}
            }
        }
    }
}
