//! The start of a plugin's process, until its instance is created.

use std::{io, sync::Arc, time::Duration};

use couic_privsep::describe;
use tokio::{net::unix::pipe, sync::mpsc, task::JoinHandle, time::timeout};

use super::{
    frame::{self, Answer, Start},
    pipes::{LastWords, listen, read, write},
    process::Process,
    supervisor::Supervisor,
};
use crate::{PluginInfo, Reason, text::clean};

/// How long exec and the start of the child may take, before it creates the instance.
const EXEC: Duration = Duration::from_secs(5);
/// Answers that wait for the supervisor. The pipe holds back the rest.
const ANSWERS: usize = 64;

/// A process that has started.
pub(super) struct Running {
    pub(super) process: Process,
    pub(super) answers: mpsc::Receiver<io::Result<Answer>>,
    pub(super) listener: JoinHandle<()>,
    pub(super) last_words: LastWords,
}

impl Supervisor {
    /// Starts the process, which creates an instance.
    pub(super) async fn start(&self) -> Result<(PluginInfo, Running), Reason> {
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
}
