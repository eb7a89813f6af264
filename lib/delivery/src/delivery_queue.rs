//! One notifier with its queue, spool, dead letters and counters: the state that producers, operators and its task share.
//!
//! The lock is held for microseconds. Nothing here waits for a disk or a network.

mod restore;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{
    clock::Clock,
    dead_letters::DeadItem,
    envelope,
    policy::Policy,
    queue::{Item, Queue},
    status::Counters,
};
use crate::spool::{Durability, Spool};
use couic_common::{NotifierFailure, NotifierName, NotifierState};
use couic_plugin_api::{Notification, Notifier, Severity};

/// The spool's counters: dropped notifications that are not reported yet, and the end of the receiver's Retry-After.
const DROPPED: u64 = 0;
const HOLD_UNTIL: u64 = 1;

/// See the [module](self).
pub(super) struct DeliveryQueue {
    pub(super) name: NotifierName,
    pub(super) notifier: Arc<dyn Notifier>,
    pub(super) policy: Policy,
    pub(super) clock: Clock,
    /// Wakes the task.
    pub(super) changed: Notify,
    pub(super) inner: Mutex<Inner>,
    pub(super) spool: Option<Spool>,
    /// Why there is no spool although there should be.
    pub(super) no_spool: Option<String>,
    pub(super) about: Option<super::About>,
    next_seq: AtomicU64,
}

/// What the lock protects.
pub(super) struct Inner {
    pub(super) waiting: Queue,
    pub(super) dead: BTreeMap<u64, DeadItem>,
    pub(super) dead_bytes: usize,
    pub(super) state: NotifierState,
    pub(super) next_attempt: Option<Instant>,
    pub(super) last_error: Option<NotifierFailure>,
    /// When a notification was last delivered, in Unix seconds.
    pub(super) last_success: Option<u64>,
    pub(super) counters: Counters,
    /// Notifications dropped since the last notice.
    pub(super) unreported: u64,
}

impl Inner {
    /// With an empty queue and no wait left, the state is ok again without another attempt.
    pub(super) fn shown_state(&self, next: Option<Duration>) -> NotifierState {
        match self.state {
            NotifierState::Retrying | NotifierState::RateLimited
                if next.is_none() && self.waiting.len() == 0 =>
            {
                NotifierState::Ok
            }
            state => state,
        }
    }
}

impl DeliveryQueue {
    /// Queues a notification. Never waits.
    pub(super) fn enqueue(
        &self,
        severity: Severity,
        queued: u64,
        payload: Arc<[u8]>,
    ) -> Result<(), String> {
        let mut inner = self.inner.lock();
        let seq = self.store(None, &payload)?;
        let dropped = inner.waiting.push(Item {
            seq,
            order: seq,
            severity,
            queued,
            done: 0,
            payload,
        });
        inner.counters.enqueued += 1;
        self.note_dropped(&mut inner, &dropped);
        drop(inner);
        self.changed.notify_one();
        Ok(())
    }

    fn note_dropped(&self, inner: &mut Inner, dropped: &[Item]) {
        if dropped.is_empty() {
            return;
        }
        if inner.unreported == 0 {
            tracing::warn!(
                notifier = self.name.as_str(),
                "the queue is full: notifications are dropped"
            );
        }
        inner.counters.dropped += dropped.len() as u64;
        inner.unreported += dropped.len() as u64;
        self.count(DROPPED, inner.unreported);
        dropped.iter().for_each(|item| self.ack(item.seq));
    }

    /// Queues a notice about the queue itself, ahead of all others.
    pub(super) fn report_dropped(&self, notification: &Notification) {
        let queued = self.clock.unix_secs();
        let mut inner = self.inner.lock();
        let Ok(payload) = envelope::waiting(queued, notification) else {
            self.lost();
            return;
        };
        if let Ok(seq) = self.store(Some(0), &payload) {
            inner.waiting.insert(Item {
                seq,
                order: 0,
                severity: notification.severity,
                queued,
                done: 0,
                payload,
            });
            inner.unreported = 0;
            self.count(DROPPED, 0);
        }
    }

    /// Replaces several notifications by one. Does nothing if one of them is gone.
    pub(super) fn replace(&self, old: &[Item], new: &Notification) {
        let Some(first) = old.first() else { return };
        let Ok(payload) = envelope::waiting(first.queued, new) else {
            self.lost();
            return;
        };
        let mut inner = self.inner.lock();
        let Ok(seq) = self.store(Some(first.order), &payload) else {
            return;
        };
        let removed: Vec<_> = old
            .iter()
            .filter_map(|item| inner.waiting.remove(item.key()))
            .collect();
        if removed.len() == old.len() {
            inner.counters.merged += old.len() as u64;
            inner.waiting.insert(Item {
                seq,
                order: first.order,
                severity: new.severity,
                queued: first.queued,
                done: 0,
                payload,
            });
            removed.iter().for_each(|item| self.ack(item.seq));
        } else {
            removed
                .into_iter()
                .for_each(|item| inner.waiting.insert(item));
            self.ack(seq);
        }
    }

    /// Records that the first parts of the head are done.
    pub(super) fn advance(&self, done: u64) {
        let mut inner = self.inner.lock();
        if let Some(head) = inner.waiting.head() {
            head.done = done;
            let seq = head.seq;
            if let Some(spool) = &self.spool {
                spool.progress(seq, done);
            }
        }
    }

    /// Removes the head, which is done.
    pub(super) fn finish(&self) {
        let mut inner = self.inner.lock();
        if let Some(item) = inner.waiting.finish() {
            self.ack(item.seq);
        }
    }

    /// Removes an item that is done, head or not.
    pub(super) fn retire(&self, item: &Item) {
        self.inner.lock().waiting.retire(item);
        self.ack(item.seq);
    }

    /// Persists the end of a wait that the receiver asked for: a restart must not shorten it.
    pub(super) fn hold_until(&self, moment: Instant) {
        self.count(HOLD_UNTIL, self.clock.to_unix_millis(moment));
    }

    pub(super) async fn durable(&self) -> Durability {
        match &self.spool {
            Some(spool) => spool.durable().await,
            None => Durability::Memory,
        }
    }

    /// Logs a bug: every notification can be serialized, and the spool returns it unchanged.
    pub(super) fn lost(&self) {
        tracing::error!(
            notifier = self.name.as_str(),
            "a notification cannot be written or read, and is lost"
        );
    }

    pub(super) fn store(&self, order: Option<u64>, payload: &Arc<[u8]>) -> Result<u64, String> {
        match &self.spool {
            Some(spool) => {
                (spool.append(order, Arc::clone(payload))).map_err(|error| error.to_string())
            }
            None => Ok(self.next_seq.fetch_add(1, Ordering::Relaxed)),
        }
    }

    pub(super) fn ack(&self, seq: u64) {
        if let Some(spool) = &self.spool {
            spool.ack(seq);
        }
    }

    fn count(&self, slot: u64, value: u64) {
        if let Some(spool) = &self.spool {
            spool.set_counter(slot, value);
        }
    }
}
