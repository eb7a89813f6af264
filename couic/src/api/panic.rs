//! The panic switch.

use couic_common::PanicRequest;

use super::{
    answer::{Answer, Outcome},
    body::Body,
    call::Call,
    error::Fault,
};

/// The longest reason, in characters.
const MAX_REASON: usize = 200;

/// `GET /v1/panic`.
pub(super) fn show(call: &Call) -> Outcome {
    Answer::ok(&call.api().panic.status())
}

/// `PUT /v1/panic`.
pub(super) fn switch(call: &Call, body: &Body) -> Outcome {
    let PanicRequest { on, reason } = body.named()?;
    let reason = reason.filter(|reason| !reason.trim().is_empty());
    let bad =
        |text: &String| text.chars().count() > MAX_REASON || text.chars().any(char::is_control);
    if reason.as_ref().is_some_and(bad) {
        let message = format!("a reason has at most {MAX_REASON} characters, on one line");
        return Err(Fault::invalid("reason", message));
    }
    let (switch, by) = (&call.api().panic, &call.who()?.name);
    Answer::ok(&if on {
        switch.on(by, reason)
    } else {
        switch.off(by)
    })
}
