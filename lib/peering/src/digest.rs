//! Digests of registers: 65,536 leaves by the hash of the key, 256 branches above them, one root.
//!
//! A digest is the XOR of the digests of its registers, so that a change costs three XORs regardless of their number.
//! Two nodes that compare root, branches and leaves find all differences in three round trips.

use couic_common::RuleKey;

use crate::{
    Record,
    record::{digest_of, leaf_of},
};

/// Number of leaves.
pub const LEAVES: usize = 1 << 16;

const BRANCHES: usize = 256;

/// The digests of the registers of one policy.
#[derive(Clone, Debug)]
pub struct Tree {
    leaves: Vec<u64>,
    branches: [u64; BRANCHES],
    root: u64,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            leaves: vec![0; LEAVES],
            branches: [0; BRANCHES],
            root: 0,
        }
    }
}

impl Tree {
    /// Adds or removes a register, which is the same operation.
    pub(crate) fn toggle(&mut self, key: RuleKey, record: &Record) {
        let digest = digest_of(key, record);
        let leaf = usize::from(leaf_of(key));
        self.leaves[leaf] ^= digest;
        self.branches[leaf / BRANCHES] ^= digest;
        self.root ^= digest;
    }

    /// The digest of all registers.
    #[must_use]
    pub const fn root(&self) -> u64 {
        self.root
    }

    /// The digest of each branch.
    #[must_use]
    pub const fn branches(&self) -> &[u64] {
        &self.branches
    }

    /// The digests of the 256 leaves of a branch.
    #[must_use]
    pub fn leaves_of(&self, branch: u8) -> &[u64] {
        let first = usize::from(branch) * BRANCHES;
        &self.leaves[first..first + BRANCHES]
    }

    /// The digest of one leaf.
    #[must_use]
    pub fn leaf(&self, leaf: u16) -> u64 {
        self.leaves[usize::from(leaf)]
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use couic_common::{Cidr, Policy};

    use super::*;
    use crate::{NodeId, RecordState, Stamp};

    #[test]
    fn digests_do_not_depend_on_order_and_go_back_to_nothing() {
        let stamp = |time| Record {
            stamp: Stamp {
                time,
                node: NodeId(7),
            },
            state: RecordState::Deleted,
            covers: 0,
            revokes: 0,
        };
        let cidr = |n: u32| Cidr::host(Ipv4Addr::from_bits(n).into());
        let (mut one, mut other) = (Tree::default(), Tree::default());
        for n in 0..1000 {
            one.toggle(RuleKey::new(Policy::Drop, cidr(n)), &stamp(5));
            other.toggle(RuleKey::new(Policy::Drop, cidr(999 - n)), &stamp(5));
        }
        assert_eq!(one.root(), other.root());
        assert_eq!(one.branches(), other.branches());
        other.toggle(RuleKey::new(Policy::Drop, cidr(3)), &stamp(5));
        other.toggle(RuleKey::new(Policy::Drop, cidr(3)), &stamp(6));
        let leaf = leaf_of(RuleKey::new(Policy::Drop, cidr(3)));
        assert_ne!(one.root(), other.root());
        let differing = |b: &u8| one.leaves_of(*b) != other.leaves_of(*b);
        let branches: Vec<u8> = (0..=255).filter(differing).collect();
        assert_eq!(branches, [leaf.to_be_bytes()[0]]);
        assert_ne!(one.leaf(leaf), other.leaf(leaf));
        for n in 0..1000 {
            one.toggle(RuleKey::new(Policy::Drop, cidr(n)), &stamp(5));
        }
        assert_eq!(one.root(), 0);
        assert!(one.leaves.iter().chain(&one.branches).all(|d| *d == 0));
    }
}
