//! Requests to the firewall core, its results, and its errors.

use std::{fmt, sync::Arc};

use couic_common::{
    ALL_OWNERS_HINT, Cidr, ClientName, Entry, Metadata, Policy, RuleKey, RuleOwner, SetName, Tag,
    UNTAGGED,
};

use super::{ClaimRequest, ClaimScope, Owner, Request, Shared};
use crate::dataplane::PlaneError;

/// Who made a change. Decides whose claim it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A client of the API, by name. Has a claim of its own for each tag.
    Client(ClientName),
    /// A peer, by the name of its token. Has a claim of its own.
    Peer(ClientName),
    /// A set file.
    Set(SetName),
    /// Time: the entry's expiration passed.
    Expiry,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(name) => write!(f, "client {name}"),
            Self::Peer(name) => write!(f, "peer {name}"),
            Self::Set(name) => write!(f, "set {name}"),
            Self::Expiry => f.write_str("expiry"),
        }
    }
}

/// Who made a change and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// Who.
    pub actor: Actor,
    /// Why, in the requester's words; goes to reports untouched.
    pub metadata: Option<Arc<Metadata>>,
}

impl Origin {
    /// The reason for a claim that is made, if it gives one: the detail of its metadata.
    pub(super) fn reason(&self) -> Option<&str> {
        let detail = self.metadata.as_ref()?.detail.as_str();
        Some(detail).filter(|detail| !detail.trim().is_empty())
    }
}

/// One change of a rule that a client or a peer asks for.
#[derive(Clone, Debug)]
pub enum Job {
    /// Add, or renew an existing rule.
    Add(ClaimRequest, Option<Arc<Metadata>>),
    /// Add or renew, also where [`Job::Add`] may only add, and never shorten the claim: of its expiration and this one the later stays.
    Extend(ClaimRequest, Option<Arc<Metadata>>),
    /// Release claims.
    Remove(Cidr, ClaimScope, Option<Arc<Metadata>>),
}

impl Job {
    pub(super) const fn key(&self, policy: Policy) -> RuleKey {
        match self {
            Self::Add(request, _) | Self::Extend(request, _) => request.key(policy),
            Self::Remove(cidr, ..) => RuleKey::new(policy, *cidr),
        }
    }
}

/// The effect of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// The entry is new.
    Added,
    /// Its tag or expiration changed.
    Updated,
    /// It was as wanted already.
    Unchanged,
    /// The claims were released, and the rule is gone with them.
    Removed,
    /// The claims were released; the rule stays in force by those of others.
    Released,
}

/// The event of a rule, for subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The rule is in force from now on.
    Added,
    /// Its shown tag or expiration changed.
    Updated,
    /// A claim ended, and the rule stays in force by others: with another tag or expiration shown.
    Released,
    /// It is no longer in force.
    Removed,
}

/// A change of the rules in force. Subscribers receive these in the order in which they took effect.
#[derive(Clone, Debug)]
pub struct RuleEvent {
    /// Counts from 1 without gaps, over all events of the process.
    pub seq: u64,
    /// Unix seconds.
    pub at: u64,
    /// The event.
    pub kind: EventKind,
    /// The rule's policy.
    pub policy: Policy,
    /// The rule as it is shown, or as it was shown before it went.
    pub entry: Entry,
    /// The tag that it was shown with before the change: that of `entry` if this is not another one.
    pub former_tag: Option<Tag>,
    /// Who did it, and why.
    pub origin: Origin,
    /// Whose claim was made, changed or ended; of several, the first that was shown.
    pub owner: Owner,
    /// The request that made the change, if one did.
    pub request: Option<Arc<Request>>,
}

/// Why a change was refused. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
pub enum FirewallError {
    /// There is such an entry already.
    #[error("{key} is there already")]
    Exists {
        /// The rule asked for.
        key: RuleKey,
    },
    /// There is no such entry.
    #[error("{key} is not there")]
    NotFound {
        /// The rule asked for.
        key: RuleKey,
    },
    /// A set defines the entry, so that only a change of the set takes it away.
    #[error("{key} is defined by the set {set}: take it out of that set and reload")]
    OfSet {
        /// The rule asked for.
        key: RuleKey,
        /// The first set that claims it, in the order of names.
        set: SetName,
    },
    /// The client has no claim on the entry: others hold it.
    #[error(
        "{key} is held by {}, and not by you: it stays in force. A client of group admin ends the claims of all clients and peers: {ALL_OWNERS_HINT}",
        RuleOwner::list(holders, *now)
    )]
    OfOthers {
        /// The rule asked for.
        key: RuleKey,
        /// Its claims.
        holders: Vec<RuleOwner>,
        /// The daemon's time, Unix seconds.
        now: u64,
    },
    /// There is no claim under that tag that may be released. Others hold the entry.
    #[error(
        "you have no claim with the tag {} on {key}, which stays in force: it is held by {}",
        tag.as_ref().map_or(UNTAGGED, Tag::as_str),
        RuleOwner::list(holders, *now)
    )]
    NoClaim {
        /// The rule asked for.
        key: RuleKey,
        /// The tag asked for.
        tag: Option<Tag>,
        /// Its claims.
        holders: Vec<RuleOwner>,
        /// The daemon's time, Unix seconds.
        now: u64,
    },
    /// As many claims of clients are on the entry as there can be, or as many in all.
    #[error("{key} has too many claims of clients: at most {limit} {what}; release some of them")]
    TooManyClaims {
        /// The rule asked for.
        key: RuleKey,
        /// How many there can be.
        limit: usize,
        /// What is limited.
        what: &'static str,
    },
    /// The expiration does not lie in the future.
    #[error("the expiration {expiration} is not in the future: it is {now} now")]
    Expired {
        /// The requested time, Unix seconds.
        expiration: u64,
        /// The daemon's time, Unix seconds.
        now: u64,
    },
    /// The table is full.
    #[error(
        "the {policy} table for {family} is full: {limit} entries; raise [limits] {policy}_entries and restart, or remove entries"
    )]
    Full {
        /// The policy asked for.
        policy: Policy,
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Its capacity.
        limit: usize,
    },
    /// As many tags are in use as can be counted.
    #[error("{limit} different tags are in use for {policy}: remove some rules or use fewer tags")]
    TooManyTags {
        /// The policy asked for.
        policy: Policy,
        /// How many there can be.
        limit: usize,
    },
    /// The actor has its share of the places, or only those kept for sets and admins are free.
    #[error(
        "{actor} may not take more {what} of {policy}: it has {held}, and {used} of {limit} are in use; \
         the last are for others, for sets and for admins. Remove some{}", more(*.what, *.policy)
    )]
    ShareTaken {
        /// The policy asked for.
        policy: Policy,
        /// What there are so few of.
        what: Shared,
        /// Who asked.
        actor: Actor,
        /// How many it has.
        held: usize,
        /// How many are in use.
        used: usize,
        /// How many there can be.
        limit: usize,
    },
    /// The data plane failed.
    #[error("the data plane failed")]
    Plane(#[from] PlaneError),
}

fn more(what: Shared, policy: Policy) -> String {
    match what {
        Shared::Rules(_) => format!(", or raise [limits] {policy}_entries and restart"),
        Shared::Tags => ", or use fewer".to_owned(),
    }
}
