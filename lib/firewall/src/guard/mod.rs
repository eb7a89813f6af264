//! The guard rails: a `drop` that would cut off this host, its default gateway or the caller is refused, unless the
//! caller says that it is meant.
//!
//! They are asked for by a request (couicctl does so), or enforced for all by `[guard] enforce = true`. Without
//! either they are off: clients of Couic 1.0 know nothing of them. Rules of policy `ignore` cut no source off and are
//! never refused.

mod host;
mod routes;

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{Cidr, FORCE_HINT, GuardRequest, Policy};
use parking_lot::Mutex;

pub use host::{HostAddress, HostSource, Kernel};

/// The shortest prefixes that pass: /8 of IPv4, and /19 of IPv6, the shortest that registries hand out.
const SHORTEST: (u8, u8) = (8, 19);

/// Asking the kernel takes some 50 µs, and far longer on a router with a full table: not for each of a hundred
/// thousand requests a second. An address that is younger than this may go unnoticed.
const FRESH: Duration = Duration::from_secs(1);

type Addresses = Result<Arc<[HostAddress]>, Arc<str>>;

/// The guard rails, shared by all requests.
pub struct Guard {
    enforce: bool,
    source: Box<dyn HostSource>,
    known: Mutex<Option<(Instant, Addresses)>>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("enforce", &self.enforce)
            .finish_non_exhaustive()
    }
}

impl Guard {
    /// A guard that asks the kernel for this host's addresses and gateways.
    #[must_use]
    pub fn new(enforce: bool) -> Self {
        Self::with_source(enforce, Box::new(Kernel))
    }

    /// A guard that learns of addresses from elsewhere.
    #[must_use]
    pub fn with_source(enforce: bool, source: Box<dyn HostSource>) -> Self {
        Self {
            enforce,
            source,
            known: Mutex::new(None),
        }
    }

    /// The check for the rules of one request, over one state of the host. None if the request does not ask for it and it is
    /// not enforced, and for policy `ignore`. A request that says `force: true` does not ask for it at all.
    #[must_use]
    pub fn for_request(&self, policy: Policy, asked: Option<&GuardRequest>) -> Option<GuardCheck> {
        if policy == Policy::Ignore || (asked.is_none() && !self.enforce) {
            return None;
        }
        let mut protect = asked.map(|a| a.protect.clone()).unwrap_or_default();
        // sshd on a dual-stack socket calls an IPv4 caller ::ffff:192.0.2.1. Its frames are IPv4.
        protect.extend(protect.clone().iter().map(IpAddr::to_canonical));
        Some(GuardCheck {
            host: self.addresses(),
            protect,
        })
    }

    fn addresses(&self) -> Addresses {
        let mut known = self.known.lock();
        match &*known {
            Some((since, addresses)) if since.elapsed() < FRESH => addresses.clone(),
            _ => {
                let read = self.source.addresses();
                let addresses = read.map(Arc::from).map_err(|e| e.to_string().into());
                *known = Some((Instant::now(), Addresses::clone(&addresses)));
                addresses
            }
        }
    }
}

/// The addresses that one request must not cover.
#[derive(Debug)]
pub struct GuardCheck {
    host: Addresses,
    protect: Vec<IpAddr>,
}

impl GuardCheck {
    /// Whether a `drop` of this network may pass.
    ///
    /// # Errors
    /// [`GuardRefusal`] says which addresses it would cut off, and the way out. If the host's addresses cannot be read,
    /// nothing passes.
    pub fn check(&self, cidr: Cidr) -> Result<(), GuardRefusal> {
        let refuse = |reason| Err(GuardRefusal { cidr, reason });
        let shortest = if cidr.is_ipv4() {
            SHORTEST.0
        } else {
            SHORTEST.1
        };
        if let Some(addr) = self.protect.iter().find(|a| cidr.contains(**a)) {
            return refuse(GuardReason::Protected(*addr));
        }
        match &self.host {
            Err(why) => return refuse(GuardReason::Unknown(why.clone())),
            Ok(host) => {
                if let Some(found) = host.iter().find(|h| cidr.contains(h.addr)) {
                    return refuse(GuardReason::Host(found.clone()));
                }
            }
        }
        if cidr.prefix() < shortest {
            return refuse(GuardReason::TooShort(shortest));
        }
        Ok(())
    }
}

/// A `drop` was refused by the guard rails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("drop {cidr} is refused: {reason}. If you mean it, {FORCE_HINT}")]
pub struct GuardRefusal {
    /// The network to drop.
    pub cidr: Cidr,
    /// The reason.
    pub reason: GuardReason,
}

/// The reason why a `drop` is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuardReason {
    /// An address that the caller named.
    Protected(IpAddr),
    /// An address of this host, or its default gateway.
    Host(HostAddress),
    /// A large part of the Internet: the prefix is shorter than this.
    TooShort(u8),
    /// Unknown: the kernel did not report the host's addresses.
    Unknown(Arc<str>),
}

impl fmt::Display for GuardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protected(addr) => write!(
                f,
                "it covers {addr}, where you are connected from or which you asked to protect"
            ),
            Self::Host(host) => write!(f, "it covers {}, {}", host.addr, host.role),
            Self::TooShort(shortest) => write!(
                f,
                "a prefix shorter than /{shortest} covers a large part of the Internet"
            ),
            Self::Unknown(why) => write!(f, "the addresses of this host cannot be read ({why})"),
        }
    }
}

#[cfg(test)]
mod tests;
