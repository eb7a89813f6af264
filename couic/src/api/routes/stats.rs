//! Figures.

use couic_common::{Metrics, Stats, TagStats};

use super::{operation, right};
use crate::{
    api::{
        openapi::{Of, Query, Shape},
        stats,
        table::{Path, Run, Verb},
    },
    rbac::Right,
};

const FORMAT: &[Query] = &[Query {
    name: "format",
    text: "prometheus for OpenMetrics text; anything else is JSON",
    required: false,
    number: false,
}];

pub(super) static PATHS: &[Path] = &[
    Path {
        pattern: "/v1/stats",
        operations: &[operation(
            Verb::Get,
            right(&[Right::StatsList]),
            Run::Inline(stats::global),
            ("stats", "Rules and frames, over all"),
            (200, Shape::Json(Of::type_::<Stats>())),
        )],
    },
    Path {
        pattern: "/v1/stats/tags/{policy}",
        operations: &[operation(
            Verb::Get,
            right(&[Right::StatsGet]),
            Run::Blocking(stats::tags),
            (
                "tag_stats",
                "Frames that a policy's rules decided about, by tag",
            ),
            (200, Shape::Json(Of::type_::<TagStats>())),
        )
        .errors(&[400])],
    },
    Path {
        pattern: "/v1/metrics",
        operations: &[operation(
            Verb::Get,
            right(&[Right::StatsList]),
            Run::Blocking(stats::metrics),
            ("metrics", "All figures, as JSON or for Prometheus"),
            (200, Shape::JsonOrMetrics(Of::type_::<Metrics>())),
        )
        .query(FORMAT)],
    },
];
