//! `/notifiers`: whether summaries reach people.

use couic_common::{NotifierInfo, NotifierState, unix_seconds};

use super::super::{
    Page,
    route::Visit,
    text,
    view::{self, NotifierRow, State, SummaryRow},
};
use crate::history::{SentSummary, SummaryState};

/// How many summaries are shown.
const SUMMARIES: usize = 50;

pub(in super::super) async fn show(page: &Page, visit: &Visit<'_>) -> view::Notifiers {
    let seen = page.fleet.seen().await;
    let mut problems = Vec::new();
    for one in &seen {
        for problem in one
            .health
            .iter()
            .flat_map(|health| &health.notifier_problems)
        {
            let (wall, name, message) = (&one.name, &problem.notifier, &problem.message);
            problems.push(format!("{wall}: notifier {name} {message}"));
        }
    }
    view::Notifiers {
        frame: super::frame(page, visit, "notifiers", "Notifiers").await,
        notifiers: rows(page),
        problems,
        summaries: summaries(page, SUMMARIES),
    }
}

/// One row for each notifier of couic-report.
pub(super) fn rows(page: &Page) -> Vec<NotifierRow> {
    let now = unix_seconds();
    let list = page.dispatcher.list();
    list.into_iter()
        .map(|notifier| row(notifier, now))
        .collect()
}

fn row(notifier: NotifierInfo, now: u64) -> NotifierRow {
    let class = match notifier.state {
        NotifierState::Ok if notifier.problems.is_empty() => "good",
        NotifierState::Ok | NotifierState::Retrying | NotifierState::RateLimited => "fair",
        NotifierState::Failed | NotifierState::Stopped => "bad",
    };
    let ago = |unix: u64| text::ago(now, unix);
    NotifierRow {
        name: notifier.name.to_string(),
        plugin: notifier.plugin,
        state: State {
            word: notifier.state.as_str().replace('_', " "),
            class,
            problems: notifier.problems,
        },
        waiting: text::count(notifier.queue_events),
        dead: text::count(notifier.dead_letters),
        success: notifier
            .last_success
            .map_or_else(|| "none yet".to_owned(), ago),
        error: notifier
            .last_error
            .map(|error| format!("{} ({})", error.message, ago(error.at)))
            .unwrap_or_default(),
    }
}

/// The last summaries.
pub(super) fn summaries(page: &Page, most: usize) -> Vec<SummaryRow> {
    let all = page.history.summaries(most).into_iter();
    all.map(|summary: SentSummary| SummaryRow {
        until: text::when(summary.until),
        total: text::count(summary.total),
        colour: summary.colour.as_str(),
        state: match summary.state {
            SummaryState::Pending => "waits for the notifiers",
            SummaryState::Sent => "passed to the notifiers",
            SummaryState::BelowThreshold => "not sent: below threshold_min",
        },
    })
    .collect()
}
