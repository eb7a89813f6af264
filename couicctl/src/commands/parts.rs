//! Sends a long batch in requests of bounded size, since a proxy between here and the daemon may take no large body, and
//! so that the answers so far tell what was done when one of them fails.

use couic_client::ClientError;
use couic_common::{BatchJob, BatchOutcome, Policy, counted};
use futures_util::stream;

use super::{Context, interrupt::Interrupt, progress::Progress};
use crate::failure::Failure;

/// Jobs in a request, some 400 KiB: proxies take 1 MiB by default.
const PART: usize = 2_000;

/// How many failures are kept, as in the daemon's answer to one request.
const MAX_FAILURES: usize = 1_000;

/// Sends the jobs. To be confirmed they go in one request, since each would have to be confirmed by itself.
pub(super) async fn send(
    policy: Policy,
    jobs: Vec<BatchJob>,
    is_confirmable: bool,
    cx: &Context,
) -> Result<BatchOutcome, Failure> {
    let mut total = BatchOutcome::default();
    let mut size = if is_confirmable {
        jobs.len().max(1)
    } else {
        PART
    };
    let mut done = 0;
    let progress = Progress::of(jobs.len());
    let mut interrupt = Interrupt::catch()?;
    loop {
        let part = &jobs[done..jobs.len().min(done + size)];
        let request = cx.client.batch_stream(policy, stream::iter(part.to_vec()));
        // What was sent is waited for, so that it is known what was done.
        let sent = interrupt.after(request).await;
        match sent {
            Ok(outcome) => {
                add(&mut total, outcome, done as u64);
                done += part.len();
                progress.show(done);
                if done == jobs.len() {
                    return Ok(total);
                }
                if interrupt.is_caught() {
                    drop(progress);
                    return Err(interrupted(&total, done, jobs.len()));
                }
            }
            // Some proxy's limit is lower than that.
            Err(error) if error.http_status() == Some(413) && part.len() > 1 && !is_confirmable => {
                size = part.len() / 2;
            }
            Err(error) => {
                drop(progress);
                let broken = broken(&error, &total, [done, part.len(), jobs.len()]);
                let failure = cx.failed(error);
                return Err(match broken {
                    Some(text) => failure.with(&text),
                    None => failure,
                });
            }
        }
    }
}

/// Ctrl-C between two requests.
fn interrupted(outcome: &BatchOutcome, done: usize, total: usize) -> Failure {
    let (rest, counts) = (total - done, counts(outcome));
    let text = format!(
        "interrupted: {done} of {total} networks are done ({counts}); the other {rest} were not sent"
    );
    Failure::Failed(text).hint("run the same again: what is in force already stays as it is")
}

/// The counts of an import.
pub(super) fn counts(outcome: &BatchOutcome) -> String {
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
        "\nhint: once that is mended, run the same again: what is in force already stays as it is";
    Some(text)
}

fn add(total: &mut BatchOutcome, part: BatchOutcome, offset: u64) {
    total.added += part.added;
    total.updated += part.updated;
    total.unchanged += part.unchanged;
    total.removed += part.removed;
    total.failed += part.failed;
    let room = MAX_FAILURES.saturating_sub(total.failures.len());
    let failures = part.failures.into_iter().take(room);
    total.failures.extend(failures.map(|mut failure| {
        failure.index += offset;
        failure
    }));
}

#[cfg(test)]
mod tests {
    use couic_common::ErrorCode;

    use super::*;

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
}
