//! A comparison with a peer, one policy after the other: root, branches, leaves, then the registers in the differing
//! leaves. One request at a time.

use std::collections::{HashMap, VecDeque};

use couic_common::{Cidr, Policy, RuleKey};

use crate::{Moment, Of, PullAnswer, Record, Replica, Stamp};

/// Branches per request: 64 KiB of digests in memory, some 170 KB on the wire.
const BRANCHES_AT_ONCE: usize = 32;

/// Ranges of leaves per pull.
const RANGES_AT_ONCE: usize = 1_024;

/// Number of comparisons in which a leaf may differ in the same way before it is skipped: by then, one side is known to
/// reject registers of the other.
const MAX_REPEATS: u32 = 3;

/// Differing leaves of the last comparison: local digest, remote digest, and number of times in a row.
pub(crate) type KnownLeaves = HashMap<(Policy, u16), (u64, u64, u32)>;

/// A comparison in progress.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    policies: VecDeque<Policy>,
    step: Step,
    /// Differing leaves that were not pulled yet, in ascending order.
    leaves: Vec<(u16, u16)>,
    /// Differing registers found.
    pub(crate) differing: u64,
    /// Skipped leaves, which keep differing in the same way.
    pub(crate) skipped: u64,
    /// Differing leaves, for the next comparison.
    pub(crate) found: KnownLeaves,
    ranges_at_once: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Root,
    Branches,
    Leaves(VecDeque<u8>),
    Pull,
}

/// The next request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    Digest(Policy, Of),
    Pull(Policy, Vec<(u16, u16)>),
}

/// The result of a pull.
#[derive(Debug)]
pub struct PullOutcome {
    /// The policy.
    pub policy: Policy,
    /// Registers of the peer that are later than the local ones.
    pub theirs: Vec<(Cidr, Record)>,
    /// Number of invalid registers.
    pub unreadable: u64,
    /// The error in the first of these.
    pub problem: Option<String>,
}

impl PullOutcome {
    pub(crate) const fn nothing(policy: Policy) -> Self {
        Self {
            policy,
            theirs: Vec::new(),
            unreadable: 0,
            problem: None,
        }
    }
}

impl Check {
    pub(crate) fn new(policies: &[Policy]) -> Self {
        Self {
            policies: policies.iter().copied().collect(),
            step: Step::Root,
            leaves: Vec::new(),
            differing: 0,
            skipped: 0,
            found: KnownLeaves::new(),
            ranges_at_once: RANGES_AT_ONCE,
        }
    }

    /// None once everything is compared.
    pub(crate) fn question(&self) -> Option<Question> {
        let policy = *self.policies.front()?;
        Some(match &self.step {
            Step::Root => Question::Digest(policy, Of::Root),
            Step::Branches => Question::Digest(policy, Of::Branches),
            Step::Leaves(branches) => {
                let some = branches.iter().take(BRANCHES_AT_ONCE).copied();
                Question::Digest(policy, Of::Leaves(some.collect()))
            }
            Step::Pull => {
                let some = self.leaves.iter().take(self.ranges_at_once).copied();
                Question::Pull(policy, some.collect())
            }
        })
    }

    fn next_policy(&mut self) {
        self.policies.pop_front();
        self.step = Step::Root;
        self.leaves.clear();
    }

    /// Handles a peer that does not share this policy with this node.
    pub(crate) fn declined(&mut self) {
        self.next_policy();
    }

    /// Processes a response with digests. False if they do not match the request.
    pub(crate) fn digests<L>(
        &mut self,
        replica: &Replica<L>,
        known: &KnownLeaves,
        theirs: &[u64],
    ) -> bool {
        let Some(policy) = self.policies.front().copied() else {
            return false;
        };
        let tree = replica.tree(policy);
        match std::mem::replace(&mut self.step, Step::Root) {
            Step::Root => {
                let [root] = theirs else { return false };
                if *root == tree.root() {
                    self.next_policy();
                } else {
                    self.step = Step::Branches;
                }
            }
            Step::Branches => {
                if theirs.len() != tree.branches().len() {
                    return false;
                }
                let pairs = tree.branches().iter().zip(theirs).zip(0..=255_u8);
                let differing = pairs.filter(|((a, b), _)| a != b).map(|(_, n)| n);
                self.step = Step::Leaves(differing.collect());
                self.leaves_done();
            }
            Step::Leaves(mut branches) => {
                let some: Vec<u8> = branches
                    .drain(..branches.len().min(BRANCHES_AT_ONCE))
                    .collect();
                if theirs.len() != some.len() * 256 {
                    return false;
                }
                for (branch, theirs) in some.into_iter().zip(theirs.chunks(256)) {
                    let ours = tree.leaves_of(branch);
                    self.leaves_of(policy, branch, (ours, theirs), known);
                }
                self.step = Step::Leaves(branches);
                self.leaves_done();
            }
            Step::Pull => return false,
        }
        true
    }

    fn leaves_of(
        &mut self,
        policy: Policy,
        branch: u8,
        (ours, theirs): (&[u64], &[u64]),
        known: &KnownLeaves,
    ) {
        for ((ours, theirs), low) in ours.iter().zip(theirs).zip(0..=255_u8) {
            let leaf = u16::from_be_bytes([branch, low]);
            if ours == theirs {
                continue;
            }
            let times = match known.get(&(policy, leaf)) {
                Some((a, b, times)) if (a, b) == (ours, theirs) => times.saturating_add(1),
                _ => 1,
            };
            self.found.insert((policy, leaf), (*ours, *theirs, times));
            if times > MAX_REPEATS {
                self.skipped += 1;
            } else {
                match self.leaves.last_mut() {
                    Some((_, last)) if leaf > 0 && *last == leaf - 1 => *last = leaf,
                    _ => self.leaves.push((leaf, leaf)),
                }
            }
        }
    }

    fn leaves_done(&mut self) {
        if self.step == Step::Leaves(VecDeque::new()) {
            if self.leaves.is_empty() {
                self.next_policy();
            } else {
                self.step = Step::Pull;
            }
        }
    }

    /// Processes a pull, translating times by `gap`. Calls `send` for each local register that the peer lacks.
    pub(crate) fn pulled<L>(
        &mut self,
        replica: &Replica<L>,
        answer: &PullAnswer,
        gap: i64,
        now: Moment,
        mut send: impl FnMut(RuleKey),
    ) -> PullOutcome {
        let (Some(policy), Step::Pull) = (self.policies.front().copied(), &self.step) else {
            return PullOutcome::nothing(Policy::Drop);
        };
        let mut outcome = PullOutcome::nothing(policy);
        let mut stamps: HashMap<Cidr, Stamp> = HashMap::with_capacity(answer.records.len());
        for record in &answer.records {
            match record.read(gap.saturating_neg()) {
                Ok((cidr, record)) => {
                    stamps.insert(cidr, record.stamp);
                    let ours = replica
                        .get(RuleKey::new(policy, cidr))
                        .map(|slot| slot.record.stamp);
                    if ours < Some(record.stamp) {
                        self.differing += 1;
                        outcome.theirs.push((cidr, record));
                    }
                }
                Err(problem) => {
                    outcome.unreadable += 1;
                    outcome.problem.get_or_insert(problem);
                }
            }
        }
        // Without progress, the request would repeat forever.
        let first = self.leaves.first().map_or(0, |(first, _)| *first);
        let next = answer.next.filter(|next| *next > first);
        for range in self.cover(next) {
            for (_, cidr, slot) in replica.in_leaves(policy, range) {
                if stamps.get(&cidr) < Some(&slot.record.stamp) && !replica.is_over(slot, now) {
                    self.differing += 1;
                    send(RuleKey::new(policy, cidr));
                }
            }
        }
        if self.leaves.is_empty() {
            self.next_policy();
        }
        outcome
    }

    /// Removes the ranges covered by a response, up to `next`, from the list.
    fn cover(&mut self, next: Option<u16>) -> Vec<(u16, u16)> {
        let asked = self.leaves.len().min(self.ranges_at_once);
        let mut covered: Vec<_> = self.leaves.drain(..asked).collect();
        let Some(next) = next else {
            return covered;
        };
        let mut left = Vec::new();
        covered.retain_mut(|(first, last)| {
            if *last >= next {
                left.push(((*first).max(next), *last));
                *last = next.saturating_sub(1);
            }
            *first < next
        });
        left.append(&mut self.leaves);
        self.leaves = left;
        covered
    }

    /// Handles a request that was too large for a proxy in between.
    pub(crate) fn too_large(&mut self) {
        self.ranges_at_once = (self.ranges_at_once / 2).max(1);
    }
}
