//! Reads the API for the screen: one request at a time, each with a deadline, and with growing pauses while the daemon is
//! away. What a token may not read, or a daemon does not have, is asked for again once a minute only.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use couic_client::{Client, ClientError};
use couic_common::{Backoff, Policy};
use tokio::{
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

use super::{
    answer::{Answer, Report, Source, Trouble},
    changes,
    sweep::Sweep,
};
use crate::fill::fills;

/// The deadline of a request: a slow link is not a daemon that is away.
const DEADLINE: Duration = Duration::from_secs(10);

/// Pauses between attempts while the daemon is away grow up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Until a source that was refused is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// The most items of a list that are kept: more cannot be looked at.
const MOST: usize = 1_000;

/// What the screen asks of the reader. Any change makes it read at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wish {
    /// Only rules with tags that match.
    pub(super) tag: Option<String>,
    /// Counts the writes.
    pub(super) writes: u64,
}

/// The reader.
pub(super) struct Fetch {
    client: Client,
    period: Duration,
    sweeps: [Sweep; 2],
    tag: Option<String>,
    panic: bool,
    refused: HashMap<Source, Instant>,
}

impl Fetch {
    pub(super) fn new(client: Client, period: Duration) -> Self {
        Self {
            client,
            period,
            sweeps: [Sweep::new(Policy::Drop), Sweep::new(Policy::Ignore)],
            tag: None,
            panic: false,
            refused: HashMap::new(),
        }
    }

    /// Reads until nobody listens any more.
    pub(super) async fn run(mut self, out: mpsc::Sender<Report>, mut wish: watch::Receiver<Wish>) {
        let mut backoff = Backoff::new(self.period, LONGEST_PAUSE.max(self.period));
        let mut round = 0;
        loop {
            let tag = wish.borrow_and_update().tag.clone();
            self.filter(tag);
            let began = Instant::now();
            let pause = match self.round(round, &out).await {
                Ok(true) => {
                    backoff.succeeded();
                    self.period.saturating_sub(began.elapsed())
                }
                Ok(false) => return,
                Err(error) => {
                    let (why, retry) = (error.to_string(), backoff.failed());
                    if out.send(Report::Away { why, retry }).await.is_err() {
                        return;
                    }
                    retry
                }
            };
            round += 1;
            tokio::select! {
                () = sleep(pause) => {}
                changed = wish.changed() => if changed.is_err() { return },
            }
        }
    }

    fn filter(&mut self, tag: Option<String>) {
        if tag != self.tag {
            self.tag = tag;
            self.sweeps = [Sweep::new(Policy::Drop), Sweep::new(Policy::Ignore)];
        }
    }

    /// Reads all that is due. False if nobody listens any more.
    pub(super) async fn round(
        &mut self,
        round: u64,
        out: &mpsc::Sender<Report>,
    ) -> Result<bool, ClientError> {
        for source in Source::ALL {
            if !round.is_multiple_of(source.every()) || !self.is_due(source) {
                continue;
            }
            let report = self.read(source).await?;
            if out.send(report).await.is_err() {
                return Ok(false);
            }
        }
        let clock_ahead = self.client.clock_ahead();
        Ok(out.send(Report::Round { clock_ahead }).await.is_ok())
    }

    fn is_due(&self, source: Source) -> bool {
        let refused = self.refused.get(&source);
        let due = refused.is_none_or(|at| at.elapsed() >= ASK_AGAIN);
        due && (source != Source::Panic || self.panic)
    }

    async fn read(&mut self, source: Source) -> Result<Report, ClientError> {
        let endpoint = self.client.endpoint().clone();
        let answer = match timeout(DEADLINE, self.ask(source)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Timeout {
                endpoint,
                waited: DEADLINE,
            }),
        };
        match answer {
            Ok(answer) => {
                self.refused.remove(&source);
                let at = Instant::now();
                Ok(Report::Answer { at, answer })
            }
            Err(error) => {
                let trouble = Trouble::of(error)?;
                self.refused.insert(source, Instant::now());
                Ok(Report::Trouble(source, trouble))
            }
        }
    }

    async fn ask(&mut self, source: Source) -> Result<Answer, ClientError> {
        let Self { client, tag, .. } = self;
        Ok(match source {
            Source::Health => {
                let health = client.health().await?;
                self.panic = health.panic_since.is_some();
                Answer::Health(Box::new(health))
            }
            Source::Traffic => Answer::Traffic(Box::new(client.metrics().await?)),
            Source::Confirm => {
                let mut all = client.confirmations().await?;
                all.pending.truncate(MOST);
                Answer::Confirm(all)
            }
            Source::Rules => {
                let mut pages = Vec::new();
                for sweep in &mut self.sweeps {
                    pages.extend(sweep.step(client, tag.as_deref()).await?);
                }
                Answer::Rules(pages)
            }
            Source::Changes => Answer::Changes(changes::read(client).await?),
            Source::Peers => Answer::Peers(some(client.peers().await?)),
            Source::Notifiers => Answer::Notifiers(some(client.notifiers().await?)),
            Source::Panic => Answer::Panic(client.panic().await?),
            Source::Status => Answer::Status(Box::new(client.status().await?)),
            Source::Limits => Answer::Limits(fills(&client.metrics_text().await?)),
        })
    }
}

fn some<T>(mut all: Vec<T>) -> Vec<T> {
    all.truncate(MOST);
    all
}
