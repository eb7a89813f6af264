//! Peers: their state, and forgetting one.

use couic_common::{PeerForgotten, counted};

use super::{
    answer::{Answer, Outcome},
    call::Call,
    error::Fault,
};

/// `GET /v1/peers`.
pub(super) fn list(call: &Call) -> Outcome {
    let engine = call.api().peering.as_ref();
    Answer::ok(&engine.map(|engine| engine.peers()).unwrap_or_default())
}

/// `DELETE /v1/peers/{client}`.
pub(super) fn forget(call: &Call) -> Outcome {
    let off = || Fault::not_found("there are no peers: [peering] is not enabled");
    let engine = call.api().peering.as_ref().ok_or_else(off)?;
    let (peer, client) = (call.client()?, &call.who()?.name);
    let removed = engine.forget(peer, client);
    let removed =
        removed.ok_or_else(|| Fault::not_found(format!("there is no peer called {peer}")))?;
    let rules = counted(removed, "rule", "rules");
    tracing::info!(target: "couic::audit", action = "peer_forgotten", "peer {peer} forgotten, {rules} removed");
    Answer::ok(&PeerForgotten { removed })
}
