//! Many changes, some of which are pending, confirmed and undone in any order, against a list of the requests.
//!
//! The oracle: a rule is the result of the last change that was not undone. Permanent changes only add here, each with
//! another expiration: two removals could not be told apart.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Which rules, whether each is added, whether it waits.
    Change(Vec<(usize, bool)>, bool),
    /// One of those that wait.
    Confirm(usize),
    Undo(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let rules = proptest::collection::vec((0_usize..4, any::<bool>()), 1..4);
    prop_oneof![
        6 => (rules, any::<bool>()).prop_map(|(rules, waits)| Step::Change(rules, waits)),
        2 => (0_usize..8).prop_map(Step::Confirm),
        3 => (0_usize..8).prop_map(Step::Undo),
        1 => Just(Step::Restart),
    ]
}

fn cidr(rule: usize) -> String {
    format!("192.0.2.{rule}/32")
}

/// The last request for a rule: its expiration, and its change.
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
    fn write(&mut self, before: [Option<u64>; 4], after: [Option<u64>; 4], by: Option<ConfirmId>) {
        for rule in 0..4 {
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
            let before = [0, 1, 2, 3].map(|rule| oracle.now(rule));
            match step {
                Step::Change(rules, waits) => {
                    let mut after = before;
                    let jobs: Vec<Job> = rules.iter().map(|(rule, adds)| {
                        next += 1;
                        let adds = &(*adds || !waits);
                        after[*rule] = adds.then_some(next);
                        if *adds { add(&cidr(*rule), next) } else { remove(&cidr(*rule)) }
                    }).collect();
                    let id = if waits {
                        let id = lab.changes(jobs);
                        oracle.waiting.extend(id);
                        id
                    } else {
                        jobs.into_iter().for_each(|job| lab.plainly(&Actor::Client(ops()), job));
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
            for rule in 0..4 {
                prop_assert_eq!(lab.expiration(&cidr(rule)), oracle.now(rule), "rule {}", rule);
            }
            let waiting: Vec<ConfirmId> = lab.all.list(None).pending.iter().map(|p| p.id).collect();
            prop_assert_eq!(waiting.len(), oracle.waiting.len());
        }
        prop_assert_eq!(lab.records(), oracle.waiting.len());
    }
}
