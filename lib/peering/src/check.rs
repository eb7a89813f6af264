//! A comparison with a peer, one policy after the other: root, branches, leaves, then the registers in the differing
//! leaves. One request at a time.

mod pull;

pub use pull::PullOutcome;

use std::collections::{HashMap, VecDeque};

use couic_common::Policy;

use crate::{Mark, Of, Replica, replica::Place};

/// Branches per request: 64 KiB of digests in memory, some 170 KB on the wire.
const BRANCHES_AT_ONCE: usize = 32;

/// Ranges of leaves per pull.
const RANGES_AT_ONCE: usize = 1_024;

/// Number of comparisons in which a leaf may differ in the same way before it is skipped: by then, one side is known to
/// reject registers of the other. At powers of two, ever more rarely, it is looked at again: what was rejected may be
/// accepted later.
const MAX_REPEATS: u32 = 3;

/// Number of comparisons after which a skipped leaf is looked at again at the latest.
const RETRY_SKIPPED: u32 = 32;

/// Differing leaves of the last comparison: local digest, remote digest, and number of times in a row.
pub(crate) type KnownLeaves = HashMap<(Policy, u16), (u64, u64, u32)>;

/// A comparison in progress.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    policies: VecDeque<Policy>,
    step: Step,
    /// Differing leaves that were not pulled yet, in ascending order.
    leaves: Vec<(u16, u16)>,
    /// The last place that was answered, in the first of these.
    after: Option<Place>,
    /// Pages so far, and those of the leaf of `after`.
    pages: (u32, u32),
    /// Differing registers found.
    pub(crate) differing: u64,
    /// Whether all digests so far were equal.
    pub(crate) equal: bool,
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
    Pull(Policy, Vec<(u16, u16)>, Option<Mark>),
}

impl Check {
    pub(crate) fn new(policies: &[Policy]) -> Self {
        Self {
            policies: policies.iter().copied().collect(),
            step: Step::Root,
            leaves: Vec::new(),
            after: None,
            pages: (0, 0),
            differing: 0,
            equal: true,
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
                Question::Pull(policy, some.collect(), self.after.map(Mark::new))
            }
        })
    }

    fn next_policy(&mut self) {
        self.policies.pop_front();
        self.step = Step::Root;
        self.leaves.clear();
        self.after = None;
    }

    /// Handles a peer that does not share this policy with this node.
    pub(crate) fn declined(&mut self) {
        self.next_policy();
    }

    /// Processes a response with digests. False if they do not match the request.
    pub(crate) fn digests(
        &mut self,
        replica: &Replica,
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
                    self.equal = false;
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
            let is_due = times.is_power_of_two() || times.is_multiple_of(RETRY_SKIPPED);
            if times > MAX_REPEATS && !is_due {
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

    /// Handles a request that was too large for a proxy in between.
    pub(crate) fn too_large(&mut self) {
        self.ranges_at_once = (self.ranges_at_once / 2).max(1);
    }
}
