//! What identifies a rule.

use std::fmt;

use crate::{Cidr, Policy};

/// A rule's identity: there is at most one rule for each policy and network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleKey {
    /// What happens to packets.
    pub policy: Policy,
    /// The sources.
    pub cidr: Cidr,
}

impl RuleKey {
    /// The rule of this policy for this network.
    #[must_use]
    pub const fn new(policy: Policy, cidr: Cidr) -> Self {
        Self { policy, cidr }
    }
}

impl fmt::Display for RuleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { policy, cidr } = self;
        write!(f, "{policy} {cidr}")
    }
}
