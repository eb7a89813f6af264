//! One notifier with its queue, spool, dead letters and figures: what producers, operators and its task share.
//!
//! Every method takes the lock for a moment only. Nothing here waits for a disk or a network.

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
    Member,
    clock::Clock,
    envelope::{self, Dead, Envelope},
    policy::Policy,
    queue::{Item, Queue},
    status::{
        Counters, DeadLetter, LaneState, LastError, NotifierStatus, OperateError, SpoolState,
    },
};
use crate::spool::{Durability, Recovered, Spool};
use couic_plugin_api::{Notification, Notifier, Severity};

/// The spool's counters: notifications dropped and not told of yet, and until when to leave the other side alone.
const DROPPED: u64 = 0;
const HOLD_UNTIL: u64 = 1;

/// See the [module](self).
pub(super) struct Lane {
    pub(super) name: String,
    pub(super) notifier: Arc<dyn Notifier>,
    pub(super) policy: Policy,
    pub(super) clock: Clock,
    /// Rings when there is something new to do.
    pub(super) changed: Notify,
    pub(super) inner: Mutex<Inner>,
    spool: Option<Spool>,
    /// Why there is no spool although there should be.
    no_spool: Option<String>,
    next_seq: AtomicU64,
    about: Option<super::About>,
}

/// What the lock protects.
pub(super) struct Inner {
    pub(super) queue: Queue,
    pub(super) dead: BTreeMap<u64, DeadItem>,
    dead_bytes: usize,
    pub(super) state: LaneState,
    pub(super) next_attempt: Option<Instant>,
    pub(super) last_error: Option<LastError>,
    /// When something was last delivered, in Unix seconds.
    pub(super) last_success: Option<u64>,
    pub(super) counters: Counters,
    /// Notifications dropped since the last notice.
    pub(super) untold: u64,
}

/// A dead letter.
pub(super) struct DeadItem {
    died: u64,
    letter: Dead,
    bytes: usize,
}

impl Inner {
    /// Where nothing waits, and nothing is waited for any more, all is well again without an attempt to say so.
    fn shown_state(&self, next: Option<Duration>) -> LaneState {
        match self.state {
            LaneState::Retrying | LaneState::RateLimited
                if next.is_none() && self.queue.len() == 0 =>
            {
                LaneState::Ok
            }
            state => state,
        }
    }
}

impl Lane {
    /// Takes over what the spool held.
    pub(super) fn new(
        member: Member,
        spool: Result<Option<(Spool, Recovered)>, String>,
        clock: Clock,
    ) -> Self {
        let Member {
            notifier,
            policy,
            about,
            failed,
        } = member;
        let no_spool = spool.as_ref().err().cloned();
        let (spool, recovered) = spool.ok().flatten().unzip();
        let recovered = recovered.unwrap_or_default();
        let inner = Inner {
            queue: Queue::new(policy.max_events, policy.max_bytes),
            dead: BTreeMap::new(),
            dead_bytes: 0,
            state: failed.as_ref().map_or(LaneState::Ok, |_| LaneState::Failed),
            next_attempt: clock.coming(recovered.counters[1]),
            last_error: failed.map(|message| LastError {
                message,
                at: clock.unix_secs(),
            }),
            last_success: None,
            counters: Counters::default(),
            untold: recovered.counters[0],
        };
        let lane = Self {
            name: notifier.name().to_owned(),
            notifier,
            policy,
            clock,
            changed: Notify::new(),
            inner: Mutex::new(inner),
            spool,
            no_spool,
            next_seq: AtomicU64::new(1),
            about,
        };
        lane.restore(recovered);
        lane
    }

    fn restore(&self, recovered: Recovered) {
        let mut inner = self.inner.lock();
        if inner.next_attempt.is_some() && inner.state == LaneState::Ok {
            inner.state = LaneState::RateLimited;
        }
        for event in recovered.events {
            match Envelope::read(&event.payload) {
                Some(Envelope::Waiting { at, .. }) => {
                    let severity =
                        envelope::open(&event.payload).map_or(Severity::Red, |n| n.severity);
                    inner.queue.insert(Item {
                        seq: event.seq,
                        order: event.order,
                        severity,
                        queued: at,
                        done: event.done,
                        payload: event.payload,
                    });
                }
                Some(Envelope::Dead { at, json }) => {
                    let letter = serde_json::from_slice(json).unwrap_or_else(|error| Dead {
                        reason: format!("unreadable dead letter: {error}"),
                        notification: None,
                    });
                    let item = DeadItem {
                        died: at,
                        letter,
                        bytes: event.payload.len(),
                    };
                    self.keep_dead(&mut inner, event.seq, item);
                }
                None => {
                    inner.counters.faults += 1;
                    self.ack(event.seq);
                }
            }
        }
    }

    /// Takes a notification in. Never waits.
    pub(super) fn enqueue(
        &self,
        severity: Severity,
        queued: u64,
        payload: Arc<[u8]>,
    ) -> Result<(), String> {
        let mut inner = self.inner.lock();
        let seq = self.store(None, &payload)?;
        let dropped = inner.queue.push(Item {
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
        if inner.untold == 0 {
            tracing::warn!(
                notifier = self.name,
                "the queue is full: notifications are dropped"
            );
        }
        inner.counters.dropped += dropped.len() as u64;
        inner.untold += dropped.len() as u64;
        self.count(DROPPED, inner.untold);
        dropped.iter().for_each(|item| self.ack(item.seq));
    }

    /// Takes in a word about the queue itself, before all others.
    pub(super) fn tell_dropped(&self, notification: &Notification) {
        let queued = self.clock.unix_secs();
        let mut inner = self.inner.lock();
        let Ok(payload) = envelope::waiting(queued, notification) else {
            inner.counters.faults += 1;
            return;
        };
        if let Ok(seq) = self.store(Some(0), &payload) {
            inner.queue.insert(Item {
                seq,
                order: 0,
                severity: notification.severity,
                queued,
                done: 0,
                payload,
            });
            inner.untold = 0;
            self.count(DROPPED, 0);
        }
    }

    /// Puts one notification in the place of several. Nothing happens if one of them is gone.
    pub(super) fn replace(&self, old: &[Item], new: &Notification) {
        let Some(first) = old.first() else { return };
        let Ok(payload) = envelope::waiting(first.queued, new) else {
            self.inner.lock().counters.faults += 1;
            return;
        };
        let mut inner = self.inner.lock();
        let Ok(seq) = self.store(Some(first.order), &payload) else {
            return;
        };
        let removed: Vec<_> = old
            .iter()
            .filter_map(|item| inner.queue.remove(item.key()))
            .collect();
        if removed.len() == old.len() {
            inner.counters.merged += old.len() as u64;
            inner.queue.insert(Item {
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
                .for_each(|item| inner.queue.insert(item));
            self.ack(seq);
        }
    }

    /// The first parts of the head are dealt with.
    pub(super) fn advance(&self, done: u64) {
        let mut inner = self.inner.lock();
        if let Some(head) = inner.queue.head() {
            head.done = done;
            let seq = head.seq;
            if let Some(spool) = &self.spool {
                spool.progress(seq, done);
            }
        }
    }

    /// The head is dealt with.
    pub(super) fn finish(&self) {
        let mut inner = self.inner.lock();
        if let Some(item) = inner.queue.finish() {
            self.ack(item.seq);
        }
    }

    /// An item is dealt with, head or not.
    pub(super) fn retire(&self, item: &Item) {
        self.inner.lock().queue.retire(item);
        self.ack(item.seq);
    }

    /// Keeps a dead letter. The caller then advances or finishes the head: the log has both in this order.
    pub(super) fn bury(&self, notification: Option<Notification>, reason: String) {
        let died = self.clock.unix_secs();
        tracing::warn!(
            notifier = self.name,
            reason,
            "a notification became a dead letter"
        );
        let letter = Dead {
            reason,
            notification,
        };
        let mut inner = self.inner.lock();
        inner.counters.dead += 1;
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
            Err(_) => inner.counters.faults += 1,
        }
    }

    fn keep_dead(&self, inner: &mut Inner, seq: u64, item: DeadItem) {
        inner.dead_bytes += item.bytes;
        inner.dead.insert(seq, item);
        while inner.dead.len() > self.policy.max_dead
            || inner.dead_bytes > self.policy.max_dead_bytes
        {
            let Some((seq, old)) = inner.dead.pop_first() else {
                break;
            };
            inner.dead_bytes -= old.bytes;
            inner.counters.dead_discarded += 1;
            self.ack(seq);
        }
    }

    pub(super) fn dead_letters(&self) -> Vec<DeadLetter> {
        let inner = self.inner.lock();
        let list = inner.dead.iter().map(|(&key, item)| {
            let notification = item.letter.notification.as_ref();
            DeadLetter {
                notifier: self.name.clone(),
                key,
                id: notification.map(|n| n.id),
                text: notification.map_or_else(|| "unreadable".to_owned(), Notification::text),
                severity: notification.map_or(Severity::Red, |n| n.severity),
                created: notification.map_or(0, |n| n.created),
                died: item.died,
                reason: item.letter.reason.clone(),
            }
        });
        list.collect()
    }

    /// Lets dead letters try again, after all that waits. Returns how many. Those that cannot be read stay.
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

    /// Forgets dead letters. Returns how many.
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
                name: self.name.clone(),
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

    /// Writes down until when the other side wants to be left alone: a restart must not shorten it.
    pub(super) fn hold_until(&self, moment: Instant) {
        self.count(HOLD_UNTIL, self.clock.to_unix_millis(moment));
    }

    pub(super) async fn durable(&self) -> Durability {
        match &self.spool {
            Some(spool) => spool.durable().await,
            None => Durability::Memory,
        }
    }

    pub(super) fn status(&self) -> NotifierStatus {
        let plugin = self.about.as_ref().map(|about| about());
        let now = self.clock.unix_secs();
        let inner = self.inner.lock();
        let waits = |at: Instant| at.saturating_duration_since(Instant::now());
        let next = inner
            .next_attempt
            .map(waits)
            .filter(|left| *left > Duration::ZERO);
        NotifierStatus {
            name: self.name.clone(),
            state: inner.shown_state(next),
            last_error: inner.last_error.clone(),
            last_success: inner.last_success,
            next_attempt_secs: next.map(|left| left.as_secs_f64().ceil() as u64),
            queue_events: inner.queue.len(),
            queue_bytes: inner.queue.bytes(),
            oldest_age_secs: inner
                .queue
                .oldest()
                .map_or(0, |item| now.saturating_sub(item.queued)),
            dead_letters: inner.dead.len(),
            counters: inner.counters.clone(),
            restarts: plugin.as_ref().map_or(0, |plugin| plugin.restarts),
            plugin,
            spool: self.spool_state(),
        }
    }

    fn spool_state(&self) -> Option<SpoolState> {
        let Some(spool) = &self.spool else {
            return self.no_spool.clone().map(|why| SpoolState {
                alarm: Some(why),
                ..SpoolState::default()
            });
        };
        let status = spool.status();
        Some(SpoolState {
            bytes: status.bytes,
            segments: status.segments,
            alarm: status.alarm.map(|why| why.to_string()),
        })
    }

    fn store(&self, order: Option<u64>, payload: &Arc<[u8]>) -> Result<u64, String> {
        match &self.spool {
            Some(spool) => {
                (spool.append(order, Arc::clone(payload))).map_err(|error| error.to_string())
            }
            None => Ok(self.next_seq.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn ack(&self, seq: u64) {
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
