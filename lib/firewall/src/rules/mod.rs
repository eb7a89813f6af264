//! The owner of the rules.
//!
//! Guarantees:
//! - A rule filters while one claim on it lives, and no longer. Claims of each client (one for each tag), of each set
//!   and of each peer do not disturb each other: none ends, shortens or renews another's.
//! - Changes take effect one after the other, and every subscriber of the event stream sees that order.
//! - A refused change has changed nothing; of a batch, each job is a change.
//! - With a journal, the change of a call outlives kill -9 once the call has returned; for [`Firewall::add`] and
//!   [`Firewall::remove`], of which there may be very many a second, once [`Firewall::commit`] has.
//! - An expired claim is gone at the first [`Firewall::expire_due`] or change after its time, for any steps of the
//!   clock.
//!
//! Synchronous; knows neither HTTP nor an async runtime. Every call takes microseconds, so it may be made from async
//! code; walks over many rules release the lock after each chunk.

mod address_share;
mod change;
mod changed;
mod claim;
mod clock;
mod core;
mod cover;
mod deadlines;
mod durable;
mod events;
mod packed;
mod query;
mod recorded;
mod reload;
mod request;
mod room;
mod selfcheck;
mod set_apply;
mod set_error;
mod set_load;
mod setfile;
mod sets;
mod sets_undo;
mod shares;
mod swap;
mod table;
mod tags;
#[cfg(test)]
mod tests;
mod types;

use std::sync::{Arc, OnceLock};

use couic_common::{ClientName, Entry, Policy, RuleKey};
use parking_lot::Mutex;

use self::core::Core;
pub(crate) use self::cover::{Cover, Leaving, covering, end};
pub(crate) use self::query::count_rules;
pub use self::{
    address_share::AddressShare,
    claim::{Claim, ClaimId, ClaimRef, ClaimRequest, ClaimScope, Owner},
    clock::{Clock, ManualClock, SystemClock},
    durable::Restored,
    events::{Block as EventBlock, Received, Subscription},
    query::{ReasonUsage, TagUsage, Usage},
    recorded::ClaimChange,
    reload::{SetCatalog, SetChange},
    request::Request,
    selfcheck::{SelfCheck, SelfChecked},
    set_apply::ApplyError,
    set_error::SetError,
    setfile::{BadLine, SetLines, parse_set},
    sets::{Expected, MAX_SET_FILE, NewFile, SetStore},
    sets_undo::SetEntries,
    shares::Shared,
    swap::{ClaimSwap, Swapped},
    tags::TagFilter,
    types::{Actor, Applied, EventKind, FirewallError, Job, Origin, RuleEvent},
};
use crate::{
    dataplane::{Counters, Limits, Plane, Valve},
    guard::Guard,
    journal::Journal,
};

/// Rules that are walked over under one hold of the lock.
const CHUNK: usize = 4096;

/// The rules, their owner and the data plane behind them. Share it as an `Arc`.
pub struct Firewall {
    core: Mutex<Core>,
    counters: Arc<dyn Counters>,
    clock: Arc<dyn Clock>,
    valve: Arc<dyn Valve>,
    /// Set once rules are kept.
    journal: OnceLock<Arc<Journal>>,
    /// Asked by those who change rules for others.
    guard: OnceLock<Guard>,
    shares: address_share::Cache,
}

impl Firewall {
    /// An empty firewall over an empty data plane.
    #[must_use]
    pub fn new(
        plane: Box<dyn Plane>,
        counters: Arc<dyn Counters>,
        limits: Limits,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let valve = plane.valve();
        let core = Core::new(plane, Arc::clone(&counters), limits);
        Self {
            core: Mutex::new(core),
            counters,
            clock,
            valve,
            journal: OnceLock::new(),
            guard: OnceLock::new(),
            shares: address_share::Cache::default(),
        }
    }

    /// Names the clients that have no share of the tables and tags: admins. Without this, none.
    pub fn set_admins(&self, is_admin: impl Fn(&ClientName) -> bool + Send + Sync + 'static) {
        self.core.lock().set_admins(Box::new(is_admin));
    }

    /// Sets the guard rails, before the first change that they are to judge. Only the first call counts.
    pub fn set_guard(&self, guard: Guard) {
        let _ = self.guard.set(guard);
    }

    /// The guard rails; none before [`Self::set_guard`].
    #[must_use]
    pub fn guard(&self) -> Option<&Guard> {
        self.guard.get()
    }

    /// Lets every packet pass, or has the rules hold again: from the next packet on. Does not take the rules lock.
    pub fn pass_all(&self, open: bool) {
        self.valve.set_open(open);
    }

    /// Whether every packet passes, regardless of the rules.
    #[must_use]
    pub fn passes_all(&self) -> bool {
        self.valve.is_open()
    }

    /// The time to which expirations are compared, Unix seconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.clock.now()
    }

    /// The same in milliseconds.
    pub(crate) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// Adds a new rule. It survives the process after the next [`Firewall::commit`].
    ///
    /// # Errors
    /// [`FirewallError::Exists`] if the rule exists, `Expired`, `Full`, `TooManyTags`, `ShareTaken`, `Plane`.
    pub fn add(
        &self,
        policy: Policy,
        request: &ClaimRequest,
        origin: &Origin,
    ) -> Result<Entry, FirewallError> {
        self.deferred(|core, now| core.add(policy, request, now, origin))
    }

    /// Releases claims on a rule, and returns it as it was shown; it stays while it has other claims. That survives the
    /// process after the next [`Firewall::commit`].
    ///
    /// # Errors
    /// [`FirewallError::NotFound`]; `OfSet`, `OfOthers` or `NoClaim` if the rule has claims, but none of those.
    pub fn remove(
        &self,
        key: RuleKey,
        scope: &ClaimScope,
        origin: &Origin,
    ) -> Result<Entry, FirewallError> {
        self.deferred(|core, now| core.remove(key, scope, now, origin))
    }

    /// [`Firewall::add`] or [`Firewall::remove`], as the job says.
    ///
    /// # Errors
    /// As those.
    pub fn execute(&self, policy: Policy, job: Job, actor: Actor) -> Result<Entry, FirewallError> {
        self.deferred(|core, now| core.execute(policy, job, actor, now))
    }

    /// Applies jobs in order, each validated separately. Adding an existing rule renews it; removing a missing one
    /// changes nothing.
    pub fn apply(
        &self,
        policy: Policy,
        jobs: Vec<Job>,
        actor: &Actor,
    ) -> Vec<Result<Applied, FirewallError>> {
        self.apply_recorded(policy, jobs, actor, None)
    }

    /// Removes every claim whose time has come. Returns how many.
    pub fn expire_due(&self) -> usize {
        let mut expired = 0;
        loop {
            let (some, more) = self.locked(|core| core.expire(self.clock.now(), CHUNK));
            expired += some;
            if !more {
                return expired;
            }
        }
    }

    /// Signals to the data plane that the daemon lives.
    pub fn heartbeat(&self) {
        self.core.lock().heartbeat(self.clock.now());
    }

    /// Subscribes to all changes from now on. The queue holds `capacity` events.
    #[must_use]
    pub fn subscribe(&self, capacity: usize) -> Subscription {
        self.core.lock().bus.subscribe(capacity)
    }

    /// Hands all changes so far to the kernel: from then on they outlive kill -9. Costs nothing if none waits, and
    /// nothing at all without a journal.
    pub fn commit(&self) {
        if let Some(journal) = self.journal.get() {
            journal.commit();
        }
    }

    /// Syncs all changes so far to the disk. False if the disk does not take them, now or earlier.
    #[must_use]
    pub fn sync(&self) -> bool {
        self.journal.get().is_none_or(|journal| {
            journal.close();
            journal.is_whole()
        })
    }

    /// Runs a change under the lock, on rules none of which is past its time. It is committed when this returns.
    fn change<T>(&self, change: impl FnOnce(&mut Core, u64) -> T) -> T {
        self.locked(|core| self.on_time(core, change))
    }

    fn on_time<T>(&self, core: &mut Core, change: impl FnOnce(&mut Core, u64) -> T) -> T {
        let now = self.clock.now();
        while core.expire(now, CHUNK).1 {}
        change(core, now)
    }

    /// The same, but committed later.
    fn deferred<T>(&self, change: impl FnOnce(&mut Core, u64) -> T) -> T {
        let mut core = self.core.lock();
        let outcome = self.on_time(&mut core, change);
        drop(core);
        if let Some(journal) = self.journal.get()
            && journal.is_behind()
        {
            journal.commit();
        }
        outcome
    }

    /// Changes so far are in the journal's file when this returns. That is written without the lock, so that a slow
    /// disk holds up only those who change rules.
    fn locked<T>(&self, change: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.core.lock();
        let before = core.durable.appended();
        let outcome = change(&mut core);
        let has_changed = core.durable.appended() != before;
        drop(core);
        if has_changed {
            self.commit();
        }
        outcome
    }
}
