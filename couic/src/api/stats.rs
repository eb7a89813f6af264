//! Statistics, as JSON and for Prometheus.

use couic_common::{Metrics, Policy, TagStats};
use couic_httpd::{Exposition, Family};
use warp::http::StatusCode;

use super::{
    Api,
    answer::{Answer, Outcome},
    call::Call,
};
use crate::metrics::{Figures, ReportingFigures, sorted};

/// `GET /v1/stats`.
pub(super) fn global(call: &Call) -> Outcome {
    Answer::ok(&call.firewall().stats())
}

/// `GET /v1/stats/tags/{policy}`.
pub(super) fn tags(call: &Call) -> Outcome {
    let tags = call.firewall().tag_stats(call.policy()?);
    Answer::ok(&TagStats { tags })
}

/// `GET /v1/metrics`: a text for Prometheus on request, else JSON.
pub(super) fn metrics(call: &Call) -> Outcome {
    let firewall = call.firewall();
    if call.query("format") == Some("prometheus") {
        let (api, format) = (call.api(), call.exposition);
        let figures = figures(api);
        let mut families = api.metrics.families(&figures);
        // The names of Couic 1.0, in its format: elsewhere a gauge has no `_total`.
        if format == Exposition::OpenMetrics {
            families.extend(figures.old_families());
            families = sorted(families);
        }
        let text = format.render(&families).into_bytes();
        return Ok(Answer::whole(StatusCode::OK, format.content_type(), text));
    }
    Answer::ok(&Metrics {
        stats: firewall.stats(),
        drop_tags: firewall.tag_stats(Policy::Drop),
        ignore_tags: firewall.tag_stats(Policy::Ignore),
    })
}

/// All figures of the daemon now. May block.
fn figures(api: &Api) -> Figures {
    Figures {
        peers: api.peering.as_ref().map(|engine| engine.peers()),
        pending_confirmations: api.confirmations.waiting_count(),
        reporting: api.notifiers.as_ref().map(ReportingFigures::of),
        health: Some((api.health)()),
        ..Figures::of(&api.firewall)
    }
}

impl Api {
    /// All metrics but those that only Couic 1.0 names, by name. May block.
    #[must_use]
    pub fn metric_families(&self) -> Vec<Family> {
        self.metrics.families(&figures(self))
    }
}
