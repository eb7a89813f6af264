//! The thread that moves the firewall's events to the dispatcher.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};

use couic_common::{Report, counted};
use couic_delivery::NotificationDispatcher;
use couic_plugin_api::{Kind, Notice, Notification, Severity};
use tracing::{error, warn};

use super::{Counted, report};
use couic_firewall::rules::{Received, Subscription};

/// How long reports are gathered into a batch.
const GATHER: Duration = Duration::from_millis(500);

/// How often the queue is polled meanwhile.
const EMPTY: Duration = Duration::from_millis(50);

/// The largest batch: as many reports as one webhook request takes.
const BATCH: usize = 5_000;

pub(super) struct Collector {
    pub(super) events: Subscription,
    pub(super) dispatcher: Arc<NotificationDispatcher>,
    pub(super) counted: Arc<Counted>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) source: String,
}

impl Collector {
    /// Runs until `stop` is set; then drains the pending events.
    pub(super) fn run(self) {
        while !self.stop.load(Relaxed) {
            // While idle, the first event wakes the thread; then it polls until the batch is complete.
            let first = self.events.recv_timeout(GATHER);
            if !first.events.is_empty() || first.missed > 0 {
                self.gather(first);
            }
        }
        self.gather(self.events.recv_timeout(Duration::ZERO));
    }

    fn gather(&self, first: Received) {
        let deadline = Instant::now() + GATHER;
        let mut batch = Vec::new();
        let mut received = first;
        loop {
            self.missed(received.missed);
            for event in received.events.iter() {
                batch.push(report(event));
                if batch.len() == BATCH {
                    self.hand_over(mem::take(&mut batch));
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || self.stop.load(Relaxed) {
                break;
            }
            thread::sleep(left.min(EMPTY));
            received = self.events.recv_timeout(Duration::ZERO);
        }
        self.hand_over(batch);
    }

    fn hand_over(&self, batch: Vec<Report>) {
        if batch.is_empty() {
            return;
        }
        let count = batch.len() as u64;
        self.notify(Kind::Reports(batch), Severity::Green);
        self.counted.reported.fetch_add(count, Relaxed);
    }

    fn missed(&self, count: u64) {
        if count == 0 {
            return;
        }
        let before = self.counted.missed.fetch_add(count, Relaxed);
        let message = format!(
            "{} not reported: rules changed faster than could be spooled ({} since the start)",
            counted(count, "rule change is", "rule changes are"),
            before + count
        );
        warn!("{message}");
        let code = "reports_missed".to_owned();
        self.notify(Kind::Notice(Notice { code, message }), Severity::Red);
    }

    fn notify(&self, kind: Kind, severity: Severity) {
        let notification = Notification::new(kind, severity, self.source.clone());
        if let Err(error) = self.dispatcher.enqueue(&notification) {
            error!("a notification cannot be queued and is lost: {error}");
        }
    }
}
