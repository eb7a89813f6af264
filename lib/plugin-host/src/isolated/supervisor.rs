//! Keeps the process of a plugin alive, and kills it if it is stuck.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use couic_common::Backoff;
use couic_privsep::describe;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::{
    frame::Answer,
    link::{self, Link, Overdue, PluginState},
    process::Isolation,
    start::Running,
};
use crate::{PluginFile, PluginInfo, PluginOptions, Reason, Spawner, loaded::LogSink, text::clean};

/// The pauses between two starts.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Lifetime after which a crash starts the backoff over.
const WELL: Duration = Duration::from_secs(60);
/// How long the process may take to end by itself.
const GOODBYE: Duration = Duration::from_secs(4);
/// How long a process may take to end, and its last output to arrive.
const LAST_BREATH: Duration = Duration::from_millis(500);

pub(super) struct Supervisor {
    pub(super) file: PluginFile,
    pub(super) name: String,
    pub(super) config: String,
    pub(super) options: PluginOptions,
    pub(super) isolation: Isolation,
    pub(super) link: Arc<Link>,
    pub(super) overdue: mpsc::UnboundedReceiver<Overdue>,
    pub(super) log: Arc<LogSink>,
    /// Closed when the notifier is dropped; no message is sent.
    pub(super) close: oneshot::Receiver<()>,
}

/// Why a process ended.
enum End {
    Closed,
    Gone(String),
}

impl Supervisor {
    /// Runs until the notifier is dropped. `ready` receives the result of the first start; if it failed, there is no
    /// other.
    pub(super) async fn run(mut self, ready: oneshot::Sender<Result<PluginInfo, Reason>>) {
        let mut ready = Some(ready);
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let born = Instant::now();
            let end = match self.start().await {
                Ok((info, running)) => {
                    if let Some(ready) = ready.take() {
                        let _ = ready.send(Ok(info));
                    }
                    self.watch(running).await
                }
                Err(reason) => match ready.take() {
                    Some(ready) => {
                        let _ = ready.send(Err(reason));
                        End::Closed
                    }
                    None => End::Gone(format!("did not start again: {reason}")),
                },
            };
            let End::Gone(reason) = end else {
                return self.closed();
            };
            if born.elapsed() > WELL {
                backoff.succeeded();
            }
            let next = self.gone(reason, &mut backoff);
            tokio::select! {
                () = wait(next) => {}
                _ = &mut self.close => return self.closed(),
            }
        }
    }

    fn closed(&self) {
        self.link.down("was closed", PluginState::Closed);
    }

    /// Reports that the process is gone. Returns when to start the next one; never, if the spawner is gone, too.
    fn gone(&self, reason: String, backoff: &mut Backoff) -> Option<Instant> {
        if let Some(problem) = self.isolation.spawner.as_ref().and_then(Spawner::lost) {
            (self.log)(1, &format!("the plugin {problem}"));
            self.link.down(&reason, PluginState::Lost { problem });
            return None;
        }
        let pause = backoff.failed();
        let text = format!(
            "the plugin's process {reason}; next start in {} s",
            pause.as_secs()
        );
        (self.log)(1, &text);
        let failed = reason.clone();
        self.link.down(&failed, PluginState::Restarting { reason });
        Some(Instant::now() + pause)
    }

    /// Forwards answers until the process ends, is stuck, or is closed.
    async fn watch(&mut self, mut running: Running) -> End {
        let mut watched: VecDeque<Overdue> = VecDeque::new();
        let because = loop {
            let deadline = watched.front().map(|overdue| overdue.at);
            tokio::select! {
                answer = running.answers.recv() => match answer {
                    Some(Ok(answer)) => self.take(answer),
                    Some(Err(error)) => break format!("broke the protocol ({error}) and "),
                    None => break String::new(),
                },
                _ = running.process.death.readable() => break String::new(),
                Some(overdue) = self.overdue.recv() => watched.push_back(overdue),
                () = wait(deadline) => {
                    let token = watched.pop_front().map(|overdue| overdue.token);
                    if token.is_some_and(|token| self.link.is_stuck(token)) {
                        break "did not complete an attempt that was given up, and ".to_owned();
                    }
                }
                _ = &mut self.close => {
                    self.closed();
                    running.close().await;
                    return End::Closed;
                }
            }
        };
        End::Gone(because + &self.end(running).await)
    }

    /// Kills the process and its descendants, reads the rest of its output, and describes how it ended.
    async fn end(&self, mut running: Running) -> String {
        // A process that is about to end has its own exit status.
        let _ = timeout(LAST_BREATH, running.process.death.readable()).await;
        running.process.kill();
        let rest = async {
            while let Some(Ok(answer)) = running.answers.recv().await {
                self.take(answer);
            }
            let _ = (&mut running.listener).await;
        };
        let _ = timeout(LAST_BREATH, rest).await;
        let status = running.process.wait().await;
        let how = status.map_or_else(|error| format!("is lost: {error}"), describe);
        running.last_words.add_to(how)
    }

    fn take(&self, answer: Answer) {
        match answer {
            Answer::Done {
                token,
                mut outcome,
                stats,
            } => {
                outcome.message = clean(&outcome.message);
                // Only the parent reports a crash: this becomes another unknown status.
                if outcome.status == link::CRASHED {
                    outcome.status = i32::MIN;
                }
                self.link.complete(token, outcome, stats);
            }
            Answer::Log { level, text } => (self.log)(level, &clean(&text)),
            Answer::Started(_) | Answer::Refused(_) => {}
        }
    }
}

async fn wait(deadline: Option<Instant>) {
    match deadline {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

impl Running {
    /// Its orders have ended: it exits by itself, or is killed.
    async fn close(mut self) {
        let _ = timeout(GOODBYE, self.process.death.readable()).await;
        self.process.kill();
        let _ = self.process.wait().await;
    }
}
