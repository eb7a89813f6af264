//! Whom rule changes are reported to.

use couic_common::{DeadLetter, Discarded, NotifierInfo, NotifierTest, Replayed};

use super::{operation, right};
use crate::{
    api::{
        notifiers,
        openapi::{Of, Query, Shape},
        table::{Path, Run, Verb},
    },
    rbac::Right,
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
    Path {
        pattern: "/v1/notifiers",
        operations: &[operation(
            Verb::Get,
            right(&[Right::NotifiersList]),
            Run::Blocking(notifiers::list),
            ("list_notifiers", "Every notifier; none where reporting is off"),
            (200, Shape::Array(Of::type_::<NotifierInfo>())),
        )],
    },
    Path {
        pattern: "/v1/notifiers/{notifier}",
        operations: &[operation(
            Verb::Get,
            right(&[Right::NotifiersList]),
            Run::Blocking(notifiers::get),
            ("get_notifier", "One notifier"),
            (200, Shape::Json(Of::type_::<NotifierInfo>())),
        )
        .errors(&[404])],
    },
    Path {
        pattern: "/v1/notifiers/{notifier}/test",
        operations: &[operation(
            Verb::Post,
            right(&[Right::NotifiersOperate]),
            Run::Async(notifiers::test),
            (
                "test_notifier",
                "Delivers a sample, past what waits, and tells how that ended; 200 where it failed, too. Takes up to \
                 90 s",
            ),
            (200, Shape::Json(Of::type_::<NotifierTest>())),
        )
        .errors(&[404, 422])],
    },
    Path {
        pattern: "/v1/notifiers/{notifier}/dead",
        operations: &[
            operation(
                Verb::Get,
                right(&[Right::NotifiersOperate]),
                Run::Blocking(notifiers::dead),
                ("list_dead_letters", "Notifications that were given up, the oldest first"),
                (200, Shape::Array(Of::type_::<DeadLetter>())),
            )
            .query(DEAD_PAGE)
            .errors(&[400, 404]),
            operation(
                Verb::Delete,
                right(&[Right::NotifiersOperate]),
                Run::Blocking(notifiers::discard),
                ("discard_dead_letters", "Forgets dead letters"),
                (200, Shape::Json(Of::type_::<Discarded>())),
            )
            .query(WHICH_DEAD)
            .errors(&[400, 404]),
        ],
    },
    Path {
        pattern: "/v1/notifiers/{notifier}/replay",
        operations: &[operation(
            Verb::Post,
            right(&[Right::NotifiersOperate]),
            Run::Blocking(notifiers::replay),
            ("replay_dead_letters", "Puts dead letters back, behind what waits"),
            (200, Shape::Json(Of::type_::<Replayed>())),
        )
        .query(ONE_DEAD)
        .errors(&[400, 404])],
    },
    Path {
        pattern: "/v1/notifiers/{notifier}/resume",
        operations: &[operation(
            Verb::Post,
            right(&[Right::NotifiersOperate]),
            Run::Blocking(notifiers::resume),
            (
                "resume_notifier",
                "Lets a failed notifier try again, and one that waits between attempts try now",
            ),
            (200, Shape::Json(Of::type_::<NotifierInfo>())),
        )
        .errors(&[404])],
    },
];
