//! The daemon itself.

use couic_common::{AuditEntry, DaemonStatus, Health, Live};

use super::{LOG_READ, STATS_LIST, array, get, json, path};
use crate::api::{
    health, log,
    openapi::{self, ADDRESS_OR_NETWORK, POLICY, SHORT, TAGS},
    shape::{Query, Shape},
    status,
    table::{Access, Path, Run},
};

const LOG: &[Query] = &[
    Query::new(
        "limit",
        "At most so many entries, 1 to 1000; 100 by default",
    )
    .schema(
        r#"{"type": "integer", "format": "int32", "minimum": 1, "maximum": 1000, "default": 100}"#,
    ),
    Query::new("since", "Not older, Unix seconds").number(),
    Query::new("until", "Not newer, Unix seconds").number(),
    Query::new(
        "address",
        "An address or ADDRESS/PREFIX: rules that cover it, or lie in it",
    )
    .schema(ADDRESS_OR_NETWORK),
    Query::new(
        "tag",
        "Rules with this tag; * is a wildcard, commas separate alternatives",
    )
    .schema(TAGS),
    Query::new(
        "actor",
        "The name of the client, peer or set, or expiry or daemon; * is a wildcard",
    )
    .schema(SHORT),
    Query::new("action", "The action, such as added, removed or panic_on").schema(SHORT),
    Query::new("policy", "drop or ignore").schema(POLICY),
];

pub(super) static PATHS: &[Path] = &[
    path(
        "/v1/log",
        &[get("log", LOG_READ, Run::Blocking(log::list))
            .summary("The audit log, newest entries first: who changed what, from where, why")
            .answers(200, array::<AuditEntry>())
            .query(LOG)
            .errors(&[400, 404, 503])],
    ),
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
