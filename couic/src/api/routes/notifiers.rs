//! Notifiers.

use couic_common::{DeadLetter, Discarded, NotifierInfo, NotifierTest, Replayed};

use super::{NOTIFIERS_LIST, NOTIFIERS_OPERATE, array, delete, get, json, path, post};
use crate::api::{
    notifiers,
    shape::Query,
    table::{Path, Run},
};

const DEAD_PAGE: &[Query] = &[
    Query::new(
        "limit",
        "the most dead letters to return, from 1 to 1,000; default 100",
    )
    .schema(
        r#"{"type": "integer", "format": "int32", "minimum": 1, "maximum": 1000, "default": 100}"#,
    ),
    Query::new("after", "a key: only dead letters after it").number(),
];

const ONE_DEAD: &[Query] = &[Query::new("key", "the key of one dead letter; default all").number()];

const WHICH_DEAD: &[Query] = &[Query::new("key", "the key of one dead letter, or all")
    .required()
    .schema(r#"{"type": "string", "pattern": "^(?:all|[0-9]{1,19})$"}"#)];

pub(super) static PATHS: &[Path] = &[
    path(
        "/v1/notifiers",
        &[get(
            "list_notifiers",
            NOTIFIERS_LIST,
            Run::Blocking(notifiers::list),
        )
        .summary("Every notifier; none if reporting is off")
        .answers(200, array::<NotifierInfo>())],
    ),
    path(
        "/v1/notifiers/{notifier}",
        &[get(
            "get_notifier",
            NOTIFIERS_LIST,
            Run::Blocking(notifiers::get),
        )
        .summary("One notifier")
        .answers(200, json::<NotifierInfo>())
        .errors(&[404])],
    ),
    path(
        "/v1/notifiers/{notifier}/test",
        &[post(
            "test_notifier",
            NOTIFIERS_OPERATE,
            Run::Async(notifiers::test),
        )
        .summary(
            "Delivers a sample ahead of the queue, and answers with the outcome; 200 on failure, too. Takes up to 90 s",
        )
        .answers(200, json::<NotifierTest>())
        .errors(&[404, 422])],
    ),
    path(
        "/v1/notifiers/{notifier}/dead",
        &[
            get(
                "list_dead_letters",
                NOTIFIERS_OPERATE,
                Run::Blocking(notifiers::dead),
            )
            .summary("Notifications that were given up, the oldest first")
            .answers(200, array::<DeadLetter>())
            .query(DEAD_PAGE)
            .errors(&[400, 404]),
            delete(
                "discard_dead_letters",
                NOTIFIERS_OPERATE,
                Run::Blocking(notifiers::discard),
            )
            .summary("Discards dead letters")
            .answers(200, json::<Discarded>())
            .query(WHICH_DEAD)
            .errors(&[400, 404]),
        ],
    ),
    path(
        "/v1/notifiers/{notifier}/replay",
        &[post(
            "replay_dead_letters",
            NOTIFIERS_OPERATE,
            Run::Blocking(notifiers::replay),
        )
        .summary("Puts dead letters back at the end of the queue")
        .answers(200, json::<Replayed>())
        .query(ONE_DEAD)
        .errors(&[400, 404])],
    ),
    path(
        "/v1/notifiers/{notifier}/resume",
        &[post(
            "resume_notifier",
            NOTIFIERS_OPERATE,
            Run::Blocking(notifiers::resume),
        )
        .summary(
            "Makes a failed notifier try again, and one that waits between attempts try now",
        )
        .answers(200, json::<NotifierInfo>())
        .errors(&[404])],
    ),
];
