//! What the daemon tells of itself.

use couic_common::{DaemonStatus, Health};

use super::{operation, right};
use crate::{
    api::{
        health,
        openapi::{self, Of, Shape},
        status,
        table::{Access, Path, Run, Verb},
    },
    rbac::Right,
};

pub(super) static PATHS: &[Path] = &[
    Path {
        pattern: "/v1/health",
        operations: &[operation(
            Verb::Get,
            Access::Open,
            Run::Blocking(health::show),
            (
                "health",
                "Whether every interface is filtered; 503 where one is not",
            ),
            (200, Shape::Json(Of::type_::<Health>())),
        )
        .also(&[503])],
    },
    Path {
        pattern: "/v1/openapi.json",
        operations: &[operation(
            Verb::Get,
            Access::Any,
            Run::Inline(openapi::show),
            ("openapi", "This document"),
            (200, Shape::OpenApi),
        )],
    },
    Path {
        pattern: "/v1/status",
        operations: &[operation(
            Verb::Get,
            right(&[Right::StatsList]),
            Run::Blocking(status::show),
            (
                "status",
                "What the daemon knows of itself and its machine: version, clock, disks, file descriptors",
            ),
            (200, Shape::Json(Of::type_::<DaemonStatus>())),
        )],
    },
];
