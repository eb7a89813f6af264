//! The peering protocol: digests, and the registers that differ.
//!
//! The token identifies the peer. Its limits are checked for each register; the answer lists the refused ones, which do
//! not keep others from being accepted.

use bytes::Bytes;
use couic_common::ErrorCode;
use couic_peering::{DigestRequest, PullRequest, PushRequest};
use warp::http::StatusCode;

use super::{
    answer::{Answer, JSON, Outcome},
    body::Body,
    call::Call,
    error::Fault,
};
use crate::peering::{AnswerPlace, Engine};

/// As much as a connection buffers.
const PIECE: usize = 32 * 1024;

/// `POST /v1/{policy}/digest`.
pub(super) fn digest(call: &Call, body: &Body) -> Outcome {
    let request: DigestRequest = body.named()?;
    Answer::ok(&engine(call)?.digests(&call.who()?.name, call.policy()?, &request)?)
}

/// `POST /v1/{policy}/pull`.
pub(super) fn pull(call: &Call, body: &Body) -> Outcome {
    let (engine, name) = (engine(call)?, &call.who()?.name);
    let request: PullRequest = body.named()?;
    let place = engine.place_for_answer(name).ok_or_else(|| {
        let message = "too many answers with rules are not read yet: read those first";
        Fault::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Internal,
            message.to_owned(),
        )
    })?;
    let answer = engine.pull(name, call.policy()?, &request)?;
    let body = serde_json::to_vec(&answer);
    let body = body.map_err(|error| Fault::internal("writing an answer", &error))?;
    Ok(Answer::pieces(
        JSON,
        Box::new(Unsent {
            body,
            sent: 0,
            place,
        }),
    ))
}

/// An answer that keeps its place until it is sent.
struct Unsent {
    body: Vec<u8>,
    sent: usize,
    #[expect(dead_code, reason = "its end is what counts")]
    place: AnswerPlace,
}

impl Iterator for Unsent {
    type Item = Bytes;

    /// A copy, so that the body ends with its place.
    fn next(&mut self) -> Option<Bytes> {
        let rest = self.body.get(self.sent..).filter(|rest| !rest.is_empty())?;
        let piece = Bytes::copy_from_slice(&rest[..rest.len().min(PIECE)]);
        self.sent += piece.len();
        Some(piece)
    }
}

/// `POST /v1/{policy}/push`.
pub(super) fn push(call: &Call, body: &Body) -> Outcome {
    let engine = engine(call)?;
    let request: PushRequest = body.named()?;
    Answer::ok(&engine.push(&call.who()?.name, call.policy()?, &request)?)
}

/// 404 if peering is off, with a code that tells this node from Couic 1.0: the peer asks again, and sends no plain jobs.
fn engine(call: &Call) -> Result<&Engine, Fault> {
    let off = || {
        let message = "this node does not share rules: [peering] is not enabled";
        Fault::new(StatusCode::NOT_FOUND, ErrorCode::PeeringOff, message)
    };
    call.api().peering.as_deref().ok_or_else(off)
}
