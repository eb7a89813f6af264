//! The daemon itself.

use couic_common::{DaemonStatus, Health, Live};

use super::{STATS_LIST, get, json, path};
use crate::api::{
    health, openapi,
    shape::Shape,
    status,
    table::{Access, Path, Run},
};

pub(super) static PATHS: &[Path] = &[
    path(
        "/v1/live",
        &[get("live", Access::Open, Run::Inline(health::live))
            .summary("That the API answers, whatever the state of the filter: for load balancers")
            .answers(200, json::<Live>())],
    ),
    path(
        "/v1/health",
        &[get("health", Access::Open, Run::Blocking(health::show))
            .summary("Whether every interface is filtered; 503 if one is not")
            .answers(200, json::<Health>())
            .also(&[503])],
    ),
    path(
        "/v1/openapi.json",
        &[get("openapi", Access::Any, Run::Inline(openapi::show))
            .summary("This document")
            .answers(200, Shape::OpenApi)],
    ),
    path(
        "/v1/status",
        &[get("status", STATS_LIST, Run::Blocking(status::show))
            .summary(
                "The state of the daemon and its machine: version, clock, disks, file descriptors",
            )
            .answers(200, json::<DaemonStatus>())],
    ),
];
