//! Sends a long batch in requests of bounded size, since a proxy between here and the daemon may take no large body, and
//! so that the answers so far tell what was done when one of them fails.

use couic_common::{BatchJob, BatchOutcome, Policy, counted};
use futures_util::stream;

use super::Context;
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
    loop {
        let part = &jobs[done..jobs.len().min(done + size)];
        let sent = cx
            .client
            .batch_stream(policy, stream::iter(part.to_vec()))
            .await;
        match sent {
            Ok(outcome) => {
                add(&mut total, outcome, done as u64);
                done += part.len();
                if done == jobs.len() {
                    return Ok(total);
                }
            }
            // Some proxy's limit is lower than that.
            Err(error) if error.http_status() == Some(413) && part.len() > 1 && !is_confirmable => {
                size = part.len() / 2;
            }
            Err(error) if done == 0 => return Err(cx.failed(error)),
            Err(error) => {
                let rest = &jobs[done].entry.cidr;
                let line = stopped(&total, done, jobs.len(), rest);
                return Err(cx.failed(error).with(&line));
            }
        }
    }
}

/// What was done, what was not, and how to go on.
fn stopped(total: &BatchOutcome, done: usize, all: usize, rest: &str) -> String {
    let BatchOutcome {
        added,
        updated,
        unchanged,
        failed,
        ..
    } = total;
    format!(
        "{done} of {} were sent before, and stay: {added} added, {updated} updated, {unchanged} unchanged, {failed} failed\n  \
         from {rest} on it is not known which are in force; to go on, run the same command again: it changes nothing twice",
        counted(all as u64, "entry", "entries")
    )
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
