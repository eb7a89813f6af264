//! Every route: path, method, right, work, documentation. The only list of them.

use couic_common::{
    BatchJob, BatchOutcome, ClientInfo, ClientRequest, Confirmations, Confirmed, DaemonStatus,
    DeadLetter, Discarded, Entry, EntryRequest, Health, Lookup, Metrics, NotifierInfo,
    NotifierTest, PanicRequest, PanicStatus, PeerForgotten, PeerInfo, PeerJob, ReloadStatus,
    RemovedByTag, Replayed, RevertedChange, SetBody, SetDeleted, SetSummary, SetUpdate, Stats,
    TagStats,
};
use couic_peering::{
    DigestAnswer, DigestRequest, PullAnswer, PullRequest, PushAnswer, PushRequest,
};

use super::{
    clients, confirm, exchange, health, list, lookup, notifiers,
    openapi::{self, Doc, Of, Query, Shape},
    panic, peer, peers, policy, sets, stats, status,
    table::{Access, Operation, Path, Run, Verb},
};
use crate::rbac::Right;

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

const FORMAT: &[Query] = &[Query {
    name: "format",
    text: "prometheus for OpenMetrics text; anything else is JSON",
    required: false,
    number: false,
}];

const BY_TAG: &[Query] = &[Query {
    required: true,
    ..TAG
}];

const DEAD_PAGE: &[Query] = &[
    Query {
        name: "limit",
        text: "at most so many, from 1 to 1,000; 100 where it is left out",
        required: false,
        number: true,
    },
    Query {
        name: "after",
        text: "a key: only dead letters behind it",
        required: false,
        number: true,
    },
];

const ONE_DEAD: &[Query] = &[Query {
    name: "key",
    text: "the key of one dead letter; all where it is left out",
    required: false,
    number: true,
}];

const WHICH_DEAD: &[Query] = &[Query {
    name: "key",
    text: "the key of one dead letter, or all",
    required: true,
    number: false,
}];

/// An operation whose documentation says nothing special.
const fn operation(
    verb: Verb,
    access: Access,
    run: Run,
    (id, summary): (&'static str, &'static str),
    answer: (u16, Shape),
) -> Operation {
    let doc = Doc {
        id,
        summary,
        query: &[],
        body: None,
        answer,
        also: &[],
        errors: &[],
    };
    Operation {
        verb,
        access,
        run,
        confirmable: false,
        doc,
    }
}

impl Operation {
    /// It takes `Couic-Confirm-Within`.
    const fn confirmable(mut self) -> Self {
        self.confirmable = true;
        self
    }

    const fn query(mut self, query: &'static [Query]) -> Self {
        self.doc.query = query;
        self
    }

    const fn body(mut self, body: Shape) -> Self {
        self.doc.body = Some(body);
        self
    }

    const fn also(mut self, statuses: &'static [u16]) -> Self {
        self.doc.also = statuses;
        self
    }

    const fn errors(mut self, errors: &'static [u16]) -> Self {
        self.doc.errors = errors;
        self
    }
}

const fn right(right: &'static [Right]) -> Access {
    Access::Rights(right)
}

/// The routes. Where two patterns fit a path, the first one counts, so the one with more words stands first.
pub(super) static PATHS: &[Path] = &[
    Path {
        pattern: "/v1/health",
        operations: &[operation(
            Verb::Get,
            Access::Open,
            Run::Blocking(health::show),
            ("health", "Whether every interface is filtered; 503 where one is not"),
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
            ("tag_stats", "Frames that a policy's rules decided about, by tag"),
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
    Path {
        pattern: "/v1/client",
        operations: &[
            operation(
                Verb::Get,
                right(&[Right::Clients]),
                Run::Inline(clients::list),
                ("list_clients", "Every client"),
                (200, Shape::Array(Of::type_::<ClientInfo>())),
            ),
            operation(
                Verb::Post,
                right(&[Right::Clients]),
                Run::BlockingBody(clients::create),
                ("create_client", "Makes a client with a token of its own"),
                (201, Shape::Json(Of::type_::<ClientInfo>())),
            )
            .body(Shape::Json(Of::type_::<ClientRequest>()))
            .errors(&[400, 413, 422]),
        ],
    },
    Path {
        pattern: "/v1/client/{client}",
        operations: &[
            operation(
                Verb::Get,
                right(&[Right::Clients]),
                Run::Inline(clients::get),
                ("get_client", "One client"),
                (200, Shape::Json(Of::type_::<ClientInfo>())),
            )
            .errors(&[404]),
            operation(
                Verb::Delete,
                right(&[Right::Clients]),
                Run::Blocking(clients::delete),
                ("delete_client", "Takes a client away: its token is refused from now on"),
                (204, Shape::Empty),
            )
            .errors(&[404, 422]),
        ],
    },
    Path {
        pattern: "/v1/peers",
        operations: &[operation(
            Verb::Get,
            right(&[Right::PeersList]),
            Run::Blocking(peers::list),
            ("list_peers", "The nodes that rules are shared with; none where peering is off"),
            (200, Shape::Array(Of::type_::<PeerInfo>())),
        )],
    },
    Path {
        pattern: "/v1/peers/{client}",
        operations: &[operation(
            Verb::Delete,
            right(&[Right::PeersForget]),
            Run::Blocking(peers::forget),
            ("forget_peer", "Removes every rule that came from a peer, here and as a deletion on all nodes"),
            (200, Shape::Json(Of::type_::<PeerForgotten>())),
        )
        .errors(&[404])],
    },
    Path {
        pattern: "/v1/notifiers",
        operations: &[operation(
            Verb::Get,
            right(&[Right::NotifiersList]),
            Run::Blocking(notifiers::list),
            ("list_notifiers", "Every notifier; none where reporting is off"),
            (200, Shape::Array(Of::type_::<NotifierInfo>())),
        )],
    },
    Path {
        pattern: "/v1/notifiers/{notifier}",
        operations: &[operation(
            Verb::Get,
            right(&[Right::NotifiersList]),
            Run::Blocking(notifiers::get),
            ("get_notifier", "One notifier"),
            (200, Shape::Json(Of::type_::<NotifierInfo>())),
        )
        .errors(&[404])],
    },
    Path {
        pattern: "/v1/notifiers/{notifier}/test",
        operations: &[operation(
            Verb::Post,
            right(&[Right::NotifiersOperate]),
            Run::Async(notifiers::test),
            (
                "test_notifier",
                "Delivers a sample, past what waits, and tells how that ended; 200 where it failed, too. Takes up to \
                 90 s",
            ),
            (200, Shape::Json(Of::type_::<NotifierTest>())),
        )
        .errors(&[404, 422])],
    },
    Path {
        pattern: "/v1/notifiers/{notifier}/dead",
        operations: &[
            operation(
                Verb::Get,
                right(&[Right::NotifiersOperate]),
                Run::Blocking(notifiers::dead),
                ("list_dead_letters", "Notifications that were given up, the oldest first"),
                (200, Shape::Array(Of::type_::<DeadLetter>())),
            )
            .query(DEAD_PAGE)
            .errors(&[400, 404]),
            operation(
                Verb::Delete,
                right(&[Right::NotifiersOperate]),
                Run::Blocking(notifiers::discard),
                ("discard_dead_letters", "Forgets dead letters"),
                (200, Shape::Json(Of::type_::<Discarded>())),
            )
            .query(WHICH_DEAD)
            .errors(&[400, 404]),
        ],
    },
    Path {
        pattern: "/v1/notifiers/{notifier}/replay",
        operations: &[operation(
            Verb::Post,
            right(&[Right::NotifiersOperate]),
            Run::Blocking(notifiers::replay),
            ("replay_dead_letters", "Puts dead letters back, behind what waits"),
            (200, Shape::Json(Of::type_::<Replayed>())),
        )
        .query(ONE_DEAD)
        .errors(&[400, 404])],
    },
    Path {
        pattern: "/v1/notifiers/{notifier}/resume",
        operations: &[operation(
            Verb::Post,
            right(&[Right::NotifiersOperate]),
            Run::Blocking(notifiers::resume),
            (
                "resume_notifier",
                "Lets a failed notifier try again, and one that waits between attempts try now",
            ),
            (200, Shape::Json(Of::type_::<NotifierInfo>())),
        )
        .errors(&[404])],
    },
    Path {
        pattern: "/v1/status",
        operations: &[operation(
            Verb::Get,
            right(&[Right::StatsList]),
            Run::Blocking(status::show),
            ("status", "What the daemon knows of itself and its machine: version, clock, disks, file descriptors"),
            (200, Shape::Json(Of::type_::<DaemonStatus>())),
        )],
    },
    Path {
        pattern: "/v1/panic",
        operations: &[
            operation(
                Verb::Get,
                Access::Any,
                Run::Inline(panic::show),
                ("get_panic", "Whether every packet passes, who switched last, and why"),
                (200, Shape::Json(Of::type_::<PanicStatus>())),
            ),
            operation(
                Verb::Put,
                right(&[Right::Panic]),
                Run::BlockingBody(panic::switch),
                (
                    "set_panic",
                    "Lets every packet pass from now on, whatever the rules say, or has the rules hold again. While it \
                     is on, every answer of the API has the header couic-panic: on",
                ),
                (200, Shape::Json(Of::type_::<PanicStatus>())),
            )
            .body(Shape::Json(Of::type_::<PanicRequest>()))
            .errors(&[400, 413, 422]),
        ],
    },
    Path {
        pattern: "/v1/confirm",
        operations: &[
            operation(
                Verb::Get,
                Access::Any,
                Run::Blocking(confirm::list),
                (
                    "list_confirmations",
                    "Changes of the client that wait to be confirmed, and those that were undone; for admin everybody's",
                ),
                (200, Shape::Json(Of::type_::<Confirmations>())),
            ),
            operation(
                Verb::Post,
                Access::Any,
                Run::Blocking(confirm::all),
                ("confirm_all", "Confirms every change of the client; 404 where none waits"),
                (200, Shape::Json(Of::type_::<Confirmed>())),
            )
            .errors(&[404, 422, 503]),
        ],
    },
    Path {
        pattern: "/v1/confirm/{confirmation}",
        operations: &[
            operation(
                Verb::Post,
                Access::Any,
                Run::Blocking(confirm::one),
                ("confirm", "Confirms one change: it stays. An admin may confirm everybody's"),
                (200, Shape::Json(Of::type_::<Confirmed>())),
            )
            .errors(&[404, 422, 503]),
            operation(
                Verb::Delete,
                Access::Any,
                Run::Blocking(confirm::undo),
                ("undo", "Undoes one change at once"),
                (200, Shape::Json(Of::type_::<RevertedChange>())),
            )
            .errors(&[404, 422]),
        ],
    },
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
        pattern: "/v1/sets/reload",
        operations: &[operation(
            Verb::Post,
            right(&[Right::SetsCreate]),
            Run::Blocking(sets::reload),
            ("reload_sets", "Puts the set files in force: only what differs changes, all of it or nothing"),
            (201, Shape::Json(Of::type_::<ReloadStatus>())),
        )
        .errors(&[422])
            .confirmable()],
    },
    Path {
        pattern: "/v1/sets/{policy}",
        operations: &[
            operation(
                Verb::Get,
                right(&[Right::SetsList]),
                Run::Blocking(sets::list),
                ("list_sets", "The sets of a policy"),
                (200, Shape::Array(Of::type_::<SetSummary>())),
            )
            .errors(&[400]),
            operation(
                Verb::Post,
                right(&[Right::SetsCreate]),
                Run::BlockingBody(sets::create),
                ("create_set", "Writes a new set file; it is in force after the next reload"),
                (201, Shape::Json(Of::type_::<SetBody>())),
            )
            .body(Shape::Json(Of::type_::<SetBody>()))
            .errors(&[400, 409, 413, 422])
            .confirmable(),
        ],
    },
    Path {
        pattern: "/v1/sets/{policy}/{set}",
        operations: &[
            operation(
                Verb::Get,
                right(&[Right::SetsGet]),
                Run::Blocking(sets::get),
                ("get_set", "One set"),
                (200, Shape::Json(Of::type_::<SetBody>())),
            )
            .errors(&[400, 404, 422]),
            operation(
                Verb::Put,
                right(&[Right::SetsCreate]),
                Run::BlockingBody(sets::replace),
                ("replace_set", "Writes a set file anew; it is in force after the next reload"),
                (200, Shape::Json(Of::type_::<SetBody>())),
            )
            .body(Shape::Json(Of::type_::<SetUpdate>()))
            .errors(&[400, 404, 413, 422])
            .confirmable(),
            operation(
                Verb::Delete,
                right(&[Right::SetsDelete]),
                Run::Blocking(sets::delete),
                ("delete_set", "Deletes a set file; its rules go at the next reload"),
                (200, Shape::Json(Of::type_::<SetDeleted>())),
            )
            .errors(&[400, 404])
            .confirmable(),
        ],
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
