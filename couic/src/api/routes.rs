//! Every route: path, method, right, handler, documentation. The only list of them, by area.

mod clients;
mod daemon;
mod notifiers;
mod rules;
mod sets;
mod stats;
mod switches;

use utoipa::ToSchema;

use super::{
    openapi::Doc,
    shape::{Of, Query, Shape},
    table::{Access, Operation, Path, Run, Verb},
};
use crate::rbac::Right;

/// The routes. If two patterns match a path, the first one wins, so those of the rules, which begin with a variable,
/// come last, and in each area the pattern with more words comes first.
static AREAS: &[(&str, &[Path])] = &[
    ("daemon", daemon::PATHS),
    ("stats", stats::PATHS),
    ("safety", switches::PATHS),
    ("clients", clients::PATHS),
    ("notifiers", notifiers::PATHS),
    ("sets", sets::PATHS),
    ("rules", rules::PATHS),
];

/// The tags of the OpenAPI document: the areas, and what peers send to each other.
pub(super) const TAGS: [(&str, &str); 8] = [
    (
        "rules",
        "Rules: bans (drop) and exceptions (ignore), single and in batches.",
    ),
    ("sets", "Set files: lists that survive restarts."),
    ("stats", "Figures and metrics."),
    (
        "daemon",
        "Health and state of the daemon, and this document.",
    ),
    (
        "safety",
        "The panic switch, and changes that are undone unless they are confirmed.",
    ),
    ("clients", "API clients and their tokens."),
    ("notifiers", "Receivers of reports of rule changes."),
    (
        "peering",
        "The nodes that rules are shared with, and what they send to each other.",
    ),
];

/// All of them, in order of precedence.
pub(super) fn paths() -> impl Iterator<Item = &'static Path> {
    paths_by_area().map(|(_, path)| path)
}

pub(super) fn paths_by_area() -> impl Iterator<Item = (&'static str, &'static Path)> {
    AREAS
        .iter()
        .flat_map(|(area, paths)| paths.iter().map(|path| (*area, path)))
}

/// The tag of an operation.
pub(super) fn tag(area: &'static str, pattern: &str, access: Access) -> &'static str {
    let is_peers = matches!(access, Access::Rights([Right::PolicyPeer]));
    if is_peers || pattern.starts_with("/v1/peers") {
        "peering"
    } else {
        area
    }
}

// The rights that the client's group needs.
const CLIENTS: Access = Access::Rights(&[Right::Clients]);
const LOG_READ: Access = Access::Rights(&[Right::LogRead]);
const NOTIFIERS_LIST: Access = Access::Rights(&[Right::NotifiersList]);
const NOTIFIERS_OPERATE: Access = Access::Rights(&[Right::NotifiersOperate]);
const PANIC: Access = Access::Rights(&[Right::Panic]);
const PEERS_FORGET: Access = Access::Rights(&[Right::PeersForget]);
const PEERS_LIST: Access = Access::Rights(&[Right::PeersList]);
const POLICY_CREATE: Access = Access::Rights(&[Right::PolicyCreate]);
const POLICY_CREATE_AND_DELETE: Access =
    Access::Rights(&[Right::PolicyCreate, Right::PolicyDelete]);
const POLICY_DELETE: Access = Access::Rights(&[Right::PolicyDelete]);
const POLICY_GET: Access = Access::Rights(&[Right::PolicyGet]);
const POLICY_LIST: Access = Access::Rights(&[Right::PolicyList]);
const POLICY_PEER: Access = Access::Rights(&[Right::PolicyPeer]);
const SETS_CREATE: Access = Access::Rights(&[Right::SetsCreate]);
const SETS_DELETE: Access = Access::Rights(&[Right::SetsDelete]);
const SETS_GET: Access = Access::Rights(&[Right::SetsGet]);
const SETS_LIST: Access = Access::Rights(&[Right::SetsList]);
const STATS_GET: Access = Access::Rights(&[Right::StatsGet]);
const STATS_LIST: Access = Access::Rights(&[Right::StatsList]);

const fn path(pattern: &'static str, operations: &'static [Operation]) -> Path {
    Path {
        pattern,
        operations,
    }
}

const fn get(id: &'static str, access: Access, run: Run) -> Operation {
    operation(Verb::Get, id, access, run)
}

const fn post(id: &'static str, access: Access, run: Run) -> Operation {
    operation(Verb::Post, id, access, run)
}

const fn put(id: &'static str, access: Access, run: Run) -> Operation {
    operation(Verb::Put, id, access, run)
}

const fn delete(id: &'static str, access: Access, run: Run) -> Operation {
    operation(Verb::Delete, id, access, run)
}

/// An operation without a documented body, to be completed in the table.
const fn operation(verb: Verb, id: &'static str, access: Access, run: Run) -> Operation {
    let doc = Doc {
        id,
        summary: "",
        query: &[],
        body: None,
        status: 204,
        answer: Shape::Empty,
        also: &[],
        errors: &[],
    };
    Operation {
        verb,
        access,
        run,
        confirmable: false,
        scoped: false,
        doc,
    }
}

impl Operation {
    const fn summary(mut self, summary: &'static str) -> Self {
        self.doc.summary = summary;
        self
    }

    /// The status of success, and the body that comes with it.
    const fn answers(mut self, status: u16, answer: Shape) -> Self {
        self.doc.status = status;
        self.doc.answer = answer;
        self
    }

    /// Accepts `Couic-Confirm-Within`.
    const fn confirmable(mut self) -> Self {
        self.confirmable = true;
        self
    }

    /// Asks [`super::scope`] before it changes rules, or changes none.
    const fn scoped(mut self) -> Self {
        self.scoped = true;
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

    /// Other statuses with an answer of the same shape.
    const fn also(mut self, statuses: &'static [u16]) -> Self {
        self.doc.also = statuses;
        self
    }

    /// Statuses of refusal, besides those that every route with a token has.
    const fn errors(mut self, errors: &'static [u16]) -> Self {
        self.doc.errors = errors;
        self
    }
}

const fn json<T: ToSchema>() -> Shape {
    Shape::Json(Of::type_::<T>())
}

const fn array<T: ToSchema>() -> Shape {
    Shape::Array(Of::type_::<T>())
}

const fn array_or_lines<T: ToSchema>() -> Shape {
    Shape::ArrayOrLines(Of::type_::<T>())
}

const fn events<T: ToSchema, U: ToSchema>() -> Shape {
    Shape::Events(Of::type_::<T>(), Of::type_::<U>())
}

const fn json_or_metrics<T: ToSchema>() -> Shape {
    Shape::JsonOrMetrics(Of::type_::<T>())
}
