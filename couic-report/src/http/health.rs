//! `GET /v1/health`: 200 if reports are accepted, 503 if not, with a list of problems.

use couic_common::{NotifierFailure, NotifierInfo, NotifierName};
use serde::Serialize;
use tokio::task::AbortHandle;
use warp::{http::StatusCode, reply::Response};

use super::{Context, answer::json};

/// Every status, the best first.
pub(super) const STATUSES: [&str; 3] = ["ok", "degraded", "failed"];

#[derive(Serialize)]
pub(super) struct Health {
    /// `ok`, `degraded` (reports are accepted, but there are problems) or `failed` (reports are refused).
    pub(super) status: &'static str,
    version: &'static str,
    interval: Interval,
    /// Summaries not yet passed to the notifiers.
    outbox: usize,
    notifiers: Vec<Notifier>,
    /// One sentence per problem.
    problems: Vec<String>,
}

#[derive(Serialize)]
struct Interval {
    /// Unix seconds.
    from: u64,
    length_secs: u64,
    adds: u64,
    removes: u64,
    distinct_cidrs: u64,
    distinct_is_estimate: bool,
}

#[derive(Serialize)]
struct Notifier {
    name: NotifierName,
    state: &'static str,
    waiting: u64,
    dead_letters: u64,
    /// Unix seconds; null if nothing was delivered since the start.
    last_success: Option<u64>,
    last_error: Option<NotifierFailure>,
}

pub(super) fn answer(context: &Context) -> Response {
    let health = of(context);
    let [.., failed] = STATUSES;
    let code = if health.status == failed {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    json(code, &health)
}

/// Health now.
pub(super) fn of(context: &Context) -> Health {
    let overview = context.journal.overview();
    let list = context.dispatcher.list();
    let mut problems: Vec<String> = list.iter().flat_map(named_problems).collect();
    let refusing = overview.failure.is_some();
    if let Some(failure) = overview.failure {
        problems.push(format!(
            "the state cannot be written ({failure}): reports are refused; free space in the state folder"
        ));
    }
    if context.page.as_ref().is_some_and(AbortHandle::is_finished) {
        let problem = "the page is not served any more: the log says why; systemctl restart couic-report brings it back";
        problems.push(problem.to_owned());
    }
    let [ok, degraded, failed] = STATUSES;
    let status = match (refusing, problems.is_empty()) {
        (true, _) => failed,
        (false, false) => degraded,
        (false, true) => ok,
    };
    let notifiers = list.into_iter().map(|n| Notifier {
        name: n.name,
        state: n.state.as_str(),
        waiting: n.queue_events,
        dead_letters: n.dead_letters,
        last_success: n.last_success,
        last_error: n.last_error,
    });
    Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        interval: Interval {
            from: overview.from,
            length_secs: context.interval_secs,
            adds: overview.adds,
            removes: overview.removes,
            distinct_cidrs: overview.distinct,
            distinct_is_estimate: overview.estimated,
        },
        outbox: overview.outbox,
        notifiers: notifiers.collect(),
        problems,
    }
}

fn named_problems(notifier: &NotifierInfo) -> impl Iterator<Item = String> + '_ {
    let name = &notifier.name;
    let problems = notifier.problems.iter();
    problems.map(move |problem| format!("notifier {name} {problem}"))
}
