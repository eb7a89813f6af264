//! Claims as the table of rules stores them: owner, tag and reason are numbers, so that a claim takes 24 bytes.
//!
//! A rule filters while one claim on it lives. The claim that comes first (sets by name, then clients, the last written
//! first, then peers by name) is the one whose tag is shown, and under whose tag packets count.

use std::collections::HashMap;

use couic_common::ReasonId;

use super::Owner;
use crate::dataplane::{PlaneRule, TagSlot};

/// The number of an owner, and its rank, so that nearly no comparison needs its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct OwnerId(u32);

/// The order in which claims are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Set,
    Client,
    Peer,
}

impl OwnerId {
    /// The bits of the number; those above have the rank and whether the owner is a known client.
    const BITS: u32 = 28;

    fn new(index: usize, owner: &Owner) -> Self {
        let index = u32::try_from(index).unwrap_or(u32::MAX) & ((1 << Self::BITS) - 1);
        let kind = match owner {
            Owner::Set(_) => 0,
            Owner::Client(_) => 1,
            Owner::Api => 2,
            Owner::Peer(_) => 3,
        };
        Self(kind << Self::BITS | index)
    }

    const fn index(self) -> usize {
        (self.0 & ((1 << Self::BITS) - 1)) as usize
    }

    const fn rank(self) -> Rank {
        match self.0 >> Self::BITS {
            0 => Rank::Set,
            1 | 2 => Rank::Client,
            _ => Rank::Peer,
        }
    }

    /// Whether it is a set.
    pub(super) fn is_set(self) -> bool {
        self.rank() == Rank::Set
    }

    /// Whether it is a client, known or not.
    pub(super) fn is_client(self) -> bool {
        self.rank() == Rank::Client
    }

    /// Whether the owner has a claim for each tag, rather than one.
    const fn has_claim_by_tag(self) -> bool {
        self.0 >> Self::BITS == 1
    }
}

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
        let id = OwnerId::new(self.list.len(), owner);
        self.list.push(owner.clone());
        self.ids.insert(owner.clone(), id);
        id
    }

    pub(super) fn get(&self, id: OwnerId) -> &Owner {
        &self.list[id.index()]
    }

    /// Whether the new claim of the first comes before that of the second.
    fn is_before(&self, new: OwnerId, other: OwnerId) -> bool {
        match (new.rank(), other.rank()) {
            (Rank::Client, Rank::Client) => true,
            (a, b) if a != b => a < b,
            _ => self.get(new) < self.get(other),
        }
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
    pub(super) reason: ReasonId,
}

impl PackedClaim {
    /// Whether it is the claim of that owner under that tag: a rule has it once.
    pub(super) fn is_of(&self, owner: OwnerId, slot: TagSlot) -> bool {
        self.owner == owner && (self.slot == slot || !owner.has_claim_by_tag())
    }

    fn replaces(&self, other: &Self) -> bool {
        other.is_of(self.owner, self.slot)
    }
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

    pub(super) fn iter(&self) -> impl Iterator<Item = &PackedClaim> + Clone {
        self.first.iter().chain(&self.rest)
    }

    /// One claim of each owner.
    pub(super) fn owners(&self) -> impl Iterator<Item = &PackedClaim> {
        let is_first = |(at, claim): &(usize, &PackedClaim)| {
            self.iter().position(|other| other.owner == claim.owner) == Some(*at)
        };
        self.iter()
            .enumerate()
            .filter(is_first)
            .map(|(_, claim)| claim)
    }

    /// The first claim of an owner; a set or a peer has one.
    pub(super) fn of(&self, owner: OwnerId) -> Option<&PackedClaim> {
        self.iter().find(|claim| claim.owner == owner)
    }

    /// The claim in the place that `claim` would take.
    pub(super) fn like(&self, claim: &PackedClaim) -> Option<&PackedClaim> {
        self.iter().find(|other| claim.replaces(other))
    }

    /// Inserts a claim in place of the one that it replaces.
    #[must_use]
    pub(super) fn with(self, claim: PackedClaim, owners: &Owners) -> Self {
        let mut all = self.without(|other| claim.replaces(other));
        let Some(first) = all.first else {
            all.first = Some(claim);
            return all;
        };
        if owners.is_before(claim.owner, first.owner) {
            all.rest.insert(0, first);
            all.first = Some(claim);
        } else {
            let is_after = |other: &PackedClaim| !owners.is_before(claim.owner, other.owner);
            let at = all.rest.partition_point(is_after);
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
        Some(PlaneRule {
            slot: shown.slot,
            deadline: last_end(self.iter()),
        })
    }

    /// How many of the claims are clients'.
    pub(super) fn clients(&self) -> usize {
        self.iter().filter(|claim| claim.owner.is_client()).count()
    }
}

/// When the last of these claims ends; 0 = never.
pub(super) fn last_end<'a>(claims: impl Iterator<Item = &'a PackedClaim>) -> u64 {
    // Never is 0, which becomes the largest by wrapping around, and comes back.
    let last = claims.map(|claim| claim.expiration.wrapping_sub(1)).max();
    last.unwrap_or(u64::MAX).wrapping_add(1)
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
            reason: ReasonId::NONE,
        }
    }

    #[test]
    fn a_claim_is_small_and_a_reason_takes_nothing() {
        assert_eq!(size_of::<PackedClaim>(), 24);
    }

    #[test]
    fn sets_are_shown_before_clients_before_peers() {
        let owners = &mut Owners::default();
        let peer = claim(owners, &Owner::Peer("p".parse().unwrap()), 5);
        let client = claim(owners, &Owner::Client("c".parse().unwrap()), 9);
        let set_b = claim(owners, &Owner::Set("b".parse().unwrap()), 0);
        let set_a = claim(owners, &Owner::Set("a".parse().unwrap()), 0);
        let all = [peer, set_b, client, set_a];
        let claims = all
            .iter()
            .fold(Claims::default(), |claims, c| claims.with(*c, owners));
        assert_eq!(
            claims.iter().copied().collect::<Vec<_>>(),
            [set_a, set_b, client, peer]
        );
        assert_eq!(claims.plane_rule().unwrap().deadline, 0);
        let claims = claims.without(|c| c.owner.is_set());
        assert_eq!(claims.shown(), Some(&client));
        assert_eq!(claims.plane_rule().unwrap().deadline, 9);
        let renewed = PackedClaim {
            expiration: 3,
            ..client
        };
        let claims = claims.with(renewed, owners);
        assert_eq!(claims.iter().copied().collect::<Vec<_>>(), [renewed, peer]);
        assert_eq!(claims.plane_rule().unwrap().deadline, 5);
        assert_eq!(claims.without(|_| true), Claims::default());
    }

    #[test]
    fn a_client_has_a_claim_for_each_tag_and_the_last_written_is_shown() {
        let owners = &mut Owners::default();
        let tagged = |claim: PackedClaim, slot| PackedClaim {
            slot: TagSlot::new(slot).unwrap(),
            ..claim
        };
        let name = |text: &str| text.parse().unwrap();
        let sshd = tagged(claim(owners, &Owner::Client(name("f2b")), 9), 1);
        let long = tagged(claim(owners, &Owner::Client(name("f2b")), 0), 2);
        let ops = tagged(claim(owners, &Owner::Client(name("ops")), 7), 1);
        // A peer and an unknown client have one, whatever its tag.
        let peer = claim(owners, &Owner::Peer(name("f2b")), 4);
        let api = claim(owners, &Owner::Api, 4);
        let all = [sshd, peer, api, long, ops, tagged(peer, 1), tagged(api, 1)];
        let claims = all
            .iter()
            .fold(Claims::default(), |claims, c| claims.with(*c, owners));
        let shown: Vec<_> = claims.iter().copied().collect();
        assert_eq!(shown, [tagged(api, 1), ops, long, sshd, tagged(peer, 1)]);
        assert_eq!(
            (claims.clients(), claims.plane_rule().unwrap().deadline),
            (4, 0)
        );
        let claims = claims
            .with(sshd, owners)
            .without(|c| c.is_of(long.owner, long.slot));
        assert_eq!(claims.shown(), Some(&sshd));
        assert_eq!(claims.plane_rule().unwrap().deadline, 9);
    }
}
