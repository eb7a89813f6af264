//! The state of the daemon and its machine, for `couicctl doctor`.

use super::{
    answer::{Answer, Outcome},
    call::Call,
};

/// `GET /v1/status`.
pub(super) fn show(call: &Call) -> Outcome {
    let api = call.api();
    let mut status = api.host.read();
    status.pending_confirmations = api.confirmations.waiting_count() as u64;
    Answer::ok(&status)
}
