//! Whom rule changes are reported to.

use couic_common::{DeadLetter, Discarded, NotifierInfo, NotifierTest, Replayed};

use super::{NOTIFIERS_LIST, NOTIFIERS_OPERATE, array, delete, get, json, path, post};
use crate::api::{
    notifiers,
    shape::Query,
    table::{Path, Run},
};

const DEAD_PAGE: &[Query] = &[
    Query {
        name: "limit",
        text: "at most so many, from 1 to 1,000; 100 where it is left out",
        required: false,
        number: true,
    },
    Query {
        name: "after",
        text: "a key: only dead letters behind it",
        required: false,
        number: true,
    },
];

const ONE_DEAD: &[Query] = &[Query {
    name: "key",
    text: "the key of one dead letter; all where it is left out",
    required: false,
    number: true,
}];

const WHICH_DEAD: &[Query] = &[Query {
    name: "key",
    text: "the key of one dead letter, or all",
    required: true,
    number: false,
}];

pub(super) static PATHS: &[Path] = &[
    path(
        "/v1/notifiers",
        &[get(
            "list_notifiers",
            NOTIFIERS_LIST,
            Run::Blocking(notifiers::list),
        )
        .summary("Every notifier; none where reporting is off")
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
            "Delivers a sample, past what waits, and tells how that ended; 200 where \
                 it failed, too. Takes up to 90 s",
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
            .summary("Forgets dead letters")
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
        .summary("Puts dead letters back, behind what waits")
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
            "Lets a failed notifier try again, and one that waits between attempts \
                 try now",
        )
        .answers(200, json::<NotifierInfo>())
        .errors(&[404])],
    ),
];
