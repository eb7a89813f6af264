//! Requests to the firewall core, its results, and its errors.

use std::{fmt, sync::Arc};

use couic_common::{Cidr, ClientName, Entry, Metadata, Policy, RuleKey, SetName};

use super::{ClaimRequest, Shared};
use crate::dataplane::PlaneError;

/// Who made a change. Decides whose claim it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// A client of the API, by name. All of them share one claim: the API's.
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

/// One change of a rule that a client or a peer asks for.
#[derive(Clone, Debug)]
pub enum Job {
    /// Add, or renew an existing rule.
    Add(ClaimRequest, Option<Arc<Metadata>>),
    /// Take the actor's claim away.
    Remove(Cidr, Option<Arc<Metadata>>),
}

impl Job {
    pub(super) const fn key(&self, policy: Policy) -> RuleKey {
        match self {
            Self::Add(request, _) => request.key(policy),
            Self::Remove(cidr, _) => RuleKey::new(policy, *cidr),
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
    /// The claim was taken away.
    Removed,
}

/// The event of a rule, for subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The rule is in force from now on.
    Added,
    /// Its shown tag or expiration changed.
    Updated,
    /// It is no longer in force.
    Removed,
}

/// A change of the rules in force. Subscribers receive these in the order in which they took effect.
#[derive(Clone, Debug, PartialEq)]
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
    /// Who did it, and why.
    pub origin: Origin,
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
