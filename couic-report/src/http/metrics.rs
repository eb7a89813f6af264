//! `GET /metrics` and `GET /v1/metrics`: in the Prometheus text format 0.0.4, or as OpenMetrics on request.

mod history;

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use couic_common::{NotifierInfo, NotifierName, NotifierState};
use couic_delivery::{AttemptTimes, FIGURES};
use couic_httpd::{ConnectionCounts, Exposition, Family, Kind, float};
use parking_lot::Mutex;
use warp::{
    http::{HeaderMap, StatusCode, header},
    reply::Response,
};

use super::{Context, health};
use crate::state::Overview;

/// Counters of requests.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    by_status: Mutex<BTreeMap<u16, u64>>,
    adds: AtomicU64,
    removes: AtomicU64,
    repeated: AtomicU64,
    traffic: AtomicU64,
}

impl Meter {
    pub(super) fn answered(&self, status: StatusCode) {
        *self.by_status.lock().entry(status.as_u16()).or_default() += 1;
    }

    pub(super) fn accepted(&self, adds: u32, removes: u32, repeated: bool) {
        if repeated {
            self.repeated.fetch_add(1, Relaxed);
        } else {
            self.adds.fetch_add(u64::from(adds), Relaxed);
            self.removes.fetch_add(u64::from(removes), Relaxed);
        }
    }

    pub(super) fn traffic(&self, repeated: bool) {
        let counter = if repeated {
            &self.repeated
        } else {
            &self.traffic
        };
        counter.fetch_add(1, Relaxed);
    }
}

/// Renders the page, in the format that the client prefers.
pub(super) fn answer(context: &Context, headers: &HeaderMap) -> Response {
    let accept = headers.get_all(header::ACCEPT).iter();
    let accept = accept.filter_map(|value| value.to_str().ok());
    let format = Exposition::accepted(accept, Exposition::Text);
    super::answer::text(format.content_type(), format.render(&families(context)))
}

/// Every metric.
pub(super) fn families(context: &Context) -> Vec<Family> {
    let mut families = requests(&context.meter);
    families.push(build_info());
    families.push(health(context));
    let mut connections = vec![("http", &*context.connections)];
    let page = context.page_connections.as_deref();
    connections.extend(page.map(|page| ("page", page)));
    families.extend(ConnectionCounts::families("couic_report", &connections));
    families.extend(state(context));
    families.extend(history::families(&context.history.sizes()));
    let list = context.dispatcher.list();
    families.extend(notifier_figures(&list));
    families.push(notifier_states(&list));
    families.push(attempts(&list));
    families.push(attempt_seconds(&context.dispatcher.attempt_times()));
    families
}

fn build_info() -> Family {
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    let help = "The running version; always 1.";
    Family::new(Kind::Gauge, "couic_report_build_info", help).with(&version, 1)
}

fn health(context: &Context) -> Family {
    let help = "1 for the current status of health, as in GET /v1/health.";
    let family = Family::new(Kind::Gauge, "couic_report_health", help);
    let current = health::of(context).status;
    health::STATUSES.iter().fold(family, |family, status| {
        family.with(&[("status", status)], u64::from(*status == current))
    })
}

fn requests(meter: &Meter) -> Vec<Family> {
    let answered = Family::new(
        Kind::Counter,
        "couic_report_requests_total",
        "Requests answered, by HTTP status.",
    );
    let by_status = meter.by_status.lock();
    let answered = by_status.iter().fold(answered, |family, (status, count)| {
        family.with(&[("status", &status.to_string())], *count)
    });
    let reports = Family::new(
        Kind::Counter,
        "couic_report_reports_total",
        "Reports counted since the start, by action.",
    )
    .with(&[("action", "add")], meter.adds.load(Relaxed))
    .with(&[("action", "remove")], meter.removes.load(Relaxed));
    let repeated = Family::new(
        Kind::Counter,
        "couic_report_repeated_requests_total",
        "Retries of requests that were already counted.",
    )
    .with(&[], meter.repeated.load(Relaxed));
    let traffic = Family::new(
        Kind::Counter,
        "couic_report_traffic_requests_total",
        "Requests with the traffic of a firewall that were counted since the start.",
    )
    .with(&[], meter.traffic.load(Relaxed));
    vec![answered, reports, repeated, traffic]
}

/// A figure of the state.
type Figure = (Kind, &'static str, &'static str, fn(&Overview) -> u64);

const STATE: &[Figure] = &[
    (
        Kind::Gauge,
        "couic_report_interval_start_seconds",
        "Start of the open interval, Unix seconds.",
        |now| now.from,
    ),
    (
        Kind::Gauge,
        "couic_report_interval_adds",
        "Rules added in the open interval.",
        |now| now.adds,
    ),
    (
        Kind::Gauge,
        "couic_report_interval_removes",
        "Rules removed in the open interval.",
        |now| now.removes,
    ),
    (
        Kind::Gauge,
        "couic_report_interval_distinct_cidrs",
        "Distinct CIDRs added in the open interval.",
        |now| now.distinct,
    ),
    (
        Kind::Gauge,
        "couic_report_interval_distinct_is_estimate",
        "1 if there are too many CIDRs to count them exactly.",
        |now| u64::from(now.estimated),
    ),
    (
        Kind::Gauge,
        "couic_report_outbox",
        "Summaries not yet passed to the notifiers.",
        |now| now.outbox as u64,
    ),
    (
        Kind::Gauge,
        "couic_report_journal_bytes",
        "Length of the journal.",
        |now| now.journal_bytes,
    ),
    (
        Kind::Gauge,
        "couic_report_journal_failing",
        "1 while the state cannot be written and reports are refused.",
        |now| u64::from(now.failure.is_some()),
    ),
    (
        Kind::Counter,
        "couic_report_journal_commits_total",
        "Groups of requests written to the journal, one fdatasync each.",
        |now| now.commits,
    ),
    (
        Kind::Counter,
        "couic_report_journal_failures_total",
        "Groups of requests that could not be written to the journal.",
        |now| now.failures,
    ),
];

fn state(context: &Context) -> impl Iterator<Item = Family> {
    let now = context.journal.overview();
    STATE.iter().map(move |(kind, name, help, value)| {
        Family::new(*kind, *name, *help).with(&[], value(&now))
    })
}

fn notifier_figures(list: &[NotifierInfo]) -> impl Iterator<Item = Family> {
    FIGURES.iter().map(move |figure| {
        let kind = if figure.counter {
            Kind::Counter
        } else {
            Kind::Gauge
        };
        let name = format!("couic_report_notifier_{}", figure.name);
        let mut family = Family::new(kind, name, figure.help);
        for notifier in list {
            if let Some(value) = (figure.value)(notifier) {
                family.push(&[("notifier", notifier.name.as_str())], float(value));
            }
        }
        family
    })
}

fn notifier_states(list: &[NotifierInfo]) -> Family {
    let help = "1 for the notifier's current state.";
    let mut family = Family::new(Kind::Gauge, "couic_report_notifier_state", help);
    for notifier in list {
        for state in NotifierState::ALL {
            let labels = [
                ("notifier", notifier.name.as_str()),
                ("state", state.as_str()),
            ];
            family = family.with(&labels, u64::from(notifier.state == state));
        }
    }
    family
}

fn attempts(list: &[NotifierInfo]) -> Family {
    let help = "Delivery attempts, by outcome.";
    let mut family = Family::new(Kind::Counter, "couic_report_notifier_attempts_total", help);
    for notifier in list {
        for (outcome, count) in &notifier.attempts {
            let labels = [("notifier", notifier.name.as_str()), ("outcome", outcome)];
            family = family.with(&labels, *count);
        }
    }
    family
}

fn attempt_seconds(all: &[(NotifierName, AttemptTimes)]) -> Family {
    let (name, help) = (
        "couic_report_notifier_attempt_seconds",
        "How long attempts took.",
    );
    let mut family = Family::new(Kind::Histogram, name, help);
    for (who, times) in all {
        let labels = [("notifier", who.as_str())];
        family.buckets(&labels, times.cumulative());
        family.sample("_sum", &labels, times.sum);
        family.sample("_count", &labels, float(times.count));
    }
    family
}
