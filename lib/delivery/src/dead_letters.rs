//! Undeliverable notifications: kept with their reason, until an operator replays or discards them.

use couic_common::DeadLetter;
use couic_plugin_api::{Kind, Notification, Severity};

use super::{
    delivery_queue::{DeliveryQueue, Inner},
    envelope::{self, Dead},
    status::OperateError,
};

pub(super) struct DeadItem {
    pub(super) died: u64,
    pub(super) letter: Dead,
    pub(super) bytes: usize,
}

impl DeliveryQueue {
    /// Keeps a dead letter. The caller then advances or finishes the head: the log has both in this order.
    pub(super) fn bury(&self, notification: Option<Notification>, reason: String) {
        // Figures of a minute that has passed: nobody replays them, and reports need the room.
        if matches!(&notification, Some(one) if matches!(one.kind, Kind::Traffic(_))) {
            let notifier = self.name.as_str();
            tracing::info!(
                notifier,
                reason,
                "the traffic of an interval is not delivered"
            );
            return;
        }
        let died = self.clock.unix_secs();
        tracing::warn!(
            notifier = self.name.as_str(),
            reason,
            "a notification became a dead letter"
        );
        let letter = Dead {
            reason,
            notification,
        };
        let mut inner = self.inner.lock();
        inner.counters.dead += 1;
        inner.counters.refused_in_a_row += 1;
        let sealed = envelope::dead(died, &letter).map_err(|error| error.to_string());
        let stored = sealed.and_then(|payload| Ok((self.store(None, &payload)?, payload.len())));
        match stored {
            Ok((seq, bytes)) => {
                let item = DeadItem {
                    died,
                    letter,
                    bytes,
                };
                self.keep_dead(&mut inner, seq, item);
            }
            Err(_) => self.lost(),
        }
    }

    pub(super) fn keep_dead(&self, inner: &mut Inner, seq: u64, item: DeadItem) {
        inner.dead_bytes += item.bytes;
        inner.dead.insert(seq, item);
        while inner.dead.len() > self.policy.max_dead
            || inner.dead_bytes > self.policy.max_dead_bytes
        {
            let Some((seq, old)) = inner.dead.pop_first() else {
                break;
            };
            inner.dead_bytes -= old.bytes;
            self.ack(seq);
        }
    }

    pub(super) fn dead_letters(&self) -> Vec<DeadLetter> {
        let inner = self.inner.lock();
        let list = inner.dead.iter().map(|(&key, item)| {
            let notification = item.letter.notification.as_ref();
            DeadLetter {
                key,
                id: notification.map(|n| n.id),
                text: notification.map_or_else(|| "unreadable".to_owned(), Notification::text),
                severity: notification
                    .map_or(Severity::Red, |n| n.severity)
                    .as_str()
                    .to_owned(),
                created: notification.map_or(0, |n| n.created),
                died: item.died,
                reason: item.letter.reason.clone(),
            }
        });
        list.collect()
    }

    /// Puts dead letters back at the end of the queue. Returns how many. Unreadable ones stay.
    pub(super) fn replay(&self, key: Option<u64>) -> Result<usize, OperateError> {
        let taken = self.take_dead(key, |item| item.letter.notification.is_some())?;
        let queued = self.clock.unix_secs();
        let mut count = 0;
        for (seq, item) in taken {
            if self.requeue(queued, &item) {
                self.ack(seq);
                count += 1;
            } else {
                let mut inner = self.inner.lock();
                self.keep_dead(&mut inner, seq, item);
            }
        }
        Ok(count)
    }

    fn requeue(&self, queued: u64, item: &DeadItem) -> bool {
        let Some(notification) = &item.letter.notification else {
            return false;
        };
        let sealed = envelope::waiting(queued, notification).ok();
        sealed.is_some_and(|payload| self.enqueue(notification.severity, queued, payload).is_ok())
    }

    /// Discards dead letters. Returns how many.
    pub(super) fn discard(&self, key: Option<u64>) -> Result<usize, OperateError> {
        let taken = self.take_dead(key, |_| true)?;
        taken.iter().for_each(|(seq, _)| self.ack(*seq));
        Ok(taken.len())
    }

    fn take_dead(
        &self,
        key: Option<u64>,
        which: impl Fn(&DeadItem) -> bool,
    ) -> Result<Vec<(u64, DeadItem)>, OperateError> {
        let mut inner = self.inner.lock();
        let wanted = |(&seq, item): (&u64, &DeadItem)| {
            (key.is_none_or(|key| key == seq) && which(item)).then_some(seq)
        };
        let keys: Vec<_> = inner.dead.iter().filter_map(wanted).collect();
        if let (Some(key), true) = (key, keys.is_empty()) {
            return Err(OperateError::NoSuchLetter {
                name: self.name.to_string(),
                key,
            });
        }
        let mut taken = Vec::new();
        for key in keys {
            if let Some(item) = inner.dead.remove(&key) {
                inner.dead_bytes -= item.bytes;
                taken.push((key, item));
            }
        }
        Ok(taken)
    }
}
