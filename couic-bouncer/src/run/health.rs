//! `/health`: whether decisions and lists arrive, with one sentence for each problem.

use std::time::Duration;

use couic_common::counted;
use serde::Serialize;

use super::service::Service;

/// A rule that waits for longer is a problem.
const WAITING: Duration = Duration::from_secs(10);

/// Every status, the best first.
pub(super) const STATUSES: [&str; 3] = ["ok", "degraded", "failed"];

#[derive(Debug, Serialize)]
pub(crate) struct Health {
    /// `ok`, `degraded` (there are problems) or `failed` (nothing arrives at the daemon).
    pub(super) status: &'static str,
    pub(super) version: &'static str,
    /// One sentence for each problem.
    pub(super) problems: Vec<String>,
}

impl Health {
    pub(super) fn is_failed(&self) -> bool {
        self.status == STATUSES[2]
    }
}

/// Health now.
pub(crate) fn of(service: &Service) -> Health {
    let mut problems = Vec::new();
    let failed = of_daemon(service, &mut problems);
    of_crowdsec(service, &mut problems);
    of_feeds(service, &mut problems);
    problems.extend(service.unserved.why());
    if let Some(why) = &service.now.lock().refused {
        problems.push(format!(
            "the last reload was refused, the configuration before stays in force: {why}"
        ));
    }
    if let Some(file) = service.allowed.names.replaced() {
        problems.push(format!(
            "{} was replaced, and this process may not read the new one: restart couic-bouncer, or names may not be found",
            file.display()
        ));
    }
    let status = match (failed, problems.is_empty()) {
        (true, _) => STATUSES[2],
        (false, false) => STATUSES[1],
        (false, true) => STATUSES[0],
    };
    Health {
        status,
        version: env!("CARGO_PKG_VERSION"),
        problems,
    }
}

/// Whether nothing arrives there.
fn of_daemon(service: &Service, problems: &mut Vec<String>) -> bool {
    let Some(figures) = service.injector.lock().as_ref().map(|one| one.figures()) else {
        return false;
    };
    let mut failed = false;
    if let Some(why) = figures.token_problem {
        failed = true;
        problems.push(format!("the daemon refuses the token: {why}"));
    }
    if figures.oldest.is_some_and(|oldest| oldest > WAITING) {
        failed = true;
        let count = counted(figures.pending as u64, "change waits", "changes wait");
        let why = figures
            .problem
            .unwrap_or_else(|| "it does not answer".to_owned());
        problems.push(format!("{count} for the daemon: {why}"));
    }
    if let Some(why) = figures.ignored_problem {
        problems.push(format!("the daemon's ignore list cannot be read: {why}"));
    }
    failed
}

fn of_crowdsec(service: &Service, problems: &mut Vec<String>) {
    let now = service.now.lock();
    let Some(running) = &now.crowdsec else {
        return;
    };
    if running.has_ended() {
        problems.push(
            "CrowdSec is not followed any more, which is a bug: restart couic-bouncer".to_owned(),
        );
    }
    let status = running.part.status();
    let named = |why: String| format!("crowdsec: {why}");
    problems.extend(status.problem.map(named));
    problems.extend(status.kept.map(named));
    problems.extend(status.daemon_problem.map(named));
    if status.cut {
        let held = status.decisions;
        problems.push(format!(
            "crowdsec: there are more than {held} decisions: those behind are not banned; raise `most`"
        ));
    }
    let refused: u64 = status.refused.values().sum();
    if let Some(refusal) = status.refusal.filter(|_| refused > 0) {
        let count = counted(refused, "ban is", "bans are");
        problems.push(format!(
            "crowdsec: {count} refused by the daemon, the last: {refusal}"
        ));
    }
}

fn of_feeds(service: &Service, problems: &mut Vec<String>) {
    let now = service.now.lock();
    let Some(running) = &now.feeds else {
        return;
    };
    if running.has_ended() {
        problems.push(
            "feeds are not followed any more, which is a bug: restart couic-bouncer".to_owned(),
        );
    }
    problems.extend(running.part.problems());
}
