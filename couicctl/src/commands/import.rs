//! `couicctl drop import` and `couicctl ignore import`: many entries, in as few requests as proxies let through.
//!
//! Guarantees: if a request breaks, the message says what was answered, what may be in force, and what was not sent.

use clap::Args;
use couic_client::ClientError;
use couic_common::{BatchJob, BatchOutcome, Policy, counted};
use futures_util::stream;

use super::{
    Context,
    entries::{guard_of, job, request},
    progress::Progress,
};
use crate::{
    cli::{ImportArgs, Override},
    duration::now,
    failure::{Failure, print_error, with_option},
    input::{self, Network},
};

/// Maximum number of failures shown.
const SHOWN: usize = 20;

/// Maximum number of failures kept, as in one answer of the daemon.
const KEPT: usize = 1000;

/// Maximum size of a request's body: half of what nginx takes by default.
const PART: usize = 512 << 10;

pub(super) async fn run<F: Args + Override>(
    policy: Policy,
    args: &ImportArgs<F>,
    cx: &mut Context,
) -> Result<(), Failure> {
    let networks = input::read(&args.file, &args.field)?;
    let (guard, at) = (guard_of(&args.force), now());
    let jobs: Vec<_> = networks
        .iter()
        .map(|network| {
            job(request(
                network.cidr,
                &args.label,
                &args.force,
                guard.as_ref(),
                at,
            ))
        })
        .collect();
    // One request is one change to confirm.
    let part = if args.confirm.confirm_within.is_some() {
        jobs.len()
    } else {
        jobs_of_a_part(&jobs)
    };
    let outcome = send(policy, jobs, part, cx).await?;
    cx.output.show(&outcome, |out| {
        writeln!(out, "{policy}: {}", counts(&outcome))
    })?;
    if outcome.failed == 0 {
        return Ok(());
    }
    cx.output.flush()?;
    print_error(&failures(&outcome, &networks));
    Err(Failure::Reported)
}

/// How many jobs a request has. All of them are about as long.
fn jobs_of_a_part(jobs: &[BatchJob]) -> usize {
    let first = jobs.first().map(serde_json::to_vec);
    let size = first.and_then(Result::ok).map_or(1, |json| json.len());
    // The longest CIDR has some 30 bytes more than the shortest.
    (PART / (size + 32)).max(1)
}

async fn send(
    policy: Policy,
    mut jobs: Vec<BatchJob>,
    part: usize,
    cx: &Context,
) -> Result<BatchOutcome, Failure> {
    let total = jobs.len();
    let progress = Progress::new(total);
    let mut outcome = BatchOutcome::default();
    let mut done = 0;
    while !jobs.is_empty() {
        let rest = jobs.split_off(jobs.len().min(part));
        let sent = jobs.len();
        match cx.client.batch_stream(policy, stream::iter(jobs)).await {
            Ok(answer) => add(&mut outcome, answer, done),
            Err(error) => {
                drop(progress);
                let broken = broken(&error, &outcome, [done, sent, total]);
                let failure = cx.failed(error);
                return Err(match broken {
                    Some(text) => failure.with(&text),
                    None => failure,
                });
            }
        }
        done += sent;
        progress.show(done);
        jobs = rest;
    }
    Ok(outcome)
}

/// Adds the answer to a request whose first job is the one with this index.
fn add(outcome: &mut BatchOutcome, answer: BatchOutcome, index: usize) {
    let BatchOutcome {
        added,
        updated,
        unchanged,
        removed,
        failed,
        failures,
    } = answer;
    outcome.added += added;
    outcome.updated += updated;
    outcome.unchanged += unchanged;
    outcome.removed += removed;
    outcome.failed += failed;
    let room = KEPT.saturating_sub(outcome.failures.len());
    outcome
        .failures
        .extend(failures.into_iter().take(room).map(|mut failure| {
            failure.index += index as u64;
            failure
        }));
}

fn counts(outcome: &BatchOutcome) -> String {
    let BatchOutcome {
        added,
        updated,
        unchanged,
        failed,
        ..
    } = outcome;
    format!("{added} added, {updated} updated, {unchanged} unchanged, {failed} failed")
}

/// What to add to the error of a request: what was done before, and what was not. None if nothing can have been done.
fn broken(
    error: &ClientError,
    outcome: &BatchOutcome,
    [done, sent, total]: [usize; 3],
) -> Option<String> {
    let refused = match error {
        ClientError::Refused { error, .. } => error.outcome.is_none(),
        _ => false,
    };
    if refused && done == 0 {
        return None;
    }
    let all = counted(total as u64, "network", "networks");
    let mut text = format!("{done} of {all} are done: {}", counts(outcome));
    if !refused {
        text += &format!("; of the next {sent}, some may be in force");
    }
    let unsent = total - done - sent;
    if unsent > 0 {
        text += &format!("; {unsent} were not sent");
    }
    text +=
        "\n  once that is mended, import the list again: what is in force already stays as it is";
    Some(text)
}

fn failures(outcome: &BatchOutcome, networks: &[Network]) -> String {
    let verb = if outcome.failed == 1 { "was" } else { "were" };
    let mut text = format!("{} {verb} rejected:", outcome.failed);
    for failure in outcome.failures.iter().take(SHOWN) {
        let cidr = failure.cidr.as_deref().unwrap_or("?");
        text += &format!("\n  {cidr}: {}", with_option(&failure.message));
        let index = usize::try_from(failure.index).unwrap_or(usize::MAX);
        if let Some(note) = networks.get(index).and_then(|n| n.note.as_ref()) {
            text += &format!(" ({note})");
        }
    }
    let shown = outcome.failures.len().min(SHOWN) as u64;
    let rest = outcome.failed.saturating_sub(shown);
    if rest > 0 {
        text += &format!("\n  and {rest} more; --json lists up to 1000 of them");
    }
    text
}

#[cfg(test)]
mod tests {
    use couic_common::{BatchFailure, ErrorCode};

    use super::*;

    #[test]
    fn a_request_stays_below_the_limit_of_proxies() {
        let job = |tag: &str| {
            serde_json::from_value::<BatchJob>(serde_json::json!({
                "action": "add", "entry": {"cidr": "1.2.3.4/32", "tag": tag}
            }))
            .unwrap()
        };
        for tag in ["", "a-tag-of-some-length"] {
            let jobs = vec![job(tag); 2];
            let size = serde_json::to_vec(&jobs[0]).unwrap().len() + 1;
            let part = jobs_of_a_part(&jobs);
            assert!(part > 1000 && part * size <= PART, "{part}");
        }
        assert_eq!(jobs_of_a_part(&[]), PART / 33);
    }

    #[test]
    fn a_broken_import_says_what_was_done() {
        let outcome = BatchOutcome {
            added: 7,
            unchanged: 3,
            ..BatchOutcome::default()
        };
        let refused = ClientError::Refused {
            status: 401,
            error: couic_common::ApiError {
                code: ErrorCode::Unauthorized,
                message: "no".into(),
                errors: std::collections::BTreeMap::new(),
                outcome: None,
            },
        };
        assert_eq!(
            broken(&refused, &BatchOutcome::default(), [0, 10, 30]),
            None
        );
        let text = broken(&refused, &outcome, [10, 10, 30]).unwrap();
        assert!(
            text.starts_with("10 of 30 networks are done: 7 added, 0 updated, 3 unchanged, 0 failed; 10 were not sent\n"),
            "{text}"
        );
        let lost = ClientError::Timeout {
            endpoint: couic_client::Endpoint::unix("/s"),
            waited: std::time::Duration::from_secs(1),
        };
        let text = broken(&lost, &outcome, [20, 10, 30]).unwrap();
        assert!(
            text.contains("; of the next 10, some may be in force\n"),
            "{text}"
        );
    }

    #[test]
    fn long_lists_of_failures_are_cut() {
        let failure = |index| BatchFailure {
            index,
            cidr: (index > 0).then(|| format!("10.0.0.{index}/32")),
            code: ErrorCode::Invalid,
            message: "no".into(),
        };
        let outcome = BatchOutcome {
            failed: 5_000,
            failures: (0..1_000).map(failure).collect(),
            ..BatchOutcome::default()
        };
        let networks = ["192.0.2.1", "10.0.0.1/31"].map(|text| text.parse().unwrap());
        let text = failures(&outcome, &networks);
        assert!(
            text.starts_with("5000 were rejected:\n  ?: no\n  10.0.0.1/32: no (10.0.0.1/31 is the network 10.0.0.0/31)\n  10"),
            "{text}"
        );
        assert!(
            text.ends_with("and 4980 more; --json lists up to 1000 of them"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 22);
    }
}
