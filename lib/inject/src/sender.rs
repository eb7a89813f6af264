//! The loop that sends: it gathers, sends one batch at a time, and waits after failures.

use std::{sync::Arc, time::Duration};

use couic_common::Backoff;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    Limits,
    batch::{Batch, send, wanted_pause},
    daemon::Daemon,
    state::State,
};

/// The first and the longest pause after failures in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The pause after an answer that leaves rules to be sent again, unless the daemon names one.
const PACED_PAUSE: Duration = Duration::from_secs(2);

/// The longest time to gather.
const LONGEST_GATHER: Duration = Duration::from_millis(100);

/// How many rules a batch has while the daemon takes some of them only later: the others would only be refused again.
const PACED: usize = 1024;

/// When to stop; None while it is not wanted.
pub(crate) type Stop = watch::Receiver<Option<Instant>>;

pub(crate) struct Sender {
    state: Arc<State>,
    daemon: Arc<Daemon>,
    gather: Duration,
    stop: Stop,
    backoff: Backoff,
    /// The most rules of a batch.
    most: usize,
}

impl Sender {
    pub(crate) fn new(state: Arc<State>, daemon: Arc<Daemon>, limits: Limits, stop: Stop) -> Self {
        Self {
            state,
            daemon,
            gather: limits.gather.min(LONGEST_GATHER),
            stop,
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            most: usize::MAX,
        }
    }

    /// Sends until it is to stop and nothing waits any more.
    pub(crate) async fn run(mut self) {
        while self.gathered().await {
            let (client, token) = self.daemon.client();
            let guard = self.daemon.config.guard.as_ref();
            let pause = match send(&self.state, &client, guard, self.most).await {
                Batch::Answered { postponed: false } => {
                    self.most = self.most.saturating_mul(2);
                    self.backoff.succeeded();
                    continue;
                }
                Batch::Answered { postponed: true } => {
                    self.most = PACED;
                    self.backoff.succeeded();
                    wanted_pause(&client).unwrap_or(PACED_PAUSE)
                }
                Batch::BadToken(why) => match self.daemon.renew(token) {
                    Ok(true) => continue,
                    renewed => {
                        let why = self.state.bad_token(&why, &self.daemon, renewed);
                        self.failed(&why)
                    }
                },
                Batch::Failed { why } => {
                    let pause = self.failed(&why);
                    wanted_pause(&client).map_or(pause, |wanted| wanted.max(pause))
                }
            };
            self.rest(pause).await;
        }
    }

    /// Waits until there is a batch; false if there will be none.
    async fn gathered(&mut self) -> bool {
        loop {
            let oldest = self.state.held.lock().oldest();
            let stopping = self.stop.borrow().is_some();
            let Some(oldest) = oldest else {
                if stopping {
                    return false;
                }
                tokio::select! {
                    () = self.state.wake.notified() => {}
                    // An error: the handle is gone.
                    changed = self.stop.changed() => if changed.is_err() { return false },
                }
                continue;
            };
            if !stopping {
                let due = Instant::from_std(oldest) + self.gather;
                tokio::select! {
                    () = sleep_until(due) => {}
                    changed = self.stop.changed() => return changed.is_ok(),
                }
            }
            return true;
        }
    }

    fn failed(&mut self, why: &str) -> Duration {
        let mut counts = self.state.counts.lock();
        counts.figures.failures += 1;
        counts.sending.fails(why);
        let pause = self.backoff.failed();
        // Many nodes may ask one daemon.
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    /// Waits. The wish to stop ends the wait, and the next ones begin short again: the deadline may be near.
    async fn rest(&mut self, pause: Duration) {
        if self.stop.borrow_and_update().is_some() {
            sleep(pause).await;
        } else if timeout(pause, self.stop.changed()).await.is_ok() {
            self.backoff.succeeded();
        }
    }
}
