//! The panic switch, and changes that wait to be confirmed.

use couic_common::{Confirmations, Confirmed, PanicRequest, PanicStatus, RevertedChange};

use super::{operation, right};
use crate::{
    api::{
        confirm,
        openapi::{Of, Shape},
        panic,
        table::{Access, Path, Run, Verb},
    },
    rbac::Right,
};

pub(super) static PATHS: &[Path] = &[
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
];
