//! Keeps the process of a plugin alive, and kills it if it is stuck.

use std::{collections::VecDeque, io, sync::Arc, time::Duration};

use couic_common::Backoff;
use couic_privsep::describe;
use tokio::{
    net::unix::pipe,
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

use super::{
    frame::{self, Answer, Start},
    link::{self, Link, Overdue},
    pipes::{LastWords, listen, read, write},
    process::{Isolation, Process},
};
use crate::{PluginFile, PluginInfo, PluginOptions, Reason, loaded::LogSink, text::clean};

/// The pauses between two starts.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Lifetime after which a crash starts the backoff over.
const WELL: Duration = Duration::from_secs(60);
/// How long the process may take to end by itself.
const GOODBYE: Duration = Duration::from_secs(4);
/// How long exec and the start of the child may take, before it creates the instance.
const EXEC: Duration = Duration::from_secs(5);
/// How long a process may take to end, and its last output to arrive.
const LAST_BREATH: Duration = Duration::from_millis(500);
/// Answers that wait for the supervisor. The pipe holds back the rest.
const ANSWERS: usize = 64;

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

/// A process that has started.
struct Running {
    process: Process,
    answers: mpsc::Receiver<io::Result<Answer>>,
    listener: JoinHandle<()>,
    last_words: LastWords,
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
                return self.link.down("was closed", false);
            };
            if born.elapsed() > WELL {
                backoff.succeeded();
            }
            let pause = backoff.failed();
            self.link.down(&reason, true);
            let text = format!(
                "the plugin's process {reason}; next start in {} s",
                pause.as_secs()
            );
            (self.log)(1, &text);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                _ = &mut self.close => return self.link.down("was closed", false),
            }
        }
    }

    async fn start(&self) -> Result<(PluginInfo, Running), Reason> {
        let broken = |error: io::Error| Reason::Process(error.to_string());
        let spawned = self.isolation.spawn(self.file.copy()).await;
        let mut process = spawned.map_err(broken)?;
        let (Some(mut stdin), Some(mut stdout), Some(stderr)) = (
            process.stdin.take(),
            process.stdout.take(),
            process.stderr.take(),
        ) else {
            return Err(Reason::Process("it has no pipes".to_owned()));
        };
        let last_words = LastWords::default();
        let listener = tokio::spawn(listen(stderr, last_words.clone(), Arc::clone(&self.log)));
        let patience = self.options.create_timeout + EXEC;
        let first = timeout(
            patience,
            self.introduce(process.copy, &mut stdin, &mut stdout),
        )
        .await;
        let info = match first {
            Ok(Ok(Some(info))) => info?,
            Ok(Ok(None) | Err(_)) => {
                process.kill();
                let status = process.wait().await.map_err(broken)?;
                // Its output is in the pipe by now.
                let _ = timeout(Duration::from_secs(1), listener).await;
                return Err(Reason::Create(last_words.add_to(describe(status))));
            }
            Err(_) => {
                process.kill();
                return Err(Reason::CreateTimeout(patience.as_secs_f64()));
            }
        };
        let (orders, outbox) = mpsc::unbounded_channel();
        let (inbox, answers) = mpsc::channel(ANSWERS);
        tokio::spawn(write(stdin, outbox));
        tokio::spawn(read(stdout, inbox));
        self.link.up(process.pid, orders);
        let running = Running {
            process,
            answers,
            listener,
            last_words,
        };
        Ok((info, running))
    }

    /// Sends the start message; `None` if the process ended instead of answering.
    async fn introduce(
        &self,
        copy: i32,
        stdin: &mut pipe::Sender,
        stdout: &mut pipe::Receiver,
    ) -> io::Result<Option<Result<PluginInfo, Reason>>> {
        let start = Start {
            copy,
            path: self.file.path().to_owned(),
            name: self.name.clone(),
            config: self.config.clone(),
            create_timeout_ms: u64::try_from(self.options.create_timeout.as_millis())
                .unwrap_or(u64::MAX),
            max_in_flight: self.options.max_in_flight,
        };
        frame::send(stdin, &serde_json::to_vec(&start)?).await?;
        loop {
            match frame::receive_json(stdout, frame::FROM_CHILD).await? {
                Some(Answer::Started(info)) => return Ok(Some(Ok(info))),
                Some(Answer::Refused(why)) => return Ok(Some(Err(Reason::Create(clean(&why))))),
                Some(Answer::Log { level, text }) => (self.log)(level, &clean(&text)),
                Some(Answer::Done { .. }) | None => return Ok(None),
            }
        }
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
                    self.link.down("was closed", false);
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
