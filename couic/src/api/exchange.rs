//! The peering protocol: digests, and the registers that differ.
//!
//! The token identifies the peer. Its limits are checked for each register; the answer lists the refused ones, which do
//! not keep others from being accepted.

use couic_peering::{DigestRequest, PullRequest, PushRequest};

use super::{
    answer::{Answer, Outcome},
    body::Body,
    call::Call,
    error::Fault,
};
use crate::peering::Engine;

/// `POST /v1/{policy}/digest`.
pub(super) fn digest(call: &Call, body: &Body) -> Outcome {
    let request: DigestRequest = body.named()?;
    Answer::ok(&engine(call)?.digests(&call.who()?.name, call.policy()?, &request)?)
}

/// `POST /v1/{policy}/pull`.
pub(super) fn pull(call: &Call, body: &Body) -> Outcome {
    let request: PullRequest = body.named()?;
    Answer::ok(&engine(call)?.pull(&call.who()?.name, call.policy()?, &request)?)
}

/// `POST /v1/{policy}/push`.
pub(super) fn push(call: &Call, body: &Body) -> Outcome {
    let engine = engine(call)?;
    let request: PushRequest = body.named()?;
    Answer::ok(&engine.push(&call.who()?.name, call.policy()?, &request)?)
}

/// 404 if peering is off: the peer then falls back to plain jobs.
fn engine(call: &Call) -> Result<&Engine, Fault> {
    let off = || Fault::not_found("this node does not share rules: [peering] is not enabled");
    call.api().peering.as_deref().ok_or_else(off)
}
