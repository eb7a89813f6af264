//! The task of one peer: does what its link says, over HTTP.

use std::{sync::Arc, time::Duration};

use couic_client::{Client, ClientError};
use couic_common::{ErrorCode, Policy};
use couic_peering::{DigestAnswer, Failure, PullAnswer, PushAnswer};
use serde::{Serialize, de::DeserializeOwned};

use super::{engine::Engine, outbound::Step};

/// The longest sleep, in case a wake-up was missed.
const LONGEST: Duration = Duration::from_secs(60);

/// Until its task is ended.
pub(super) async fn run(engine: Arc<Engine>, index: usize, client: Client) {
    let wake = engine.wake(index);
    loop {
        match engine.step(index) {
            Step::Wait(time) => {
                let _ = tokio::time::timeout(time.min(LONGEST), wake.notified()).await;
            }
            step => exchange(&engine, index, &client, step).await,
        }
    }
}

async fn exchange(engine: &Arc<Engine>, index: usize, client: &Client, step: Step) {
    let failed = match step {
        Step::Wait(_) => return,
        Step::Digest(policy, body) => ask::<DigestAnswer>(client, policy, "digest", &body)
            .await
            .map(|answer| engine.answered_digest(index, &answer)),
        Step::Push(policy, body) => ask::<PushAnswer>(client, policy, "push", &body)
            .await
            .map(|answer| engine.answered_push(index, &answer)),
        Step::Pull(policy, body) => match ask::<PullAnswer>(client, policy, "pull", &body).await {
            Ok(answer) => {
                pulled(engine, index, answer).await;
                Ok(())
            }
            Err(failure) => Err(failure),
        },
        Step::Plain(policy, jobs) => client
            .tell_peer(policy, &jobs)
            .await
            .map(|()| engine.answered_plain(index))
            .map_err(|error| failure(&error, true)),
    };
    if let Err(failure) = failed {
        engine.failed(index, failure);
    }
}

async fn ask<A: DeserializeOwned>(
    client: &Client,
    policy: Policy,
    what: &'static str,
    body: &impl Serialize,
) -> Result<A, Failure> {
    let answer = client.exchange(policy, what, body).await;
    answer.map_err(|error| failure(&error, false))
}

/// Takes pulled registers, as fast as the peer's limits allow.
async fn pulled(engine: &Arc<Engine>, index: usize, answer: PullAnswer) {
    let there = Arc::clone(engine);
    let read = tokio::task::spawn_blocking(move || there.answered_pull(index, &answer)).await;
    let Ok(Some((name, outcome))) = read else {
        return;
    };
    let (policy, mut rest) = (outcome.policy, outcome.theirs);
    while !rest.is_empty() {
        let (there, name) = (Arc::clone(engine), name.clone());
        let work = move || {
            let (count, wait) = there.accept_pulled(&name, policy, &rest);
            (rest.split_off(count), wait)
        };
        let Ok((left, wait)) = tokio::task::spawn_blocking(work).await else {
            return;
        };
        rest = left;
        if !rest.is_empty() {
            tokio::time::sleep(wait).await;
        }
    }
}

fn failure(error: &ClientError, plain: bool) -> Failure {
    match (error.http_status(), error) {
        (Some(413), _) => Failure::TooLarge,
        (_, ClientError::Refused { error, .. }) if error.code == ErrorCode::PeeringOff => {
            Failure::NotEnabled
        }
        (_, ClientError::Refused { status, .. }) if !plain && matches!(status, 404 | 405) => {
            Failure::Unknown
        }
        (_, ClientError::Refused { status, error })
            if plain && matches!(status, 400 | 404 | 409 | 422) =>
        {
            Failure::Refused(error.to_string())
        }
        _ => Failure::Other(one_line(&error.to_string())),
    }
}

/// For logs and tables.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join("; ")
}
