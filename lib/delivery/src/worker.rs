//! The task of one notifier: takes the head of its queue, tries it, and does what the outcome means.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    envelope,
    lane::Lane,
    parts::{self, Limits},
    queue::Key,
    relief::relieve,
    retry::Backoff,
    status::{LaneState, LastError},
    verdict::{self, Verdict, judge},
};
use couic_plugin_api::{Kind, Notice, Notification, NotifyError, Receipt, Severity};

/// After so many panics or crashes in a row it is taken to be the message's fault.
const MAX_SUSPECTS: u32 = 3;
/// After so many deliveries in a row a limit that was lowered by a 413 is doubled.
const RAISE_AFTER: u32 = 16;
/// How long a notice waits for the queue to come down.
const NOTICE_PATIENCE: Duration = Duration::from_secs(300);
/// What a wait is cut to that no clock can hold.
const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

type Outcome = Result<Receipt, NotifyError>;

/// Asks for a sample to be delivered now.
pub(super) type TestRequest = (Notification, oneshot::Sender<Outcome>);

/// See the [module](self).
pub(super) struct Worker {
    lane: Arc<Lane>,
    source: String,
    tests: mpsc::Receiver<TestRequest>,
    /// By when to be done, once that is asked for.
    stopping: watch::Receiver<Option<Instant>>,
    backoff: Backoff,
    last_start: Option<Instant>,
    /// Reports in one attempt, as learned from 413.
    part_reports: usize,
    delivered_in_a_row: u32,
    suspects: u32,
    last_notice: Option<Instant>,
    relieved: Key,
    /// The head as it was read, by its number: a long one goes out in many parts.
    read: Option<(u64, Arc<Notification>)>,
}

enum Step {
    Attempt,
    Wait(Option<Instant>),
    Stop,
}

impl Worker {
    pub(super) fn new(
        lane: Arc<Lane>,
        source: String,
        tests: mpsc::Receiver<TestRequest>,
        stopping: watch::Receiver<Option<Instant>>,
    ) -> Self {
        Self {
            backoff: Backoff::new(lane.policy.max_backoff),
            part_reports: lane.policy.part_reports.max(1),
            lane,
            source,
            tests,
            stopping,
            last_start: None,
            delivered_in_a_row: 0,
            suspects: 0,
            last_notice: None,
            relieved: (0, 0),
            read: None,
        }
    }

    /// Runs until it is asked to stop.
    pub(super) async fn run(mut self) {
        loop {
            // An operator does not wait until a long queue is worked off.
            if let Ok((sample, answer)) = self.tests.try_recv() {
                answer.send(self.test(&sample).await).ok();
            }
            self.expire();
            relieve(&self.lane, &mut self.relieved).await;
            match self.next_step() {
                Step::Attempt => self.attempt().await,
                Step::Wait(until) => self.wait(until).await,
                Step::Stop => break,
            }
        }
        self.lane.inner.lock().state = LaneState::Stopped;
    }

    fn next_step(&self) -> Step {
        let stopping = *self.stopping.borrow();
        let now = Instant::now();
        let inner = self.lane.inner.lock();
        let idle = inner.queue.len() == 0;
        let failed = inner.state == LaneState::Failed;
        let paced = self
            .last_start
            .zip(self.lane.policy.pace)
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
            .queue
            .oldest()
            .and_then(|item| self.expiry(item.queued));
        match ready {
            _ if failed => Step::Wait(expiry),
            Some(ready) => Step::Wait(Some(expiry.map_or(ready, |at| at.min(ready)))),
            None => Step::Attempt,
        }
    }

    fn expiry(&self, queued: u64) -> Option<Instant> {
        let age = self.lane.clock.unix_secs().saturating_sub(queued);
        let left = self
            .lane
            .policy
            .max_age
            .saturating_sub(Duration::from_secs(age));
        Instant::now().checked_add(left)
    }

    async fn wait(&mut self, until: Option<Instant>) {
        let lane = Arc::clone(&self.lane);
        let time = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => {}
            () = lane.changed.notified() => {}
            Ok(()) = self.stopping.changed() => {}
            Some((sample, answer)) = self.tests.recv() => {
                let outcome = self.test(&sample).await;
                // Nobody is left to hear it, where the operator has gone.
                answer.send(outcome).ok();
            }
        }
    }

    /// Buries what has waited too long.
    fn expire(&mut self) {
        let max_age = self.lane.policy.max_age.as_secs();
        loop {
            let now = self.lane.clock.unix_secs();
            let (item, why) = {
                let inner = self.lane.inner.lock();
                let Some(oldest) = inner.queue.oldest() else {
                    return;
                };
                if now.saturating_sub(oldest.queued) < max_age {
                    return;
                }
                let why = inner.last_error.as_ref().map(|error| error.message.clone());
                (oldest.clone(), why)
            };
            let why = why.unwrap_or_else(|| "it never came to its turn".to_owned());
            let left = envelope::open(&item.payload)
                .ok()
                .map(|n| rest(&n, item.done));
            self.lane
                .bury(left, format!("not delivered within {max_age} s: {why}"));
            self.lane.retire(&item);
            self.suspects = 0;
        }
    }

    /// The head and how much of it is dealt with. One that cannot be read is buried.
    fn head(&mut self) -> Option<(Arc<Notification>, u64)> {
        let (seq, payload, done) = {
            let mut inner = self.lane.inner.lock();
            let head = inner.queue.head()?;
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
                self.lane.bury(None, format!("cannot be read: {why}"));
                self.lane.finish();
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
            bytes: self.lane.policy.part_bytes,
        };
        let (part, after) = parts::next(&notification, done, limits);
        let last = after >= parts::total(&notification);
        let outcome = self.deliver(&part).await;
        match judge(&outcome) {
            Verdict::Delivered { pause } => self.delivered(pause, after, last),
            Verdict::Hold(wait) => self.hold(wait),
            Verdict::Retry => self.retry(),
            Verdict::Suspect => self.suspect(part.into_owned(), after, last, &outcome),
            Verdict::Split => self.split(part.into_owned(), after, last, &outcome),
            Verdict::Dead => self.dead(part.into_owned(), after, last, describe(&outcome)),
            Verdict::Fail => self.fail(),
        }
    }

    /// One attempt, with its figures. Merging goes on meanwhile.
    async fn deliver(&mut self, part: &Notification) -> Outcome {
        let lane = Arc::clone(&self.lane);
        let start = Instant::now();
        self.last_start = Some(start);
        let after = lane.policy.timeout;
        let mut attempt = pin!(timeout(after, caught(lane.notifier.notify(part))));
        let outcome = loop {
            tokio::select! {
                outcome = &mut attempt => break outcome,
                () = lane.changed.notified() => relieve(&lane, &mut self.relieved).await,
            }
        };
        let outcome = outcome.unwrap_or(Err(NotifyError::Timeout { after }));
        let mut inner = lane.inner.lock();
        let counters = &mut inner.counters;
        *counters
            .attempts
            .entry(verdict::label(&outcome))
            .or_default() += 1;
        counters.attempt_seconds.observe(start.elapsed());
        let at = lane.clock.unix_secs();
        match &outcome {
            Ok(_) => inner.last_success = Some(at),
            Err(error) => {
                let message = error.to_string();
                inner.last_error = Some(LastError { message, at });
            }
        }
        outcome
    }

    fn delivered(&mut self, pause: Option<Duration>, after: u64, last: bool) {
        self.raise_limit();
        self.settle(after, last);
        {
            let mut inner = self.lane.inner.lock();
            inner.counters.delivered += u64::from(last);
            inner.state = LaneState::Ok;
            inner.next_attempt = None;
        }
        if let Some(pause) = pause {
            self.set_hold(pause, LaneState::Ok);
        }
        self.tell_dropped();
    }

    /// The part is dealt with, one way or another.
    fn settle(&mut self, after: u64, last: bool) {
        self.backoff.reset();
        self.suspects = 0;
        if last {
            self.read = None;
            self.lane.finish();
        } else {
            self.lane.advance(after);
        }
    }

    fn raise_limit(&mut self) {
        let full = self.lane.policy.part_reports.max(1);
        if self.part_reports == full {
            return;
        }
        self.delivered_in_a_row += 1;
        if self.delivered_in_a_row >= RAISE_AFTER {
            self.delivered_in_a_row = 0;
            self.part_reports = self.part_reports.saturating_mul(2).min(full);
        }
    }

    /// Once the queue has come down, or after some minutes, one notice tells what was dropped.
    fn tell_dropped(&mut self) {
        let (untold, pressed) = {
            let inner = self.lane.inner.lock();
            (inner.untold, inner.queue.is_pressed())
        };
        let patient = self
            .last_notice
            .is_some_and(|at| at.elapsed() < NOTICE_PATIENCE);
        if untold == 0 {
            self.last_notice = None;
            return;
        }
        if pressed && (patient || self.last_notice.is_none()) {
            self.last_notice.get_or_insert_with(Instant::now);
            return;
        }
        self.last_notice = Some(Instant::now());
        let name = &self.lane.name;
        let notice = Notice {
            code: "dropped".to_owned(),
            message: format!("{untold} notifications were dropped: the queue of {name} was full"),
        };
        let notice = Notification {
            created: self.lane.clock.unix_secs(),
            ..Notification::new(Kind::Notice(notice), Severity::Orange, self.source.clone())
        };
        self.lane.tell_dropped(&notice);
    }

    fn hold(&mut self, wait: Duration) {
        self.set_hold(wait, LaneState::RateLimited);
    }

    fn set_hold(&mut self, wait: Duration, state: LaneState) {
        let now = Instant::now();
        let until = now.checked_add(wait.min(YEAR)).unwrap_or(now);
        // On its way to the disk before anybody sees it.
        self.lane.hold_until(until);
        let mut inner = self.lane.inner.lock();
        inner.state = state;
        inner.next_attempt = Some(until);
    }

    fn retry(&mut self) {
        let wait = self.backoff.failed();
        let mut inner = self.lane.inner.lock();
        inner.state = LaneState::Retrying;
        inner.next_attempt = Some(Instant::now() + wait);
    }

    fn suspect(&mut self, part: Notification, after: u64, last: bool, outcome: &Outcome) {
        self.suspects += 1;
        if self.suspects < MAX_SUSPECTS {
            return self.retry();
        }
        let why = format!("{MAX_SUSPECTS} times in a row: {}", describe(outcome));
        self.dead(part, after, last, why);
    }

    fn split(&mut self, part: Notification, after: u64, last: bool, outcome: &Outcome) {
        self.delivered_in_a_row = 0;
        match &part.kind {
            Kind::Reports(reports) if reports.len() > 1 => self.part_reports = reports.len() / 2,
            _ => {
                // It was this one that was too large: the others need not suffer.
                self.part_reports = self.lane.policy.part_reports.max(1);
                self.dead(part, after, last, describe(outcome));
            }
        }
    }

    fn dead(&mut self, part: Notification, after: u64, last: bool, why: String) {
        self.lane.bury(Some(part), why);
        self.settle(after, last);
        let mut inner = self.lane.inner.lock();
        inner.state = LaneState::Ok;
        inner.next_attempt = None;
    }

    fn fail(&mut self) {
        let mut inner = self.lane.inner.lock();
        inner.state = LaneState::Failed;
        inner.next_attempt = None;
        let why = inner
            .last_error
            .as_ref()
            .map_or("", |error| error.message.as_str());
        tracing::error!(
            notifier = self.lane.name,
            why,
            "the notifier has failed: its queue is kept. Correct its configuration, then test it"
        );
    }

    /// Delivers a sample, past the queue. A success repairs a failed notifier.
    async fn test(&mut self, sample: &Notification) -> Outcome {
        let (state, next) = {
            let inner = self.lane.inner.lock();
            (inner.state, inner.next_attempt)
        };
        let left = next.map_or(Duration::ZERO, |at| {
            at.saturating_duration_since(Instant::now())
        });
        if left > Duration::ZERO && state != LaneState::Retrying {
            return Err(NotifyError::RateLimited {
                retry_after: left,
                http_status: None,
            });
        }
        if let Some((start, pace)) = self.last_start.zip(self.lane.policy.pace) {
            sleep_until(start + pace).await;
        }
        let outcome = self.deliver(sample).await;
        match judge(&outcome) {
            Verdict::Delivered { pause } => {
                self.backoff.reset();
                {
                    let mut inner = self.lane.inner.lock();
                    inner.state = LaneState::Ok;
                    inner.next_attempt = None;
                }
                if let Some(pause) = pause {
                    self.set_hold(pause, LaneState::Ok);
                }
            }
            Verdict::Hold(wait) => self.hold(wait),
            Verdict::Fail => self.fail(),
            _ => {}
        }
        outcome
    }
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Ok(_) => "delivered".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// What is left of a notification whose first reports were delivered.
fn rest(notification: &Notification, done: u64) -> Notification {
    let all = Limits {
        reports: usize::MAX,
        bytes: usize::MAX,
    };
    parts::next(notification, done, all).0.into_owned()
}

/// A panic in a notifier is an outcome like another.
async fn caught(attempt: impl Future<Output = Outcome>) -> Outcome {
    let mut attempt = pin!(attempt);
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| attempt.as_mut().poll(cx)));
        polled.unwrap_or_else(|payload| {
            let text = payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
            Poll::Ready(Err(NotifyError::Panic {
                message: text.unwrap_or_else(|| "no message".to_owned()),
            }))
        })
    })
    .await
}
