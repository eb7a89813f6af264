//! The metrics of a notifier, under the names that couic and couic-report use.

use couic_common::NotifierInfo;

/// A metric of every notifier.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The metric's name after the program's prefix. Counters end in `_total`.
    pub name: &'static str,
    /// Whether it is a counter; otherwise it is a gauge.
    pub counter: bool,
    /// The help text.
    pub help: &'static str,
    /// Its value; `None` if the notifier has none.
    pub value: fn(&NotifierInfo) -> Option<u64>,
}

const fn counter(
    name: &'static str,
    help: &'static str,
    value: fn(&NotifierInfo) -> Option<u64>,
) -> Figure {
    Figure {
        name,
        counter: true,
        help,
        value,
    }
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    value: fn(&NotifierInfo) -> Option<u64>,
) -> Figure {
    Figure {
        name,
        counter: false,
        help,
        value,
    }
}

/// All metrics that are integers with one sample per notifier. State and attempts by outcome have more labels, and
/// attempt durations have buckets: those are left to the program.
pub const FIGURES: [Figure; 13] = [
    counter(
        "enqueued_total",
        "Notifications accepted for delivery.",
        |n| Some(n.enqueued),
    ),
    counter("delivered_total", "Notifications delivered.", |n| {
        Some(n.delivered)
    }),
    counter(
        "dropped_total",
        "Notifications dropped because the queue was full.",
        |n| Some(n.dropped),
    ),
    counter(
        "merged_total",
        "Notifications that became part of another one because the queue was nearly full.",
        |n| Some(n.merged),
    ),
    counter("dead_total", "Notifications given up.", |n| Some(n.dead)),
    counter(
        "restarts_total",
        "Restarts of the notifier's process.",
        |n| Some(n.restarts),
    ),
    gauge("queue_events", "Notifications that wait.", |n| {
        Some(n.queue_events)
    }),
    gauge("queue_bytes", "Bytes that wait.", |n| Some(n.queue_bytes)),
    gauge(
        "oldest_age_seconds",
        "Age of the oldest notification that waits.",
        |n| Some(n.oldest_age_secs),
    ),
    gauge("dead_letters", "Dead letters that are kept.", |n| {
        Some(n.dead_letters)
    }),
    gauge("spool_bytes", "Bytes of the spool, on disk.", |n| {
        n.spool.as_ref().map(|spool| spool.bytes)
    }),
    gauge(
        "spool_failing",
        "1 while notifications are kept in memory only.",
        |n| {
            let spool = n.spool.as_ref()?;
            Some(u64::from(spool.problem.is_some()))
        },
    ),
    gauge(
        "last_success_timestamp_seconds",
        "When something was last delivered, Unix time.",
        |n| n.last_success,
    ),
];
