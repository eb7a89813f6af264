//! Builds a queue from its spool.

use std::{collections::BTreeMap, sync::atomic::AtomicU64};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::Instant};

use super::{
    super::{
        Member,
        clock::Clock,
        dead_letters::DeadItem,
        effects::LONGEST_HOLD,
        envelope::{self, Dead, Envelope},
        queue::{Item, Queue},
        status::Counters,
    },
    DeliveryQueue, Inner,
};
use crate::spool::{Recovered, Spool};
use couic_common::{NotifierFailure, NotifierName, NotifierState};
use couic_plugin_api::Severity;

impl DeliveryQueue {
    /// Restores the queue from the spool.
    pub(crate) fn new(
        name: NotifierName,
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
            waiting: Queue::new(policy.max_events, policy.max_bytes),
            dead: BTreeMap::new(),
            dead_bytes: 0,
            state: failed
                .as_ref()
                .map_or(NotifierState::Ok, |_| NotifierState::Failed),
            // Capped again: the clock may have been set back meanwhile.
            next_attempt: clock
                .future(recovered.counters[1])
                .map(|at| at.min(Instant::now() + LONGEST_HOLD)),
            last_error: failed.map(|message| NotifierFailure {
                message,
                at: clock.unix_secs(),
            }),
            last_success: None,
            counters: Counters::default(),
            unreported: recovered.counters[0],
        };
        let queue = Self {
            name,
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
        queue.restore(recovered);
        queue
    }

    fn restore(&self, recovered: Recovered) {
        let mut inner = self.inner.lock();
        if inner.next_attempt.is_some() && inner.state == NotifierState::Ok {
            inner.state = NotifierState::RateLimited;
        }
        for event in recovered.events {
            match Envelope::read(&event.payload) {
                Some(Envelope::Waiting { at, .. }) => {
                    let severity =
                        envelope::open(&event.payload).map_or(Severity::Red, |n| n.severity);
                    inner.waiting.insert(Item {
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
                    self.lost();
                    self.ack(event.seq);
                }
            }
        }
    }
}
