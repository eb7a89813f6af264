//! The identity of a rule.

use std::fmt;

use crate::{Cidr, Policy};

/// The identity of a rule: there is at most one rule per policy and network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleKey {
    /// The policy.
    pub policy: Policy,
    /// The network of the sources.
    pub cidr: Cidr,
}

impl RuleKey {
    /// The key of the rule of this policy for this network.
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
