//! Set files.

use couic_common::{ReloadStatus, SetBody, SetDeleted, SetSummary, SetUpdate, SetWritten};

use super::{
    SETS_CREATE, SETS_DELETE, SETS_GET, SETS_LIST, array, delete, get, json, path, post, put,
    rules::{FORCE, GUARD, LIFT},
};
use crate::api::{
    sets,
    shape::{Of, Query, Shape},
    table::{Path, Run},
};

const APPLY: Query = Query::new(
    "apply",
    "change the rules of this set together with its file, all or nothing; no other set is looked at",
)
.flag();

const EXISTS: Query = Query::new(
    "exists",
    "for a list: refused with 404 (true) or 409 (false) if it is otherwise",
)
.schema(r#"{"type": "boolean"}"#);

/// Without `apply`, and with it.
const WRITTEN: Shape = Shape::Either(Of::type_::<SetBody>(), Of::type_::<SetWritten>());

pub(super) static PATHS: &[Path] = &[
    path(
        "/v1/sets/reload",
        &[
            post("reload_sets", SETS_CREATE, Run::Blocking(sets::reload))
                .summary("Loads the set files: only differences change, all of them or none")
                .answers(201, json::<ReloadStatus>())
                .errors(&[422])
                .confirmable(),
        ],
    ),
    path(
        "/v1/sets/{policy}",
        &[
            get("list_sets", SETS_LIST, Run::Blocking(sets::list))
                .summary("The sets of a policy")
                .answers(200, array::<SetSummary>())
                .errors(&[400]),
            post("create_set", SETS_CREATE, Run::BlockingBody(sets::create))
                .summary("Writes a new set file; it takes effect at the next reload, or at once")
                .query(&[APPLY])
                .answers(201, WRITTEN)
                .body(json::<SetBody>())
                .errors(&[400, 409, 413, 422])
                .confirmable(),
        ],
    ),
    path(
        "/v1/sets/{policy}/{set}",
        &[
            get("get_set", SETS_GET, Run::Blocking(sets::get))
                .summary("One set")
                .answers(200, json::<SetBody>())
                .errors(&[400, 404, 422]),
            put("replace_set", SETS_CREATE, Run::SetList)
                .summary("Replaces a set file, or creates one of a list; it takes effect at the next reload, or at once")
                .query(&[APPLY, EXISTS, GUARD, LIFT, FORCE])
                .answers(200, WRITTEN)
                .also(&[201])
                .body(Shape::JsonOrList(Of::type_::<SetUpdate>()))
                .errors(&[400, 404, 409, 413, 422])
                .scoped()
                .confirmable(),
            delete("delete_set", SETS_DELETE, Run::Blocking(sets::delete))
                .summary("Deletes a set file; its rules are removed at the next reload, or at once")
                .query(&[APPLY])
                .answers(200, json::<SetDeleted>())
                .errors(&[400, 404, 422])
                .scoped()
                .confirmable(),
        ],
    ),
];
