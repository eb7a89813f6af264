//! Memory for bodies, shared out among the clients that send them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, time};

use super::body::{BodyError, BodyLimits};

/// Who sends a body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BodyOwner {
    /// Bodies of the same name share [`BodyLimits::share`].
    pub name: String,
    /// Whether there is no share for it, and the reserve is its own.
    pub is_trusted: bool,
}

#[derive(Debug)]
pub(crate) struct Budget {
    limits: BodyLimits,
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Used {
    bytes: usize,
    by_owner: HashMap<BodyOwner, usize>,
}

impl Budget {
    pub(crate) fn new(limits: BodyLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            used: Mutex::default(),
            freed: Notify::new(),
        })
    }

    fn take(&self, owner: &BodyOwner, more: usize) -> Result<(), BodyError> {
        let BodyLimits {
            budget,
            share,
            reserve,
            ..
        } = self.limits;
        let mut used = self.used.lock();
        let held = used.by_owner.get(owner).copied().unwrap_or(0);
        let most = if owner.is_trusted {
            budget
        } else if held + more > share {
            return Err(BodyError::ShareTaken(share));
        } else {
            budget.saturating_sub(reserve)
        };
        if used.bytes + more > most {
            return Err(BodyError::NoRoom(most));
        }
        used.bytes += more;
        *used.by_owner.entry(owner.clone()).or_default() += more;
        Ok(())
    }

    async fn wait(&self, owner: &BodyOwner, more: usize, limit: Duration) -> Result<(), BodyError> {
        let deadline = time::Instant::now() + limit;
        loop {
            let freed = self.freed.notified();
            let refused = match self.take(owner, more) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            if time::timeout_at(deadline, freed).await.is_err() {
                return Err(refused);
            }
        }
    }

    fn give_back(&self, owner: &BodyOwner, bytes: usize) {
        let mut used = self.used.lock();
        used.bytes -= bytes;
        if let Some(held) = used.by_owner.get_mut(owner) {
            *held -= bytes;
            if *held == 0 {
                used.by_owner.remove(owner);
            }
        }
        drop(used);
        self.freed.notify_waiters();
    }

    #[cfg(test)]
    pub(crate) fn used(&self) -> usize {
        let used = self.used.lock();
        assert_eq!(used.bytes, used.by_owner.values().sum::<usize>());
        used.bytes
    }
}

/// The part of the budget that one body holds.
#[derive(Debug)]
pub struct Room {
    budget: Arc<Budget>,
    owner: BodyOwner,
    bytes: usize,
}

impl Room {
    pub(crate) fn new(budget: &Arc<Budget>, owner: BodyOwner) -> Self {
        Self {
            budget: Arc::clone(budget),
            owner,
            bytes: 0,
        }
    }

    /// Room for this many bytes of a body in all.
    ///
    /// # Errors
    /// [`BodyError::NoRoom`], [`BodyError::ShareTaken`].
    pub async fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        let more = bytes.saturating_sub(self.bytes);
        match self.budget.limits.wait {
            None => self.budget.take(&self.owner, more)?,
            Some(limit) => self.budget.wait(&self.owner, more, limit).await?,
        }
        self.bytes += more;
        Ok(())
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give_back(&self.owner, self.bytes);
        }
    }
}
