//! `/health`: whether lines are read and bans arrive, with one sentence for each problem.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use couic_common::counted;
use couic_inject::Injector;
use serde::Serialize;

use super::{
    alarms,
    service::{Service, SourceFigures},
    watch::Counts,
};

/// A ban that waits for longer is a problem.
const WAITING: Duration = Duration::from_secs(10);

/// A source that is behind for longer is a problem.
const LAG: Duration = Duration::from_secs(10);

/// A held ban is a problem for so long.
const HELD: Duration = Duration::from_secs(600);

/// So many files of a source that cannot be read are named.
const UNREAD: usize = 8;

/// Every status, the best first.
pub(super) const STATUSES: [&str; 3] = ["ok", "degraded", "failed"];

#[derive(Serialize)]
pub(crate) struct Health {
    /// `ok`, `degraded` (there are problems) or `failed` (nothing is read, or bans do not arrive).
    pub(super) status: &'static str,
    version: &'static str,
    /// One sentence for each problem.
    problems: Vec<String>,
    sources: Vec<Source>,
}

#[derive(Serialize)]
struct Source {
    name: String,
    lines: u64,
    unparsed: u64,
    lag_seconds: f64,
    behind_bytes: u64,
    /// A line that could not be read, escaped; only on the control socket.
    #[serde(skip_serializing_if = "Option::is_none")]
    sample: Option<String>,
}

impl Health {
    pub(super) fn is_failed(&self) -> bool {
        self.status == STATUSES[2]
    }
}

/// Health now, with lines of the logs or without.
pub(crate) fn of(service: &Service, samples: bool) -> Health {
    let sources = service.sources();
    let mut problems: Vec<String> = sources.iter().flat_map(of_source).collect();
    let blind = service.blind();
    if !blind.is_empty() {
        problems.push(format!(
            "nobody is judged by the lines of {}: the daemon has not told its set of proxies yet",
            blind.join(", ")
        ));
    }
    let counters = service.core.lock().detector.counters();
    problems.extend(counters.dominant.iter().map(|dominant| match samples {
        true => dominant.to_string(),
        false => format!(
            "a single address has most lines of source {}: a proxy? set trusted_proxies",
            dominant.source
        ),
    }));
    let daemon = of_daemon(service, &mut problems);
    let no_source = !sources.is_empty() && sources.iter().all(|source| source.ended);
    let failed = daemon.is_some() || no_source;
    if no_source {
        problems.push("no source is read any more: the log says why; systemctl restart couicmon reads them again".to_owned());
    }
    problems.extend(daemon);
    problems.extend(service.unserved.why());
    problems.extend(service.problems());
    if service.decider.last_held().is_some_and(|ago| ago < HELD) {
        problems.push(
            "bans were held back in the last ten minutes: look whether a rule or a proxy is wrong"
                .to_owned(),
        );
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
        sources: sources
            .iter()
            .map(|source| shown(source, samples))
            .collect(),
    }
}

fn shown(source: &SourceFigures, samples: bool) -> Source {
    Source {
        name: source.name.clone(),
        lines: source.tail.lines,
        unparsed: unparsed(&source.counts),
        lag_seconds: source.tail.lag.as_secs_f64(),
        behind_bytes: source.tail.behind_bytes,
        sample: source.counts.sample.lock().clone().filter(|_| samples),
    }
}

pub(super) fn unparsed(counts: &Counts) -> u64 {
    counts
        .unparsed
        .iter()
        .map(|count| count.load(Relaxed))
        .sum()
}

fn of_source(source: &SourceFigures) -> Vec<String> {
    let SourceFigures {
        name,
        tail,
        counts,
        unread,
        ended,
    } = source;
    let mut problems = Vec::new();
    if *ended {
        problems.push(format!("source {name} is not read any more"));
    }
    if tail.lag > LAG {
        let lag = tail.lag.as_secs();
        problems.push(format!(
            "source {name} is {lag} s behind what is written to it"
        ));
    }
    let bad = unparsed(counts);
    if bad > 0 && bad.saturating_mul(2) > tail.lines {
        problems.push(format!(
            "source {name}: {} of {} cannot be read: its format is another one; couicmon explain shows why",
            counted(bad, "line", "lines"),
            tail.lines
        ));
    }
    problems.extend(
        unread
            .iter()
            .take(UNREAD)
            .map(|one| alarms::unread(name, one)),
    );
    problems.extend(alarms::apart(source));
    problems
}

/// Why bans do not arrive; those that were refused are added to the other problems.
fn of_daemon(service: &Service, problems: &mut Vec<String>) -> Option<String> {
    let figures = service.decider.with(Injector::figures)?;
    if let Some(why) = figures.token_problem {
        problems.push(format!(
            "the daemon refuses the token, nothing is banned: {why}"
        ));
    }
    if let Some(refusal) = figures.refusal.filter(|_| figures.refused > 0) {
        let count = counted(figures.refused, "ban was", "bans were");
        problems.push(format!(
            "{count} refused by the daemon since the start, the last: {refusal}"
        ));
    }
    let waits = figures.oldest.is_some_and(|oldest| oldest > WAITING);
    if !waits {
        return None;
    }
    let (count, why) = (
        counted(figures.pending as u64, "ban waits", "bans wait"),
        figures.problem,
    );
    Some(format!(
        "{count} for the daemon: {}",
        why.unwrap_or_else(|| "it does not answer".to_owned())
    ))
}
