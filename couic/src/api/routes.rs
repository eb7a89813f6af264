//! Every route: path, method, right, work, documentation. The only list of them, by area.

mod clients;
mod daemon;
mod notifiers;
mod rules;
mod sets;
mod stats;
mod switches;

use super::{
    openapi::{Doc, Query, Shape},
    table::{Access, Operation, Path, Run, Verb},
};
use crate::rbac::Right;

/// The routes. Where two patterns fit a path, the first one counts, so those of the rules, which begin with a variable,
/// come last, and in each area the one with more words stands first.
static AREAS: &[&[Path]] = &[
    daemon::PATHS,
    stats::PATHS,
    switches::PATHS,
    clients::PATHS,
    notifiers::PATHS,
    sets::PATHS,
    rules::PATHS,
];

/// All of them, in the order in which they count.
pub(super) fn paths() -> impl Iterator<Item = &'static Path> {
    AREAS.iter().copied().flatten()
}

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
