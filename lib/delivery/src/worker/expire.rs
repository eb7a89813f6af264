//! Gives up notifications that are too old.

use std::time::Duration;

use couic_plugin_api::Notification;
use tokio::time::Instant;

use super::{
    super::{
        envelope,
        parts::{self, Limits},
    },
    Worker,
};

impl Worker {
    pub(super) fn expiry(&self, queued: u64) -> Option<Instant> {
        let age = self.queue.clock.unix_secs().saturating_sub(queued);
        let left = self
            .queue
            .policy
            .max_age
            .saturating_sub(Duration::from_secs(age));
        Instant::now().checked_add(left)
    }

    /// Turns expired items into dead letters.
    pub(super) fn expire(&mut self) {
        let max_age = self.queue.policy.max_age.as_secs();
        loop {
            let now = self.queue.clock.unix_secs();
            let (item, why) = {
                let inner = self.queue.inner.lock();
                let Some(oldest) = inner.waiting.oldest() else {
                    return;
                };
                if now.saturating_sub(oldest.queued) < max_age {
                    return;
                }
                let why = inner.last_error.as_ref().map(|error| error.message.clone());
                (oldest.clone(), why)
            };
            let why = why.unwrap_or_else(|| "no attempt was made".to_owned());
            let left = envelope::open(&item.payload)
                .ok()
                .map(|n| rest(&n, item.done));
            self.queue
                .bury(left, format!("not delivered within {max_age} s: {why}"));
            self.queue.retire(&item);
            self.suspects = 0;
        }
    }
}

/// The rest of a notification whose first reports were delivered.
fn rest(notification: &Notification, done: u64) -> Notification {
    let all = Limits {
        reports: usize::MAX,
        bytes: usize::MAX,
    };
    parts::next(notification, done, all).0.into_owned()
}
