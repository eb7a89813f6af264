//! The rules: one by one, many at once, and as other nodes send them.

use couic_common::{BatchJob, BatchOutcome, Entry, EntryRequest, Lookup, PeerJob, RemovedByTag};
use couic_peering::{
    DigestAnswer, DigestRequest, PullAnswer, PullRequest, PushAnswer, PushRequest,
};

use super::{operation, right};
use crate::{
    api::{
        exchange, list, lookup,
        openapi::{Of, Query, Shape},
        peer, policy,
        table::{Path, Run, Verb},
    },
    rbac::Right,
};

const TAG: Query = Query {
    name: "tag",
    text: "alternatives separated by commas; * stands for any characters, untagged for entries without a tag",
    required: false,
    number: false,
};

const LIST_QUERY: &[Query] = &[
    TAG,
    Query {
        name: "limit",
        text: "at most so many entries, from 1",
        required: false,
        number: true,
    },
    Query {
        name: "after",
        text: "a CIDR: only entries behind it, in the order of lists",
        required: false,
        number: false,
    },
];

const BY_TAG: &[Query] = &[Query {
    required: true,
    ..TAG
}];

pub(super) static PATHS: &[Path] = &[
    Path {
        pattern: "/v1/lookup/{ip}",
        operations: &[operation(
            Verb::Get,
            right(&[Right::PolicyGet]),
            Run::Inline(lookup::show),
            ("lookup", "What happens to packets from an address, and which rules say so"),
            (200, Shape::Json(Of::type_::<Lookup>())),
        )
        .errors(&[400])],
    },
    Path {
        pattern: "/v1/{policy}/peer",
        operations: &[operation(
            Verb::Post,
            right(&[Right::PolicyPeer]),
            Run::Body(peer::apply),
            ("peer", "What a peer tells; judged whole before anything is applied"),
            (201, Shape::Array(Of::type_::<PeerJob>())),
        )
        .body(Shape::Array(Of::type_::<PeerJob>()))
        .errors(&[400, 413, 422])],
    },
    Path {
        pattern: "/v1/{policy}/digest",
        operations: &[operation(
            Verb::Post,
            right(&[Right::PolicyPeer]),
            Run::Body(exchange::digest),
            ("peer_digest", "Among peers: digests of the rules that are shared; 404 where peering is off"),
            (200, Shape::Json(Of::type_::<DigestAnswer>())),
        )
        .body(Shape::Json(Of::type_::<DigestRequest>()))
        .errors(&[400, 404, 413, 422])],
    },
    Path {
        pattern: "/v1/{policy}/pull",
        operations: &[operation(
            Verb::Post,
            right(&[Right::PolicyPeer]),
            Run::BlockingBody(exchange::pull),
            ("peer_pull", "Among peers: the rules and tombstones in some ranges"),
            (200, Shape::Json(Of::type_::<PullAnswer>())),
        )
        .body(Shape::Json(Of::type_::<PullRequest>()))
        .errors(&[400, 404, 413, 422])],
    },
    Path {
        pattern: "/v1/{policy}/push",
        operations: &[operation(
            Verb::Post,
            right(&[Right::PolicyPeer]),
            Run::BlockingBody(exchange::push),
            ("peer_push", "Among peers: rules and tombstones; each is judged by itself, the later one wins"),
            (200, Shape::Json(Of::type_::<PushAnswer>())),
        )
        .body(Shape::Json(Of::type_::<PushRequest>()))
        .errors(&[400, 404, 413, 422])],
    },
    Path {
        pattern: "/v1/{policy}/batch",
        operations: &[operation(
            Verb::Post,
            right(&[Right::PolicyCreate, Right::PolicyDelete]),
            Run::Batch,
            (
                "batch",
                "Many adds and removes, each judged by itself; as NDJSON of any length, applied while it comes in",
            ),
            (200, Shape::Json(Of::type_::<BatchOutcome>())),
        )
        .body(Shape::ArrayOrLines(Of::type_::<BatchJob>()))
        .errors(&[400, 413])
            .confirmable()],
    },
    Path {
        pattern: "/v1/{policy}/{ip}/{prefix}",
        operations: &[
            operation(
                Verb::Get,
                right(&[Right::PolicyGet]),
                Run::Inline(policy::get),
                ("get_entry", "One entry"),
                (200, Shape::Json(Of::type_::<Entry>())),
            )
            .errors(&[400, 404]),
            operation(
                Verb::Delete,
                right(&[Right::PolicyDelete]),
                Run::Inline(policy::delete),
                ("delete_entry", "Removes an entry; 422 where a set defines it"),
                (204, Shape::Empty),
            )
            .errors(&[400, 404, 422])
            .confirmable(),
        ],
    },
    Path {
        pattern: "/v1/{policy}",
        operations: &[
            operation(
                Verb::Get,
                right(&[Right::PolicyList]),
                Run::Blocking(list::list),
                (
                    "list_entries",
                    "The entries of a policy: IPv4 first, then by address and prefix. No snapshot: what changes \
                     meanwhile may be in it or not",
                ),
                (200, Shape::ArrayOrLines(Of::type_::<Entry>())),
            )
            .query(LIST_QUERY)
            .errors(&[400]),
            operation(
                Verb::Post,
                right(&[Right::PolicyCreate]),
                Run::Body(policy::create),
                ("create_entry", "Adds an entry; 409 where it is there already"),
                (201, Shape::Json(Of::type_::<Entry>())),
            )
            .body(Shape::Json(Of::type_::<EntryRequest>()))
            .errors(&[400, 409, 413, 422])
            .confirmable(),
            operation(
                Verb::Delete,
                right(&[Right::PolicyDelete]),
                Run::Blocking(policy::delete_by_tag),
                ("delete_entries", "Removes entries by tag"),
                (200, Shape::Json(Of::type_::<RemovedByTag>())),
            )
            .query(BY_TAG)
            .errors(&[400])
            .confirmable(),
        ],
    },
];
