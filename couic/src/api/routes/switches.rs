//! The panic switch, and changes that wait to be confirmed.

use couic_common::{Confirmations, Confirmed, PanicRequest, PanicStatus, RevertedChange};

use super::{PANIC, delete, get, json, path, post, put};
use crate::api::{
    confirm, panic,
    table::{Access, Path, Run},
};

pub(super) static PATHS: &[Path] = &[
    path(
        "/v1/panic",
        &[
            get("get_panic", Access::Any, Run::Inline(panic::show))
                .summary("Whether every packet passes, who switched last, and why")
                .answers(200, json::<PanicStatus>()),
            put("set_panic", PANIC, Run::BlockingBody(panic::switch))
                .summary(
                    "Lets every packet pass from now on, regardless of the rules, or enforces the rules again. While it is on, every answer of the API has the header couic-panic: on",
                )
                .answers(200, json::<PanicStatus>())
                .body(json::<PanicRequest>())
                .errors(&[400, 413, 422]),
        ],
    ),
    path(
        "/v1/confirm",
        &[
            get(
                "list_confirmations",
                Access::Any,
                Run::Blocking(confirm::list),
            )
            .summary(
                "Changes of the client that wait to be confirmed, and those that were undone; for an admin, of all clients",
            )
            .answers(200, json::<Confirmations>()),
            post("confirm_all", Access::Any, Run::Blocking(confirm::all))
                .summary("Confirms every change of the client; 404 if none waits")
                .answers(200, json::<Confirmed>())
                .errors(&[404, 422, 503])
                .scoped(),
        ],
    ),
    path(
        "/v1/confirm/{confirmation}",
        &[
            post("confirm", Access::Any, Run::Blocking(confirm::one))
                .summary("Confirms one change: it stays. An admin may confirm any client's")
                .answers(200, json::<Confirmed>())
                .errors(&[404, 422, 503])
                .scoped(),
            delete("undo", Access::Any, Run::Blocking(confirm::undo))
                .summary("Undoes one change at once")
                .answers(200, json::<RevertedChange>())
                .errors(&[404, 422])
                .scoped(),
        ],
    ),
];
