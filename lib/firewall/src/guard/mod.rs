//! The guard rails: a change of rules that would cut off what this host needs, or the caller, is refused, and so is a
//! rule that covers a large part of the Internet, to drop or to protect it.
//!
//! Guarantees:
//! - What is judged is the verdict that results: a network that holds a needed address may be dropped if a rule of
//!   policy ignore protects that address for as long, and protection of a needed address is not taken away while a
//!   drop covers it.
//! - Every door asks here: clients, if they ask for the rails (couicctl does) or `[guard] enforce = true`; set files and
//!   peers always, but for the rail `special`, which needs `enforce`. A rail that the configuration lists as `off` holds
//!   for none.
//! - Two changes that concern a needed address are judged and made one after the other.
//! - A client of Couic 1.0, which asks for nothing, is refused nothing.

mod health;
mod host;
mod judge;
mod rails;
mod refusal;
mod sets;

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{GuardRequest, Rail};
use parking_lot::{Mutex, MutexGuard};

pub use host::{HostAddress, HostSource, Kernel};
pub use judge::Change;
pub use rails::Rails;
pub use refusal::{GuardReason, GuardRefusal};
pub use sets::RefusedEntry;

/// Asking the kernel takes some 50 µs, and far longer on a router with a full table: not for each of a hundred
/// thousand requests a second. An address that is younger than this, or than a hundred times what asking took, may go
/// unnoticed.
const FRESH: Duration = Duration::from_secs(1);

/// Sorted by address.
type Addresses = Result<Arc<[HostAddress]>, Arc<str>>;

/// What was read, when, and how long that took.
type Known = Option<(Instant, Duration, Addresses)>;

/// The guard rails, shared by all requests.
pub struct Guard {
    switches: Mutex<Switches>,
    source: Box<dyn HostSource>,
    known: Mutex<Known>,
    /// Held while a change that concerns a needed address is judged and made.
    turn: Mutex<()>,
    /// What the last load of the set files kept out of force, and what it noted.
    sets: Mutex<sets::Loaded>,
}

/// What the configuration says, which may change at run time.
#[derive(Clone, Copy, Debug)]
struct Switches {
    enforce: bool,
    off: Rails,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("switches", &self.switches())
            .finish_non_exhaustive()
    }
}

/// Held from the judgement of a change until it is made.
#[derive(Debug)]
#[must_use = "the change is to be made while this is held"]
pub struct Permit<'a> {
    _turn: Option<MutexGuard<'a, ()>>,
}

impl Guard {
    /// A guard that asks the kernel for this host's addresses and gateways.
    #[must_use]
    pub fn new(enforce: bool) -> Self {
        Self::with_source(enforce, Rails::default(), Box::new(Kernel))
    }

    /// A guard that learns of addresses from elsewhere. The rails in `off` hold for none.
    #[must_use]
    pub fn with_source(enforce: bool, off: Rails, source: Box<dyn HostSource>) -> Self {
        Self {
            switches: Mutex::new(Switches { enforce, off }),
            source,
            known: Mutex::new(None),
            turn: Mutex::default(),
            sets: Mutex::default(),
        }
    }

    /// Changes what the configuration says, from the next request on.
    pub fn set_switches(&self, enforce: bool, off: Rails) {
        *self.switches.lock() = Switches { enforce, off };
    }

    fn switches(&self) -> Switches {
        *self.switches.lock()
    }

    /// The rails for the changes of one request, over one state of the host. Those of a request that does not ask for
    /// them hold only if they are enforced.
    #[must_use]
    pub fn for_request(&self, asked: Option<&GuardRequest>) -> GuardCheck<'_> {
        let Switches { enforce, off } = self.switches();
        let rails = if asked.is_some() || enforce {
            Rails::all()
        } else {
            Rails::default()
        };
        let lifted = asked.map(|a| Rails::from_iter(a.lift.iter().copied()));
        let mut protect = asked.map(|a| a.protect.clone()).unwrap_or_default();
        // sshd on a dual-stack socket calls an IPv4 caller ::ffff:192.0.2.1. Its frames are IPv4.
        protect.extend(protect.clone().iter().map(IpAddr::to_canonical));
        let rails = rails.without(off);
        self.check(rails, lifted.unwrap_or_default(), protect)
    }

    /// The rails for set files and peers.
    #[must_use]
    pub fn for_sets_and_peers(&self) -> GuardCheck<'_> {
        let Switches { enforce, off } = self.switches();
        let mut rails = Rails::all().without(off);
        if !enforce {
            // Lists of reserved networks hold these, which harms few hosts, and Couic 1.0 took them.
            rails = rails.without(Rails::from_iter([Rail::Special]));
        }
        let mut check = self.check(rails, Rails::default(), Vec::new());
        if !enforce {
            // A host that cannot read its addresses is not to open for what its lists and peers ban.
            check.host = check.host.or_else(|_| Ok(Arc::default()));
        }
        check
    }

    fn check(&self, rails: Rails, lifted: Rails, protect: Vec<IpAddr>) -> GuardCheck<'_> {
        let host = if rails == Rails::default() {
            Ok(Arc::default())
        } else {
            self.addresses()
        };
        GuardCheck {
            guard: self,
            rails,
            lifted,
            host,
            protect,
        }
    }

    fn addresses(&self) -> Addresses {
        let mut known = self.known.lock();
        match &*known {
            Some((since, took, addresses)) if since.elapsed() < FRESH.max(*took * 100) => {
                addresses.clone()
            }
            _ => {
                let start = Instant::now();
                let read = self.source.addresses().map(|mut all| {
                    all.sort_by_key(|need| need.addr);
                    Arc::from(all)
                });
                let addresses: Addresses = read.map_err(|e| e.to_string().into());
                *known = Some((Instant::now(), start.elapsed(), addresses.clone()));
                addresses
            }
        }
    }
}

/// The rails of one request, and what its changes must not cut off.
#[derive(Debug)]
pub struct GuardCheck<'a> {
    guard: &'a Guard,
    rails: Rails,
    /// Those that the request goes over.
    lifted: Rails,
    host: Addresses,
    protect: Vec<IpAddr>,
}

impl GuardCheck<'_> {
    /// The same, going over every rail: nothing is refused, and [`Self::judge`] says which rails that took.
    #[must_use]
    pub fn forced(mut self, force: bool) -> Self {
        if force {
            self.lifted = Rails::all();
        }
        self
    }
}

#[cfg(test)]
mod tests;
