//! Claims as the table of rules stores them: owner and tag are numbers, so that a claim takes 24 bytes.
//!
//! A rule filters while one claim on it lives. The claim that comes first in the order of owners (sets by name, the
//! API, peers by name) is the one that is shown, and under whose tag packets count.

use std::collections::HashMap;

use super::Owner;
use crate::dataplane::{PlaneRule, TagSlot};

/// The number of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct OwnerId(u32);

/// Every owner that ever held a claim.
#[derive(Debug, Default)]
pub(super) struct Owners {
    list: Vec<Owner>,
    ids: HashMap<Owner, OwnerId>,
}

impl Owners {
    pub(super) fn id(&mut self, owner: &Owner) -> OwnerId {
        if let Some(id) = self.ids.get(owner) {
            return *id;
        }
        let id = OwnerId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        self.list.push(owner.clone());
        self.ids.insert(owner.clone(), id);
        id
    }

    pub(super) fn get(&self, id: OwnerId) -> &Owner {
        &self.list[id.0 as usize]
    }
}

/// A claim in 24 bytes: there are at least as many as rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PackedClaim {
    /// Unix seconds; 0 = never.
    pub(super) expiration: u64,
    /// Unix seconds.
    pub(super) creation: u64,
    pub(super) owner: OwnerId,
    pub(super) slot: TagSlot,
}

/// All claims on one rule, the shown one first. Allocates only for the second claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    first: Option<PackedClaim>,
    rest: Vec<PackedClaim>,
}

impl Claims {
    pub(super) fn from_parts(first: Option<PackedClaim>, rest: Vec<PackedClaim>) -> Self {
        Self { first, rest }
    }

    pub(super) fn into_parts(self) -> (Option<PackedClaim>, Vec<PackedClaim>) {
        (self.first, self.rest)
    }

    /// The claim that is shown.
    pub(super) fn shown(&self) -> Option<&PackedClaim> {
        self.first.as_ref()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PackedClaim> {
        self.first.iter().chain(&self.rest)
    }

    pub(super) fn of(&self, owner: OwnerId) -> Option<&PackedClaim> {
        self.iter().find(|claim| claim.owner == owner)
    }

    /// Inserts a claim in place of the same owner's.
    #[must_use]
    pub(super) fn with(self, claim: PackedClaim, owners: &Owners) -> Self {
        let mut all = self.without(|other| other.owner == claim.owner);
        let Some(first) = all.first else {
            all.first = Some(claim);
            return all;
        };
        let rank = owners.get(claim.owner);
        if rank < owners.get(first.owner) {
            all.rest.insert(0, first);
            all.first = Some(claim);
        } else {
            let at = all
                .rest
                .partition_point(|other| owners.get(other.owner) < rank);
            all.rest.insert(at, claim);
        }
        all
    }

    /// Removes the claims that `gone` names.
    #[must_use]
    pub(super) fn without(self, gone: impl Fn(&PackedClaim) -> bool) -> Self {
        let Self { first, mut rest } = self;
        rest.retain(|claim| !gone(claim));
        let first = first.filter(|claim| !gone(claim));
        let first = first.or_else(|| {
            if rest.is_empty() {
                None
            } else {
                Some(rest.remove(0))
            }
        });
        Self { first, rest }
    }

    /// The rule for the data plane: the shown tag, and when the last claim ends.
    pub(super) fn plane_rule(&self) -> Option<PlaneRule> {
        let shown = self.first?;
        let forever = self.iter().any(|claim| claim.expiration == 0);
        let last = self.iter().map(|claim| claim.expiration).max().unwrap_or(0);
        Some(PlaneRule {
            slot: shown.slot,
            deadline: if forever { 0 } else { last },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(owners: &mut Owners, owner: &Owner, expiration: u64) -> PackedClaim {
        PackedClaim {
            expiration,
            creation: 1,
            owner: owners.id(owner),
            slot: TagSlot::UNTAGGED,
        }
    }

    #[test]
    fn a_claim_is_small() {
        assert_eq!(size_of::<PackedClaim>(), 24);
    }

    #[test]
    fn sets_are_shown_before_the_api_before_peers() {
        let owners = &mut Owners::default();
        let peer = claim(owners, &Owner::Peer("p".parse().unwrap()), 5);
        let api = claim(owners, &Owner::Api, 9);
        let set_b = claim(owners, &Owner::Set("b".parse().unwrap()), 0);
        let set_a = claim(owners, &Owner::Set("a".parse().unwrap()), 0);
        let all = [peer, set_b, api, set_a];
        let claims = all
            .iter()
            .fold(Claims::default(), |claims, c| claims.with(*c, owners));
        assert_eq!(
            claims.iter().copied().collect::<Vec<_>>(),
            [set_a, set_b, api, peer]
        );
        assert_eq!(claims.plane_rule().unwrap().deadline, 0);
        let claims = claims.without(|c| matches!(owners.get(c.owner), Owner::Set(_)));
        assert_eq!(claims.shown(), Some(&api));
        assert_eq!(claims.plane_rule().unwrap().deadline, 9);
        let renewed = PackedClaim {
            expiration: 3,
            ..api
        };
        let claims = claims.with(renewed, owners);
        assert_eq!(claims.iter().copied().collect::<Vec<_>>(), [renewed, peer]);
        assert_eq!(claims.plane_rule().unwrap().deadline, 5);
        assert_eq!(claims.without(|_| true), Claims::default());
    }
}
