//! Set files.

use couic_common::{ReloadStatus, SetBody, SetDeleted, SetSummary, SetUpdate};

use super::{
    SETS_CREATE, SETS_DELETE, SETS_GET, SETS_LIST, array, delete, get, json, path, post, put,
};
use crate::api::{
    sets,
    table::{Path, Run},
};

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
                .summary("Writes a new set file; it takes effect at the next reload")
                .answers(201, json::<SetBody>())
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
            put("replace_set", SETS_CREATE, Run::BlockingBody(sets::replace))
                .summary("Replaces a set file; it takes effect at the next reload")
                .answers(200, json::<SetBody>())
                .body(json::<SetUpdate>())
                .errors(&[400, 404, 413, 422])
                .confirmable(),
            delete("delete_set", SETS_DELETE, Run::Blocking(sets::delete))
                .summary("Deletes a set file; its rules are removed at the next reload")
                .answers(200, json::<SetDeleted>())
                .errors(&[400, 404])
                .confirmable(),
        ],
    ),
];
