//! `GET /v1/metrics`, in the Prometheus text format 0.0.4.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use couic_common::{NotifierInfo, NotifierName, NotifierState};
use couic_delivery::{ATTEMPT_BUCKETS, AttemptTimes, FIGURES, Figure};
use parking_lot::Mutex;
use warp::http::StatusCode;

use super::Context;

/// Counters of requests.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    by_status: Mutex<BTreeMap<u16, u64>>,
    adds: AtomicU64,
    removes: AtomicU64,
    repeated: AtomicU64,
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
}

/// A page of metric families.
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail; here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            let open = if n == 0 { '{' } else { ',' };
            let text = text
                .replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n");
            let _ = write!(self.0, "{open}{label}=\"{text}\"");
        }
        let close = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{close} {value}");
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], float(value));
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has floats only")]
fn float(value: u64) -> f64 {
    value as f64
}

/// Renders the page.
pub(super) fn render(context: &Context) -> String {
    let mut page = Page(String::with_capacity(8192));
    requests(&mut page, &context.meter);
    state(&mut page, context);
    let list = context.dispatcher.list();
    notifier_figures(&mut page, &list);
    notifier_states(&mut page, &list);
    attempts(&mut page, &list);
    attempt_seconds(&mut page, &context.dispatcher.attempt_times());
    page.0
}

fn requests(page: &mut Page, meter: &Meter) {
    let name = "couic_report_requests_total";
    page.family(name, "counter", "Requests answered, by HTTP status.");
    for (status, count) in &*meter.by_status.lock() {
        page.sample(name, &[("status", &status.to_string())], float(*count));
    }
    let name = "couic_report_reports_total";
    page.family(
        name,
        "counter",
        "Reports counted since the start, by action.",
    );
    page.sample(name, &[("action", "add")], float(meter.adds.load(Relaxed)));
    page.sample(
        name,
        &[("action", "remove")],
        float(meter.removes.load(Relaxed)),
    );
    let repeated = meter.repeated.load(Relaxed);
    let help = "Retries of requests that were already counted.";
    page.one(
        "couic_report_repeated_requests_total",
        "counter",
        help,
        repeated,
    );
}

fn state(page: &mut Page, context: &Context) {
    let now = context.journal.overview();
    let gauges = [
        (
            "couic_report_interval_start_seconds",
            "Start of the open interval, Unix seconds.",
            now.from,
        ),
        (
            "couic_report_interval_adds",
            "Rules added in the open interval.",
            now.adds,
        ),
        (
            "couic_report_interval_removes",
            "Rules removed in the open interval.",
            now.removes,
        ),
        (
            "couic_report_interval_distinct_cidrs",
            "Distinct CIDRs added in the open interval.",
            now.distinct,
        ),
        (
            "couic_report_interval_distinct_is_estimate",
            "1 if there are too many CIDRs to count them exactly.",
            u64::from(now.estimated),
        ),
        (
            "couic_report_outbox",
            "Summaries not yet passed to the notifiers.",
            now.outbox as u64,
        ),
        (
            "couic_report_journal_bytes",
            "Length of the journal.",
            now.journal_bytes,
        ),
        (
            "couic_report_journal_failing",
            "1 while the state cannot be written and reports are refused.",
            u64::from(now.failure.is_some()),
        ),
    ];
    for (name, help, value) in gauges {
        page.one(name, "gauge", help, value);
    }
    let help = "Groups of requests written to the journal, one fdatasync each.";
    page.one(
        "couic_report_journal_commits_total",
        "counter",
        help,
        now.commits,
    );
    let help = "Groups of requests that could not be written to the journal.";
    page.one(
        "couic_report_journal_failures_total",
        "counter",
        help,
        now.failures,
    );
}

fn notifier_figures(page: &mut Page, list: &[NotifierInfo]) {
    for Figure {
        name,
        counter,
        help,
        value,
    } in FIGURES
    {
        let name = format!("couic_report_notifier_{name}");
        page.family(&name, if counter { "counter" } else { "gauge" }, help);
        for notifier in list {
            if let Some(value) = value(notifier) {
                page.sample(&name, &[("notifier", notifier.name.as_str())], float(value));
            }
        }
    }
}

fn notifier_states(page: &mut Page, list: &[NotifierInfo]) {
    let name = "couic_report_notifier_state";
    page.family(name, "gauge", "1 for the notifier's current state.");
    for notifier in list {
        for state in NotifierState::ALL {
            let labels = [
                ("notifier", notifier.name.as_str()),
                ("state", state.as_str()),
            ];
            page.sample(name, &labels, float(u64::from(notifier.state == state)));
        }
    }
}

fn attempts(page: &mut Page, list: &[NotifierInfo]) {
    let name = "couic_report_notifier_attempts_total";
    page.family(name, "counter", "Delivery attempts, by outcome.");
    for notifier in list {
        for (outcome, count) in &notifier.attempts {
            let labels = [("notifier", notifier.name.as_str()), ("outcome", outcome)];
            page.sample(name, &labels, float(*count));
        }
    }
}

fn attempt_seconds(page: &mut Page, all: &[(NotifierName, AttemptTimes)]) {
    let name = "couic_report_notifier_attempt_seconds";
    page.family(name, "histogram", "How long attempts took.");
    for (who, times) in all {
        let who = who.as_str();
        let bounds = ATTEMPT_BUCKETS.iter().map(f64::to_string);
        let mut below = 0;
        for (bound, count) in bounds.chain(["+Inf".to_owned()]).zip(times.buckets) {
            below += count;
            let labels = [("notifier", who), ("le", bound.as_str())];
            page.sample(&format!("{name}_bucket"), &labels, float(below));
        }
        page.sample(&format!("{name}_sum"), &[("notifier", who)], times.sum);
        page.sample(
            &format!("{name}_count"),
            &[("notifier", who)],
            float(times.count),
        );
    }
}
