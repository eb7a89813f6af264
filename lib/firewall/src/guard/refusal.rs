//! Why a change is refused, as a message says it.

use std::{fmt, net::IpAddr, sync::Arc};

use couic_common::{FORCE_HINT, Policy, Rail, RuleKey};

use super::HostAddress;

/// A change was refused by a guard rail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key} is refused by the guard rail {}: {reason}. If you mean it, {FORCE_HINT}", reason.rail())]
pub struct GuardRefusal {
    /// The rule that the change is of.
    pub key: RuleKey,
    /// The reason.
    pub reason: GuardReason,
}

impl GuardRefusal {
    /// The refusal for those who cannot force the change, such as a peer.
    #[must_use]
    pub fn reason_alone(&self) -> String {
        let (key, rail) = (self.key, self.reason.rail());
        format!("{key} is refused by the guard rail {rail}: {}", self.reason)
    }
}

/// The reason why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardReason {
    /// It drops an address that the caller named.
    Protected(IpAddr),
    /// It drops an address that this host needs.
    Needed(HostAddress),
    /// Without it, a `drop` that is in force cuts off an address that the host needs or the caller named.
    Exposed(Rail, IpAddr, Arc<str>),
    /// A large part of the Internet: the prefix is shorter than this.
    TooShort(Policy, u8),
    /// Unknown: the kernel did not report the host's addresses.
    Unknown(Arc<str>),
}

impl GuardReason {
    /// The rail that refuses.
    #[must_use]
    pub const fn rail(&self) -> Rail {
        match self {
            Self::Protected(_) => Rail::Caller,
            Self::Needed(need) => need.rail,
            Self::Exposed(rail, ..) => *rail,
            Self::TooShort(..) => Rail::Width,
            Self::Unknown(_) => Rail::Host,
        }
    }
}

/// The role of an address that a request names.
pub(super) const NAMED: &str = "where you are connected from or which you asked to protect";

impl fmt::Display for GuardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protected(addr) => write!(f, "it covers {addr}, {NAMED}"),
            Self::Needed(need) => write!(f, "it covers {}, {}", need.addr, need.role),
            Self::Exposed(_, addr, role) => write!(
                f,
                "it protects {addr}, {role}, from a drop that is in force"
            ),
            Self::TooShort(policy, shortest) => {
                let effect = match policy {
                    Policy::Drop => "covers",
                    Policy::Ignore => "exempts from every drop",
                };
                write!(
                    f,
                    "a prefix shorter than /{shortest} {effect} a large part of the Internet"
                )
            }
            Self::Unknown(why) => write!(f, "the addresses of this host cannot be read ({why})"),
        }
    }
}
