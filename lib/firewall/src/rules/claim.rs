//! A claim as everything outside of the rule table handles it. The table packs claims: see `packed`.

use couic_common::Policy;
use couic_common::{Cidr, ClientName, RuleKey, SetName, Tag};
use serde::{Deserialize, Serialize};

use super::Actor;

/// Who holds a claim, in the order in which claims are shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A set file, by the set's name.
    Set(SetName),
    /// All clients of the API together.
    Api,
    /// A peer, by name.
    Peer(ClientName),
}

impl Owner {
    /// Whose claim an actor changes. None for expiry, which ends any claim.
    pub(super) fn of(actor: &Actor) -> Option<Self> {
        match actor {
            Actor::Client(_) => Some(Self::Api),
            Actor::Peer(name) => Some(Self::Peer(name.clone())),
            Actor::Set(name) => Some(Self::Set(name.clone())),
            Actor::Expiry => None,
        }
    }

    /// Whether it is a set: claims of sets are restored from the set files, and stay on this node.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        matches!(self, Self::Set(_))
    }

    /// The API.
    const fn api() -> Self {
        Self::Api
    }
}

/// The request of one owner for a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Who holds it. Not serialized: in a confirmation's record it stands beside the claim.
    #[serde(skip, default = "Owner::api")]
    pub owner: Owner,
    /// The label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Unix seconds; 0 = never.
    pub expiration: u64,
    /// Unix seconds.
    pub creation: u64,
}

impl Claim {
    /// Whether both lists ask for the same, regardless of when the claims were made.
    #[must_use]
    pub fn alike<'a>(
        one: impl IntoIterator<Item = &'a Self>,
        other: impl IntoIterator<Item = &'a Self>,
    ) -> bool {
        one.into_iter()
            .map(Self::terms)
            .eq(other.into_iter().map(Self::terms))
    }

    fn terms(&self) -> (&Owner, Option<&Tag>, u64) {
        (&self.owner, self.tag.as_ref(), self.expiration)
    }

    /// Whether its time is over.
    #[must_use]
    pub const fn is_over(&self, now: u64) -> bool {
        self.expiration != 0 && self.expiration <= now
    }
}

/// A [`Claim`] whose parts lie elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimRef<'a> {
    /// Who holds it.
    pub owner: &'a Owner,
    /// The label.
    pub tag: Option<&'a Tag>,
    /// Unix seconds; 0 = never.
    pub expiration: u64,
    /// Unix seconds.
    pub creation: u64,
}

impl<'a> From<&'a Claim> for ClaimRef<'a> {
    fn from(claim: &'a Claim) -> Self {
        Self {
            owner: &claim.owner,
            tag: claim.tag.as_ref(),
            expiration: claim.expiration,
            creation: claim.creation,
        }
    }
}

impl ClaimRef<'_> {
    pub(super) fn to_claim(self) -> Claim {
        Claim {
            owner: self.owner.clone(),
            tag: self.tag.cloned(),
            expiration: self.expiration,
            creation: self.creation,
        }
    }
}

/// A rule to be added, its values already checked one by one. Whose claim it becomes is the actor's matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The network.
    pub cidr: Cidr,
    /// The label.
    pub tag: Option<Tag>,
    /// Unix seconds; 0 = never. The core checks against its clock that it lies in the future.
    pub expiration: u64,
}

impl ClaimRequest {
    pub(super) const fn key(&self, policy: Policy) -> RuleKey {
        RuleKey::new(policy, self.cidr)
    }
}
