//! Statistics, as JSON and for Prometheus.

use couic_common::{Metrics, Policy, TagStats};
use warp::http::StatusCode;

use super::{
    answer::{Answer, OPENMETRICS, Outcome},
    call::Call,
};

/// `GET /v1/stats`.
pub(super) fn global(call: &Call) -> Outcome {
    Answer::ok(&call.firewall().stats())
}

/// `GET /v1/stats/tags/{policy}`.
pub(super) fn tags(call: &Call) -> Outcome {
    let tags = call.firewall().tag_stats(call.policy()?);
    Answer::ok(&TagStats { tags })
}

/// `GET /v1/metrics`: OpenMetrics text on request, else JSON.
pub(super) fn metrics(call: &Call) -> Outcome {
    let firewall = call.firewall();
    if call.query("format") == Some("prometheus") {
        let api = call.api();
        let peers = api.peering.as_ref().map(|engine| engine.peers());
        let waiting = api.confirmations.waiting_count();
        let text = api
            .metrics
            .render(firewall, api.notifiers.as_ref(), peers, waiting);
        return Ok(Answer::whole(
            StatusCode::OK,
            OPENMETRICS,
            text.into_bytes(),
        ));
    }
    Answer::ok(&Metrics {
        stats: firewall.stats(),
        drop_tags: firewall.tag_stats(Policy::Drop),
        ignore_tags: firewall.tag_stats(Policy::Ignore),
    })
}
