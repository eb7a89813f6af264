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
static AREAS: &[&[Path]] = &[
    daemon::PATHS,
    stats::PATHS,
    switches::PATHS,
    clients::PATHS,
    notifiers::PATHS,
    sets::PATHS,
    rules::PATHS,
];

/// All of them, in order of precedence.
pub(super) fn paths() -> impl Iterator<Item = &'static Path> {
    AREAS.iter().copied().flatten()
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

const fn json_or_metrics<T: ToSchema>() -> Shape {
    Shape::JsonOrMetrics(Of::type_::<T>())
}
