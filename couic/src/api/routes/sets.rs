//! Set files.

use couic_common::{ReloadStatus, SetBody, SetDeleted, SetSummary, SetUpdate};

use super::{operation, right};
use crate::{
    api::{
        openapi::{Of, Shape},
        sets,
        table::{Path, Run, Verb},
    },
    rbac::Right,
};

pub(super) static PATHS: &[Path] = &[
    Path {
        pattern: "/v1/sets/reload",
        operations: &[operation(
            Verb::Post,
            right(&[Right::SetsCreate]),
            Run::Blocking(sets::reload),
            (
                "reload_sets",
                "Puts the set files in force: only what differs changes, all of it or nothing",
            ),
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
                (
                    "create_set",
                    "Writes a new set file; it is in force after the next reload",
                ),
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
                (
                    "replace_set",
                    "Writes a set file anew; it is in force after the next reload",
                ),
                (200, Shape::Json(Of::type_::<SetBody>())),
            )
            .body(Shape::Json(Of::type_::<SetUpdate>()))
            .errors(&[400, 404, 413, 422])
            .confirmable(),
            operation(
                Verb::Delete,
                right(&[Right::SetsDelete]),
                Run::Blocking(sets::delete),
                (
                    "delete_set",
                    "Deletes a set file; its rules go at the next reload",
                ),
                (200, Shape::Json(Of::type_::<SetDeleted>())),
            )
            .errors(&[400, 404])
            .confirmable(),
        ],
    },
];
