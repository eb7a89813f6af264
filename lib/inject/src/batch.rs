//! One batch: sent from the queue, and settled by its answer.

use std::{sync::Arc, time::Duration};

use couic_client::{
    Client, ClientError,
    common::{BatchJob, BatchOutcome, GuardRequest, Policy, unix_seconds},
};
use futures_util::{Stream, StreamExt, stream};

use crate::{
    flight::{Flight, job},
    held::{CHUNK, Fate},
    refusals,
    state::State,
    verdict::Verdict,
};

/// What came of a batch.
#[derive(Debug)]
pub(crate) enum Batch {
    /// The daemon answered. Rules that are to be sent again wait until then.
    Answered { postponed: bool },
    /// The token was refused.
    BadToken(String),
    /// Nothing is known of any rule.
    Failed { why: String },
}

/// Sends at most so many rules, and waits for the answer.
pub(crate) async fn send(
    state: &Arc<State>,
    client: &Client,
    guard: Option<&GuardRequest>,
    most: usize,
) -> Batch {
    let now = unix_seconds();
    while state.held.lock().expire(now) {}
    let flight = {
        let mut held = state.held.lock();
        if held.len() == 0 {
            return Batch::Answered { postponed: false };
        }
        held.begin_flight(most)
    };
    let jobs = jobs(state, flight, guard.cloned(), client.clock_ahead());
    let answer = client.batch_stream(Policy::Drop, jobs).await;
    let sent = state.held.lock().end_flight();
    let batch = match answer {
        Ok(outcome) => match Verdict::of(&outcome, sent.len()) {
            Some(verdict) => return settle(state, &sent, &verdict, &outcome),
            None => Batch::Failed {
                why: format!(
                    "the answer does not count the {} rules of the batch: is something between this and the daemon?",
                    sent.len()
                ),
            },
        },
        Err(error) => failed(&error),
    };
    land(state, sent.iter().map(|place| (*place, Fate::Open)));
    batch
}

fn failed(error: &ClientError) -> Batch {
    let why = error.to_string();
    if error.status() == Some(401) {
        Batch::BadToken(why)
    } else {
        Batch::Failed { why }
    }
}

fn settle(state: &State, sent: &[u64], verdict: &Verdict, outcome: &BatchOutcome) -> Batch {
    let mut counts = state.counts.lock();
    let figures = &mut counts.figures;
    figures.batches += 1;
    figures.last_success = Some(unix_seconds());
    figures.applied += sent.len() as u64 - outcome.failed;
    figures.postponed += verdict.postponed;
    figures.refused += verdict.refused;
    if let Some(refusal) = &verdict.refusal {
        figures.refusal = Some(refusal.clone());
        let why = format!("{} of {}, such as {refusal}", verdict.refused, sent.len());
        counts.refusing.fails(&why);
    } else {
        counts.refusing.works();
    }
    counts.sending.works();
    counts.token.works();
    match &verdict.postponement {
        Some(why) => counts.pace.fails(why),
        None => counts.pace.works(),
    }
    drop(counts);
    if verdict.refused > 0 {
        refusals::note(state, sent, outcome);
    }
    land(
        state,
        sent.iter().copied().zip(verdict.fates.iter().copied()),
    );
    Batch::Answered {
        postponed: verdict.postponed > 0,
    }
}

fn land(state: &State, fates: impl Iterator<Item = (u64, Fate)>) {
    let mut fates = fates.peekable();
    while fates.peek().is_some() {
        state.held.lock().land(fates.by_ref().take(CHUNK));
    }
}

fn jobs(
    state: &Arc<State>,
    flight: Flight,
    guard: Option<GuardRequest>,
    ahead: i64,
) -> impl Stream<Item = BatchJob> + Send + 'static {
    let state = Arc::clone(state);
    let chunks = stream::unfold((state, flight), |(state, mut flight)| async {
        let slots = state.held.lock().board(&mut flight, unix_seconds());
        (!slots.is_empty()).then_some((slots, (state, flight)))
    });
    chunks.flat_map(move |slots| {
        let (guard, now) = (guard.clone(), unix_seconds());
        stream::iter(
            slots
                .into_iter()
                .map(move |slot| job(&slot, guard.as_ref(), now, ahead)),
        )
    })
}

/// How long the daemon wants to be left alone, at most a minute.
pub(crate) fn wanted_pause(client: &Client) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(60);
    client.retry_after().map(|wanted| wanted.min(LONGEST))
}
