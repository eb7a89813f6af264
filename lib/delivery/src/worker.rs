//! The task of one notifier: attempts to deliver the head of its queue, and applies the outcome.

mod expire;

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    backoff,
    delivery_queue::DeliveryQueue,
    disposition::{self, Disposition, classify},
    envelope,
    parts::{self, Limits},
    queue::Key,
    shedding::shed,
};
use couic_common::{Backoff, NotifierFailure, NotifierState};
use couic_plugin_api::{Notification, NotifyError, Receipt, panics::catch};

pub(super) type Outcome = Result<Receipt, NotifyError>;

/// A request to deliver a sample now.
pub(super) type TestRequest = (Notification, oneshot::Sender<Outcome>);

/// See the [module](self).
pub(super) struct Worker {
    pub(super) queue: Arc<DeliveryQueue>,
    pub(super) source: String,
    tests: mpsc::Receiver<TestRequest>,
    /// The deadline, once a stop is requested.
    stopping: watch::Receiver<Option<Instant>>,
    pub(super) backoff: Backoff,
    last_start: Option<Instant>,
    /// Reports in one attempt, as learned from 413.
    pub(super) part_reports: usize,
    pub(super) delivered_in_a_row: u32,
    pub(super) suspects: u32,
    pub(super) last_notice: Option<Instant>,
    shed_up_to: Key,
    /// The parsed head and its number: a long one is delivered in many parts.
    pub(super) read: Option<(u64, Arc<Notification>)>,
}

enum Step {
    Attempt,
    Wait(Option<Instant>),
    Stop,
}

impl Worker {
    pub(super) fn new(
        queue: Arc<DeliveryQueue>,
        source: String,
        tests: mpsc::Receiver<TestRequest>,
        stopping: watch::Receiver<Option<Instant>>,
    ) -> Self {
        Self {
            backoff: backoff::new(queue.policy.max_backoff),
            part_reports: queue.policy.part_reports.max(1),
            queue,
            source,
            tests,
            stopping,
            last_start: None,
            delivered_in_a_row: 0,
            suspects: 0,
            last_notice: None,
            shed_up_to: (0, 0),
            read: None,
        }
    }

    /// Runs until a stop is requested.
    pub(super) async fn run(mut self) {
        loop {
            // Tests come before a long queue.
            if let Ok((sample, answer)) = self.tests.try_recv() {
                answer.send(self.test(&sample).await).ok();
            }
            self.expire();
            shed(&self.queue, &mut self.shed_up_to).await;
            match self.next_step() {
                Step::Attempt => self.attempt().await,
                Step::Wait(until) => self.wait(until).await,
                Step::Stop => break,
            }
        }
        self.queue.inner.lock().state = NotifierState::Stopped;
    }

    fn next_step(&self) -> Step {
        let stopping = *self.stopping.borrow();
        let now = Instant::now();
        let inner = self.queue.inner.lock();
        let idle = inner.waiting.len() == 0;
        let failed = inner.state == NotifierState::Failed;
        let paced = self
            .last_start
            .zip(self.queue.policy.pace)
            .map(|(start, pace)| start + pace);
        let ready = inner.next_attempt.max(paced).filter(|&at| at > now);
        if let Some(deadline) = stopping
            && (idle || failed || deadline <= now || ready.is_some_and(|at| at > deadline))
        {
            return Step::Stop;
        }
        if idle {
            return Step::Wait(None);
        }
        let expiry = inner
            .waiting
            .oldest()
            .and_then(|item| self.expiry(item.queued));
        match ready {
            _ if failed => Step::Wait(expiry),
            Some(ready) => Step::Wait(Some(expiry.map_or(ready, |at| at.min(ready)))),
            None => Step::Attempt,
        }
    }

    async fn wait(&mut self, until: Option<Instant>) {
        let queue = Arc::clone(&self.queue);
        let time = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => {}
            () = queue.changed.notified() => {}
            Ok(()) = self.stopping.changed() => {}
            Some((sample, answer)) = self.tests.recv() => {
                let outcome = self.test(&sample).await;
                // On error the operator has gone.
                answer.send(outcome).ok();
            }
        }
    }

    /// The head and how much of it is done. An unreadable one becomes a dead letter.
    fn head(&mut self) -> Option<(Arc<Notification>, u64)> {
        let (seq, payload, done) = {
            let mut inner = self.queue.inner.lock();
            let head = inner.waiting.head()?;
            (head.seq, Arc::clone(&head.payload), head.done)
        };
        if let Some((_, read)) = self.read.as_ref().filter(|(of, _)| *of == seq) {
            return Some((Arc::clone(read), done));
        }
        match envelope::open(&payload) {
            Ok(notification) => {
                let notification = Arc::new(notification);
                self.read = Some((seq, Arc::clone(&notification)));
                Some((notification, done))
            }
            Err(why) => {
                self.queue.bury(None, format!("cannot be read: {why}"));
                self.queue.finish();
                None
            }
        }
    }

    async fn attempt(&mut self) {
        let Some((notification, done)) = self.head() else {
            return;
        };
        let limits = Limits {
            reports: self.part_reports,
            bytes: self.queue.policy.part_bytes,
        };
        let (part, after) = parts::next(&notification, done, limits);
        let last = after >= parts::total(&notification);
        let outcome = self.deliver(&part).await;
        match classify(&outcome) {
            Disposition::Delivered { pause } => self.delivered(pause, after, last),
            Disposition::Hold(wait) => self.hold(wait),
            Disposition::Retry => self.retry(),
            Disposition::Suspect => self.suspect(part.into_owned(), after, last, &outcome),
            Disposition::Split => self.split(part.into_owned(), after, last, &outcome),
            Disposition::Dead => self.dead(part.into_owned(), after, last, describe(&outcome)),
            Disposition::Fail => self.fail(),
        }
    }

    /// Makes one attempt and counts it. Merging continues meanwhile.
    async fn deliver(&mut self, part: &Notification) -> Outcome {
        let queue = Arc::clone(&self.queue);
        let start = Instant::now();
        self.last_start = Some(start);
        let after = queue.policy.timeout;
        let mut attempt = pin!(timeout(after, catch(|| queue.notifier.notify(part))));
        let outcome = loop {
            tokio::select! {
                outcome = &mut attempt => break outcome,
                () = queue.changed.notified() => shed(&queue, &mut self.shed_up_to).await,
            }
        };
        let outcome = outcome.unwrap_or(Err(NotifyError::Timeout { after }));
        let mut inner = queue.inner.lock();
        let counters = &mut inner.counters;
        *counters
            .attempts
            .entry(disposition::label(&outcome))
            .or_default() += 1;
        counters.attempt_seconds.observe(start.elapsed());
        let at = queue.clock.unix_secs();
        match &outcome {
            Ok(_) => {
                inner.last_success = Some(at);
                inner.counters.refused_in_a_row = 0;
            }
            Err(error) => {
                let message = error.to_string();
                inner.last_error = Some(NotifierFailure { message, at });
            }
        }
        outcome
    }

    /// Delivers a sample, ahead of the queue. On success a failed notifier works again.
    async fn test(&mut self, sample: &Notification) -> Outcome {
        let (state, next) = {
            let inner = self.queue.inner.lock();
            (inner.state, inner.next_attempt)
        };
        let left = next.map_or(Duration::ZERO, |at| {
            at.saturating_duration_since(Instant::now())
        });
        if left > Duration::ZERO && state != NotifierState::Retrying {
            return Err(NotifyError::RateLimited {
                retry_after: left,
                http_status: None,
            });
        }
        if let Some((start, pace)) = self.last_start.zip(self.queue.policy.pace) {
            sleep_until(start + pace).await;
        }
        let outcome = self.deliver(sample).await;
        match classify(&outcome) {
            Disposition::Delivered { pause } => {
                self.backoff.succeeded();
                {
                    let mut inner = self.queue.inner.lock();
                    inner.state = NotifierState::Ok;
                    inner.next_attempt = None;
                }
                if let Some(pause) = pause {
                    self.set_hold(pause, NotifierState::Ok);
                }
            }
            Disposition::Hold(wait) => self.hold(wait),
            Disposition::Fail => self.fail(),
            _ => {}
        }
        outcome
    }
}

pub(super) fn describe(outcome: &Outcome) -> String {
    match outcome {
        Ok(_) => "delivered".to_owned(),
        Err(error) => error.to_string(),
    }
}
