//! The metrics of the history.

use couic_httpd::{Family, Kind};

use crate::history::Sizes;

/// A figure of the history.
type Figure = (Kind, &'static str, &'static str, fn(&Sizes) -> u64);

const HISTORY: &[Figure] = &[
    (
        Kind::Gauge,
        "couic_report_history_firewalls",
        "Firewalls with figures of their own in the history; at most 100, and one for all others.",
        |sizes| sizes.firewalls,
    ),
    (
        Kind::Counter,
        "couic_report_history_unlisted_total",
        "Requests of firewalls beyond that limit, which are counted together.",
        |sizes| sizes.unlisted,
    ),
    (
        Kind::Gauge,
        "couic_report_history_steps",
        "Steps of all time series of the history.",
        |sizes| sizes.steps,
    ),
    (
        Kind::Gauge,
        "couic_report_history_files",
        "Files with changes that the history keeps.",
        |sizes| sizes.files,
    ),
    (
        Kind::Gauge,
        "couic_report_history_bytes",
        "Bytes of changes that the history keeps.",
        |sizes| sizes.bytes,
    ),
    (
        Kind::Counter,
        "couic_report_history_cut_bytes_total",
        "Bytes of changes that were deleted for the size limit, before their days were over, since the start.",
        |sizes| sizes.cut_bytes,
    ),
];

pub(super) fn families(sizes: &Sizes) -> impl Iterator<Item = Family> {
    HISTORY
        .iter()
        .map(|(kind, name, help, value)| Family::new(*kind, *name, *help).with(&[], value(sizes)))
}
