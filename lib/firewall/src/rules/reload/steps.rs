//! The steps of a change of sets, and their order.

use couic_common::RuleKey;

/// A change of one rule. There may be millions of them.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) key: RuleKey,
    /// The place of its group in the order, once there is one.
    rank: u32,
    /// Whether there was no rule before.
    pub(super) is_new: bool,
    /// Whether there is none afterwards.
    pub(super) is_gone: bool,
}

impl Step {
    pub(super) const fn new(key: RuleKey, is_new: bool, is_gone: bool) -> Self {
        Self {
            key,
            rank: 0,
            is_new,
            is_gone,
        }
    }

    /// How many rules more there are afterwards: 1, 0 or -1.
    pub(super) fn growth(&self) -> isize {
        isize::from(self.is_new) - isize::from(self.is_gone)
    }
}

/// Sorts the steps of one policy, which come in the order of CIDRs, so that no covered source is uncovered in between, and
/// the table grows as late as possible.
pub(super) fn in_order(mut steps: Vec<Step>) -> Vec<Step> {
    // In the order of CIDRs, a prefix is followed by those that it covers: they are a group.
    let mut growths: Vec<isize> = Vec::new();
    let mut first: Option<RuleKey> = None;
    for step in &mut steps {
        if !first.is_some_and(|first| first.cidr.contains(step.key.cidr.addr())) {
            first = Some(step.key);
            growths.push(0);
        }
        let group = growths.len() - 1;
        growths[group] += step.growth();
        // The tables have far fewer places.
        step.rank = u32::try_from(group).unwrap_or(u32::MAX);
    }
    let mut order: Vec<u32> = (0..).take(growths.len()).collect();
    order.sort_by_key(|group| growths[*group as usize]);
    let mut ranks = vec![0; order.len()];
    for (rank, group) in (0..).zip(order) {
        ranks[group as usize] = rank;
    }
    for step in &mut steps {
        step.rank = ranks[step.rank as usize];
    }
    steps.sort_unstable_by_key(|step| (step.rank, step.is_gone, step.key.cidr));
    steps
}
