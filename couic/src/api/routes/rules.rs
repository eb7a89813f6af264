//! The rules: single, in batches, and from other nodes.

use couic_common::{
    BatchJob, BatchOutcome, Entry, EntryRequest, EventGap, Lookup, PeerJob, RemovedByTag,
    RuleChange,
};
use couic_peering::{
    DigestAnswer, DigestRequest, PullAnswer, PullRequest, PushAnswer, PushRequest,
};

use super::{
    POLICY_CREATE, POLICY_CREATE_AND_DELETE, POLICY_DELETE, POLICY_GET, POLICY_LIST, POLICY_PEER,
    array, array_or_lines, delete, events as event_stream, get, json, path, post,
};
use crate::api::{
    events, exchange, list, lookup,
    openapi::{ADDRESSES, ONE_TAG, POLICY, SOME_TAGS, TAGS},
    peer, policy,
    shape::{Query, Shape},
    table::{Path, Run},
};

const TAG: Query = Query::new(
    "tag",
    "alternatives separated by commas; * stands for any characters, untagged for entries without a tag",
)
.schema(TAGS);

const OWNERS: Query = Query::new("owners", "true: each entry has its owners").flag();

const ALL_OWNERS: Query = Query::new(
    "all_owners",
    "true: removals end the claims of all clients and peers, not only the client's own; group admin",
)
.flag();

const ONE_CLAIM: Query = Query::new(
    "tag",
    "release only the client's claim with this tag, untagged for the one without; 404 if there is none",
)
.schema(ONE_TAG);

const LIST_QUERY: &[Query] = &[
    TAG,
    OWNERS,
    Query::new("limit", "the most entries to return, from 1")
        .schema(r#"{"type": "integer", "format": "int64", "minimum": 1}"#),
    Query::new(
        "after",
        "a CIDR: only entries after it, in the order of lists",
    )
    .schema(r##"{"$ref": "#/components/schemas/Cidr"}"##),
];

const REASON: Query = Query::new(
    "reason",
    "why the entries are removed: goes to reports, as the detail of metadata of the kind reason",
);

const BY_TAG: &[Query] = &[
    TAG.schema(SOME_TAGS).required(),
    ALL_OWNERS,
    REASON,
    GUARD,
    LIFT,
    FORCE,
];

const OF_DELETE: &[Query] = &[ONE_CLAIM, ALL_OWNERS, REASON, GUARD, LIFT, FORCE];

pub(super) const GUARD: Query = Query::new(
    "guard",
    "asks for the guard rails; addresses to protect besides the host's, with commas between them",
)
.schema(ADDRESSES);

pub(super) const LIFT: Query = Query::new(
    "lift",
    "guard rails that do not hold, with commas between them",
)
.schema(
    r#"{"type": "string", "pattern": "^,*(?:(?:caller|host|gateway|peer|resolver|notifier|special|width)(?:,+|$))*$"}"#,
);

const EVENTS_QUERY: &[Query] = &[
    Query::new("policy", "only changes of this policy").schema(POLICY),
    TAG,
    Query::new(
        "after",
        "the id of the last event that you have: goes on behind it. The header Last-Event-ID comes before it",
    )
    .schema(r#"{"type": "string", "pattern": "^[0-9a-f]{16}-[0-9]{1,20}$"}"#),
    Query::new(
        "follow",
        "false: what is kept (behind `after`), and no more; by default the stream goes on, from now if there is no `after`",
    )
    .schema(r#"{"type": "boolean", "default": true}"#),
];

pub(super) const FORCE: Query = Query::new("force", "true: no guard rail holds").flag();

pub(super) static PATHS: &[Path] = &[
    path(
        "/v1/events",
        &[get("events", POLICY_LIST, Run::Inline(events::stream))
            .summary(
                "Changes of rules as they happen, as server-sent events. The data of an event is a RuleChange; that of \
                 an event of type gap, for changes that are missing, {\"missed\": how many, or null}",
            )
            .answers(200, event_stream::<RuleChange, EventGap>())
            .query(EVENTS_QUERY)
            .errors(&[400, 503])],
    ),
    path(
        "/v1/lookup/{ip}",
        &[get("lookup", POLICY_GET, Run::Inline(lookup::show))
            .summary("What happens to packets from an address, and which rules decide it")
            .answers(200, json::<Lookup>())
            .errors(&[400])],
    ),
    path(
        "/v1/{policy}/peer",
        &[post("peer", POLICY_PEER, Run::Body(peer::apply))
            .summary("Adds and removes from a peer, all validated before the first is applied")
            .answers(201, array::<PeerJob>())
            .body(array::<PeerJob>())
            .errors(&[400, 413, 422])],
    ),
    path(
        "/v1/{policy}/digest",
        &[
            post("peer_digest", POLICY_PEER, Run::Body(exchange::digest))
                .summary(
                    "Among peers: digests of the shared rules; 404 if peering is off",
                )
                .answers(200, json::<DigestAnswer>())
                .body(json::<DigestRequest>())
                .errors(&[400, 404, 413, 422]),
        ],
    ),
    path(
        "/v1/{policy}/pull",
        &[
            post("peer_pull", POLICY_PEER, Run::BlockingBody(exchange::pull))
                .summary("Among peers: the rules and tombstones in some ranges")
                .answers(200, json::<PullAnswer>())
                .body(json::<PullRequest>())
                .errors(&[400, 404, 413, 422]),
        ],
    ),
    path(
        "/v1/{policy}/push",
        &[
            post("peer_push", POLICY_PEER, Run::BlockingBody(exchange::push))
                .summary(
                    "Among peers: rules and tombstones; each is validated separately, of each author the later one wins",
                )
                .answers(200, json::<PushAnswer>())
                .body(json::<PushRequest>())
                .errors(&[400, 404, 413, 422]),
        ],
    ),
    path(
        "/v1/{policy}/batch",
        &[post("batch", POLICY_CREATE_AND_DELETE, Run::Batch)
            .summary(
                "Many adds and removes, each validated separately; as NDJSON of any length, applied while it is received",
            )
            .answers(200, json::<BatchOutcome>())
            .body(array_or_lines::<BatchJob>())
            .query(&[ALL_OWNERS])
            .errors(&[400, 413])
            .scoped()
            .confirmable()],
    ),
    path(
        "/v1/{policy}/{ip}/{prefix}",
        &[
            get("get_entry", POLICY_GET, Run::Inline(policy::get))
                .summary("One entry")
                .answers(200, json::<Entry>())
                .query(&[OWNERS])
                .errors(&[400, 404]),
            delete("delete_entry", POLICY_DELETE, Run::Inline(policy::delete))
                .summary(
                    "Releases the client's claims on an entry. If others hold it too it stays, and the header \
                     couic-held-by names them; 422 if a set defines it, or only others hold it",
                )
                .answers(204, Shape::Empty)
                .query(OF_DELETE)
                .errors(&[400, 404, 422])
                .scoped()
                .confirmable(),
        ],
    ),
    path(
        "/v1/{policy}",
        &[
            get("list_entries", POLICY_LIST, Run::Blocking(list::list))
                .summary(
                    "The entries of a policy: IPv4 first, then by address and prefix. No snapshot: concurrent changes may be in it or not",
                )
                .answers(200, array_or_lines::<Entry>())
                .query(LIST_QUERY)
                .errors(&[400]),
            post("create_entry", POLICY_CREATE, Run::Body(policy::create))
                .summary("Adds an entry; 409 if it exists, unless `longer` asks for its renewal")
                .answers(201, json::<Entry>())
                .body(json::<EntryRequest>())
                .errors(&[400, 409, 413, 422, 429])
                .scoped()
                .confirmable(),
            delete(
                "delete_entries",
                POLICY_DELETE,
                Run::Blocking(policy::delete_by_tag),
            )
            .summary("Releases the client's claims by tag")
            .answers(200, json::<RemovedByTag>())
            .query(BY_TAG)
            .errors(&[400, 422])
            .scoped()
            .confirmable(),
        ],
    ),
];
