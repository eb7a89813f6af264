//! The verdict for an address, and the rules behind it.

use super::{
    answer::{Answer, Outcome},
    call::Call,
};

/// `GET /v1/lookup/{ip}`.
pub(super) fn show(call: &Call) -> Outcome {
    Answer::ok(&call.firewall().lookup(call.ip()?))
}
