//! The protocol of nodes that share rules: digests, and the registers that differ.
//!
//! The peer is whose token it is. Its limits are judged where its registers are taken; one that is refused is told in
//! the answer, and keeps no other from being taken.

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

/// Where peering is off, these routes are not there: who asks then sends plain jobs.
fn engine(call: &Call) -> Result<&Engine, Fault> {
    let off = || Fault::not_found("this node does not share rules: [peering] is not enabled");
    call.api().peering.as_deref().ok_or_else(off)
}
