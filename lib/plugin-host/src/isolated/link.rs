//! State shared by the notifier and the supervisor of its process: pending attempts, and the state of the process.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

use super::frame::Order;
use crate::PluginStats;
use couic_plugin_api::{NotifyError, abi, outcome::Outcome};

/// The state of an isolated plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum PluginState {
    /// Its process runs.
    Running {
        /// Process id.
        pid: u32,
    },
    /// Its process has ended and will be started again.
    Restarting {
        /// Why it ended.
        reason: String,
    },
    /// Its process has ended and cannot be started again.
    Lost {
        /// Why, and the remedy, as a predicate.
        problem: String,
    },
    /// It was closed, or its program ends.
    Closed,
}

/// An abandoned attempt, and when its process is killed.
pub(super) struct Overdue {
    pub(super) token: u64,
    pub(super) at: Instant,
}

pub(super) struct Link(Mutex<Inner>);

struct Inner {
    state: PluginState,
    orders: Option<mpsc::UnboundedSender<Order>>,
    overdue: mpsc::UnboundedSender<Overdue>,
    last_token: u64,
    pending: HashMap<u64, oneshot::Sender<Outcome>>,
    stuck: HashSet<u64>,
    /// Of the current process, as last reported.
    now: PluginStats,
    /// Of earlier processes, and what only the parent counts.
    before: PluginStats,
}

impl Link {
    pub(super) fn new(overdue: mpsc::UnboundedSender<Overdue>) -> Self {
        Self(Mutex::new(Inner {
            state: PluginState::Restarting {
                reason: "starting".to_owned(),
            },
            orders: None,
            overdue,
            last_token: 0,
            pending: HashMap::new(),
            stuck: HashSet::new(),
            now: PluginStats::default(),
            before: PluginStats::default(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> PluginState {
        self.lock().state.clone()
    }

    pub(super) fn stats(&self) -> PluginStats {
        let inner = self.lock();
        let mut sum = add(inner.before, inner.now);
        sum.stuck = inner.stuck.len() as u64;
        sum
    }

    /// Sends a notification, unless the process does not run, or `limit` attempts are in flight.
    pub(super) fn begin(
        &self,
        limit: usize,
        order: impl FnOnce(u64) -> Order,
    ) -> Result<(u64, oneshot::Receiver<Outcome>), NotifyError> {
        let mut inner = self.lock();
        let Some(orders) = inner.orders.clone() else {
            let message = match &inner.state {
                PluginState::Restarting { reason } => {
                    format!("the plugin is being restarted: {reason}")
                }
                PluginState::Lost { problem } => format!("the plugin {problem}"),
                _ => "the plugin is closed".to_owned(),
            };
            return Err(NotifyError::Unavailable { message });
        };
        if inner.pending.len() + inner.stuck.len() >= limit {
            let message = format!("{limit} in flight, {} of them given up", inner.stuck.len());
            return Err(NotifyError::Busy { message });
        }
        inner.last_token += 1;
        let token = inner.last_token;
        let (sender, receiver) = oneshot::channel();
        inner.pending.insert(token, sender);
        // On error the process has ended, and the supervisor is about to fail this attempt.
        let _ = orders.send(order(token));
        Ok((token, receiver))
    }

    /// Stops waiting for an attempt and cancels it. The process has until `at` to complete it.
    pub(super) fn give_up(&self, token: u64, at: Instant) {
        let mut inner = self.lock();
        if inner.pending.remove(&token).is_none() {
            return;
        }
        inner.stuck.insert(token);
        if let Some(orders) = &inner.orders {
            let _ = orders.send(Order::Cancel { token });
        }
        let _ = inner.overdue.send(Overdue { token, at });
    }

    pub(super) fn timed_out(&self) {
        self.lock().before.timeouts += 1;
    }

    pub(super) fn is_stuck(&self, token: u64) -> bool {
        self.lock().stuck.contains(&token)
    }

    pub(super) fn complete(&self, token: u64, outcome: Outcome, stats: PluginStats) {
        let mut inner = self.lock();
        inner.now = stats;
        let was_stuck = inner.stuck.remove(&token);
        let was_given = token <= inner.last_token;
        match inner.pending.remove(&token) {
            Some(sender) => drop(sender.send(outcome)),
            None if was_stuck && outcome.status == abi::CANCELLED => {}
            None if was_given => inner.before.late += 1,
            None => inner.before.invented += 1,
        }
    }

    /// The process accepts orders from now on.
    pub(super) fn up(&self, pid: u32, orders: mpsc::UnboundedSender<Order>) {
        let mut inner = self.lock();
        inner.state = PluginState::Running { pid };
        inner.orders = Some(orders);
    }

    /// The process is gone: fails the pending attempts with the reason.
    pub(super) fn down(&self, reason: &str, state: PluginState) {
        let mut inner = self.lock();
        inner.orders = None;
        inner.before = add(inner.before, inner.now);
        inner.now = PluginStats::default();
        inner.stuck.clear();
        if let PluginState::Restarting { .. } = state {
            inner.before.restarts += 1;
        }
        inner.state = state;
        for (_, sender) in inner.pending.drain() {
            let outcome = Outcome::new(CRASHED, format!("the plugin's process {reason}"));
            let _ = sender.send(outcome);
        }
    }
}

/// Not a status of the ABI: set by the parent alone, for a process that ended.
pub(super) const CRASHED: i32 = -1;

fn add(a: PluginStats, b: PluginStats) -> PluginStats {
    PluginStats {
        stuck: a.stuck + b.stuck,
        timeouts: a.timeouts + b.timeouts,
        panics: a.panics + b.panics,
        late: a.late + b.late,
        invented: a.invented + b.invented,
        malformed: a.malformed + b.malformed,
        restarts: a.restarts + b.restarts,
    }
}
