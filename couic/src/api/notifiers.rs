//! Notifiers: their state, and operations on them.

use std::{future::Future, pin::Pin};

use couic_common::{Discarded, Replayed, counted};

use super::{
    answer::{Answer, Outcome},
    call::Call,
    error::Fault,
};
use crate::reporting::Notifiers;

/// Dead letters in an answer by default.
const PAGE: usize = 100;

/// Dead letters in an answer at most: as many as are kept.
const MAX_PAGE: usize = 1_000;

/// `GET /v1/notifiers`.
pub(super) fn list(call: &Call) -> Outcome {
    let notifiers = call.api().notifiers.as_ref();
    Answer::ok(&notifiers.map(Notifiers::list).unwrap_or_default())
}

/// `GET /v1/notifiers/{notifier}`.
pub(super) fn get(call: &Call) -> Outcome {
    Answer::ok(&running(call)?.get(call.notifier()?)?)
}

/// `POST /v1/notifiers/{notifier}/test`. An attempt takes seconds, so it does not block a thread.
pub(super) fn test(call: Call) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
    Box::pin(async move {
        let tested = running(&call)?.test(call.notifier()?).await?;
        audit(
            &call,
            "notifier_test",
            &format!("tested: {}", tested.outcome),
        )?;
        Answer::ok(&tested)
    })
}

/// `GET /v1/notifiers/{notifier}/dead`.
pub(super) fn dead(call: &Call) -> Outcome {
    let limit = match call.query("limit").map(str::parse) {
        None => PAGE,
        Some(Ok(limit)) if (1..=MAX_PAGE).contains(&limit) => limit,
        Some(_) => {
            let message = format!("?limit= is a number from 1 to {MAX_PAGE}");
            return Err(Fault::bad_request(message));
        }
    };
    let after = number(call, "after")?;
    Answer::ok(&running(call)?.dead_letters(call.notifier()?, after, limit)?)
}

/// `POST /v1/notifiers/{notifier}/replay`.
pub(super) fn replay(call: &Call) -> Outcome {
    let key = number(call, "key")?;
    let replayed = running(call)?.replay(call.notifier()?, key)?;
    let letters = counted(replayed, "dead letter", "dead letters");
    audit(call, "notifier_replay", &format!("replayed {letters}"))?;
    Answer::ok(&Replayed { replayed })
}

/// `DELETE /v1/notifiers/{notifier}/dead?key=K`. `key` is mandatory: a mistyped parameter must not discard all.
pub(super) fn discard(call: &Call) -> Outcome {
    let key = match call.query("key") {
        Some("all") => None,
        Some(_) => number(call, "key")?,
        None => {
            let message = "say which dead letters: ?key=KEY, or ?key=all";
            return Err(Fault::bad_request(message));
        }
    };
    let discarded = running(call)?.discard(call.notifier()?, key)?;
    let letters = counted(discarded, "dead letter", "dead letters");
    audit(call, "notifier_discard", &format!("discarded {letters}"))?;
    Answer::ok(&Discarded { discarded })
}

/// `POST /v1/notifiers/{notifier}/resume`.
pub(super) fn resume(call: &Call) -> Outcome {
    let (notifiers, name) = (running(call)?, call.notifier()?);
    notifiers.resume(name)?;
    audit(call, "notifier_resume", "resumed")?;
    Answer::ok(&notifiers.get(name)?)
}

fn running(call: &Call) -> Result<&Notifiers, Fault> {
    let off = || Fault::not_found("there are no notifiers: [reporting] is not enabled");
    call.api().notifiers.as_ref().ok_or_else(off)
}

fn number(call: &Call, name: &str) -> Result<Option<u64>, Fault> {
    let parsed = call.query(name).map(str::parse).transpose();
    parsed.map_err(|_| Fault::bad_request(format!("?{name}= is the key of a dead letter")))
}

fn audit(call: &Call, action: &str, what: &str) -> Result<(), Fault> {
    let notifier = call.notifier()?;
    tracing::info!(target: "couic::audit", action, "notifier {notifier} {what}");
    Ok(())
}
