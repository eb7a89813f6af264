//! Statistics and metrics.

use couic_common::{Metrics, Stats, TagStats};

use super::{STATS_GET, STATS_LIST, get, json, json_or_metrics, path};
use crate::api::{
    shape::Query,
    stats,
    table::{Path, Run},
};

const FORMAT: &[Query] = &[Query::new(
    "format",
    "prometheus for OpenMetrics text, or the Prometheus text format 0.0.4 if Accept prefers it; anything else is JSON",
)
.schema(r#"{"type": "string", "examples": ["prometheus"]}"#)];

pub(super) static PATHS: &[Path] = &[
    path(
        "/v1/stats",
        &[get("stats", STATS_LIST, Run::Inline(stats::global))
            .summary("Totals of rules and frames")
            .answers(200, json::<Stats>())],
    ),
    path(
        "/v1/stats/tags/{policy}",
        &[get("tag_stats", STATS_GET, Run::Blocking(stats::tags))
            .summary("Frames matched by a policy's rules, by tag")
            .answers(200, json::<TagStats>())
            .errors(&[400])],
    ),
    path(
        "/v1/metrics",
        &[get("metrics", STATS_LIST, Run::Blocking(stats::metrics))
            .summary("All metrics, as JSON or for Prometheus")
            .answers(200, json_or_metrics::<Metrics>())
            .query(FORMAT)],
    ),
];
