//! A claim as everything outside of the rule table handles it. The table packs claims: see `packed`.

use std::fmt;

use couic_common::Policy;
use couic_common::{Cidr, ClientName, OwnerKind, Reason, RuleKey, RuleOwner, SetName, Tag};
use serde::{Deserialize, Serialize};

use super::Actor;

/// Who holds a claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// A set file, by the set's name.
    Set(SetName),
    /// A client of the API, by name. It has one claim for each tag.
    Client(ClientName),
    /// Some client of the API: which one is not known, since the claim was made by a version that did not tell them
    /// apart, or by a peer's register that this node wrote. Every client may release it, and takes it over when it
    /// renews the rule under the same tag. Peering sees all claims of clients as one of this owner.
    Api,
    /// A peer, by name.
    Peer(ClientName),
}

impl Owner {
    /// Whose claim an actor changes. None for expiry, which ends any claim.
    pub(super) fn of(actor: &Actor) -> Option<Self> {
        match actor {
            Actor::Client(name) => Some(Self::Client(name.clone())),
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

    /// Whether it is a client of the API, known or not.
    #[must_use]
    pub const fn is_client(&self) -> bool {
        matches!(self, Self::Client(_) | Self::Api)
    }

    /// Whether the actor may release this owner's claims as its own.
    fn is_of(&self, actor: &Actor) -> bool {
        match (actor, self) {
            (Actor::Client(own), Self::Client(name)) | (Actor::Peer(own), Self::Peer(name)) => {
                own == name
            }
            (Actor::Set(own), Self::Set(name)) => own == name,
            (Actor::Client(_), Self::Api) => true,
            _ => false,
        }
    }

    /// Its kind and name, as shown.
    #[must_use]
    pub fn shown(&self) -> (OwnerKind, Option<&str>) {
        match self {
            Self::Set(name) => (OwnerKind::Set, Some(name.as_str())),
            Self::Client(name) => (OwnerKind::Client, Some(name.as_str())),
            Self::Api => (OwnerKind::Client, None),
            Self::Peer(name) => (OwnerKind::Peer, Some(name.as_str())),
        }
    }

    /// Whether it is the actor itself.
    #[must_use]
    pub fn is_actor(&self, actor: &Actor) -> bool {
        *self != Self::Api && self.is_of(actor)
    }

    /// A client.
    const fn api() -> Self {
        Self::Api
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shown() {
            (kind, Some(name)) => write!(f, "{} {name}", kind.as_str()),
            (kind, None) => write!(f, "a {}", kind.as_str()),
        }
    }
}

/// Tells a rule's claims apart: an owner has one, a client one for each tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId {
    /// Who holds it.
    pub owner: Owner,
    /// The label of a client's claim; None for all other owners.
    pub tag: Option<Tag>,
}

impl ClaimId {
    /// The claim of this owner under this tag.
    #[must_use]
    pub fn new(owner: Owner, tag: Option<Tag>) -> Self {
        let tag = tag.filter(|_| matches!(owner, Owner::Client(_)));
        Self { owner, tag }
    }
}

/// Which claims on a rule are to be released. Those of sets never are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimScope {
    /// Only those under this tag; `Some(None)` = those without a tag.
    pub tag: Option<Option<Tag>>,
    /// Those of all clients and peers, not only the actor's own.
    pub all_owners: bool,
}

impl ClaimScope {
    /// All of the actor's own.
    pub const OWN: Self = Self {
        tag: None,
        all_owners: false,
    };

    /// Those of all clients and peers.
    pub const ALL: Self = Self {
        tag: None,
        all_owners: true,
    };

    /// Whether the actor releases a claim.
    pub(super) fn takes(&self, actor: &Actor, owner: &Owner, tag: Option<&Tag>) -> bool {
        let is_meant = if self.all_owners {
            !owner.is_set()
        } else {
            owner.is_of(actor)
        };
        is_meant
            && self
                .tag
                .as_ref()
                .is_none_or(|wanted| wanted.as_ref() == tag)
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
    /// Why it was made, as far as that was given and there was room to keep it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
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

    /// What tells it apart from the rule's other claims.
    #[must_use]
    pub fn id(&self) -> ClaimId {
        ClaimId::new(self.owner.clone(), self.tag.clone())
    }

    fn terms(&self) -> (&Owner, Option<&Tag>, u64, Option<&Reason>) {
        let (tag, reason) = (self.tag.as_ref(), self.reason.as_ref());
        (&self.owner, tag, self.expiration, reason)
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
    /// Why it was made.
    pub reason: Option<&'a Reason>,
}

impl<'a> From<&'a Claim> for ClaimRef<'a> {
    fn from(claim: &'a Claim) -> Self {
        Self {
            owner: &claim.owner,
            tag: claim.tag.as_ref(),
            expiration: claim.expiration,
            creation: claim.creation,
            reason: claim.reason.as_ref(),
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
            reason: self.reason.cloned(),
        }
    }

    pub(super) fn shown(self) -> RuleOwner {
        let (kind, name) = self.owner.shown();
        RuleOwner {
            kind,
            name: name.map(str::to_owned),
            tag: self.tag.cloned(),
            expiration: self.expiration,
            reason: self.reason.cloned(),
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
