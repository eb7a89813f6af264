//! Many changes, some of which are pending, confirmed and undone in any order, against a list of the requests.
//!
//! The oracle: a claim is the result of the last change that was not undone. Permanent changes only add here, each with
//! another expiration: two removals could not be told apart. Two clients have claims on the same rules, and change only
//! their own.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Which rules, whether each is added, whether it waits, and which client.
    Change(Vec<(usize, bool)>, bool, usize),
    /// One of those that wait.
    Confirm(usize),
    Undo(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let rules = proptest::collection::vec((0_usize..4, any::<bool>()), 1..4);
    prop_oneof![
        6 => (rules, any::<bool>(), 0_usize..2)
            .prop_map(|(rules, waits, client)| Step::Change(rules, waits, client)),
        2 => (0_usize..8).prop_map(Step::Confirm),
        3 => (0_usize..8).prop_map(Step::Undo),
        1 => Just(Step::Restart),
    ]
}

/// Claims are numbered: four rules, and on each one of either client.
const CLAIMS: usize = 8;

fn cidr(claim: usize) -> String {
    format!("192.0.2.{}/32", claim % 4)
}

fn owner(claim: usize) -> ClientName {
    ["ops", "other"][claim / 4].parse().unwrap()
}

/// The reason that is given with an expiration.
fn because(expiration: u64) -> String {
    format!("change {expiration}")
}

fn reasoned(cidr: &str, expiration: u64) -> Job {
    with_reason(add(cidr, expiration), &because(expiration))
}

/// The last request for a claim: its expiration, and its change.
type Asked = (usize, Option<u64>, Option<ConfirmId>);

#[derive(Default)]
struct Oracle {
    asked: Vec<Asked>,
    waiting: Vec<ConfirmId>,
}

impl Oracle {
    fn now(&self, rule: usize) -> Option<u64> {
        self.asked
            .iter()
            .rev()
            .find(|a| a.0 == rule)
            .and_then(|a| a.1)
    }

    /// The outcome of a change: each rule that is different afterwards, once.
    fn write(
        &mut self,
        before: [Option<u64>; CLAIMS],
        after: [Option<u64>; CLAIMS],
        by: Option<ConfirmId>,
    ) {
        for rule in 0..CLAIMS {
            if before[rule] != after[rule] {
                self.asked.push((rule, after[rule], by));
            }
        }
    }

    fn take(&mut self, which: usize) -> Option<ConfirmId> {
        if self.waiting.is_empty() {
            return None;
        }
        let at = which % self.waiting.len();
        Some(self.waiting.remove(at))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_rule_is_what_was_asked_last_and_not_undone(steps in proptest::collection::vec(step(), 1..24)) {
        let mut lab = Lab::new();
        let mut oracle = Oracle::default();
        // Each expiration is another one, so that it tells which change it comes from.
        let mut next = 1_000_000;
        for step in steps {
            let before = std::array::from_fn(|claim| oracle.now(claim));
            match step {
                Step::Change(rules, waits, client) => {
                    let mut after = before;
                    let jobs: Vec<Job> = rules.iter().map(|(rule, adds)| {
                        next += 1;
                        let rule = &(rule + 4 * client);
                        let adds = &(*adds || !waits);
                        after[*rule] = adds.then_some(next);
                        if *adds { reasoned(&cidr(*rule), next) } else { remove(&cidr(*rule)) }
                    }).collect();
                    let id = if waits {
                        let id = lab.changes_by(&Actor::Client(owner(4 * client)), jobs);
                        oracle.waiting.extend(id);
                        id
                    } else {
                        jobs.into_iter().for_each(|job| lab.plainly(&Actor::Client(owner(4 * client)), job));
                        None
                    };
                    oracle.write(before, after, id);
                }
                Step::Confirm(which) => if let Some(id) = oracle.take(which) {
                    lab.all.confirm(id, None).unwrap();
                }
                Step::Undo(which) => if let Some(id) = oracle.take(which) {
                    lab.all.undo(id, None).unwrap();
                    oracle.asked.retain(|asked| asked.2 != Some(id));
                }
                Step::Restart => lab.restart(),
            }
            for rule in 0..CLAIMS {
                let held = lab.firewall.all_claims(RuleKey::new(Policy::Drop, cidr(rule).parse().unwrap()));
                let own = held.iter().find(|claim| claim.owner == Owner::Client(owner(rule)));
                prop_assert_eq!(own.map(|claim| claim.expiration), oracle.now(rule), "claim {}", rule);
                let reason = own.and_then(|claim| Some(claim.reason.as_ref()?.to_string()));
                prop_assert_eq!(reason, oracle.now(rule).map(because), "claim {}", rule);
            }
            let waiting: Vec<ConfirmId> = lab.all.list(None).pending.iter().map(|p| p.id).collect();
            prop_assert_eq!(waiting.len(), oracle.waiting.len());
        }
        prop_assert_eq!(lab.records(), oracle.waiting.len());
    }
}
