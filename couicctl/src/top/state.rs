//! The panel of states: problems with advice first, then interfaces, tables, peers and notifiers.

use couic_common::{
    DaemonStatus, HealthStatus, InterfaceHealth, NotifierInfo, NotifierState, PeerInfo, PeerState,
    Policy, XdpMode, grouped,
};

use super::{
    answer::Source,
    look::Tone,
    model::Model,
    rows::{Key, Row},
};
use crate::{duration::remaining, fill::TableFill, render};

/// All lines, at this time (Unix seconds).
pub(super) fn rows(model: &Model, now: u64) -> Vec<Row> {
    let mut lines: Vec<(Tone, String)> = Vec::new();
    problems(model, &mut lines);
    let interfaces = model.health.iter().flat_map(|health| &health.interfaces);
    lines.extend(interfaces.map(interface));
    lines.extend(model.limits.iter().filter(|fill| fill.rules > 0).map(fill));
    lines.extend(model.peers.iter().map(|info| peer(info, now)));
    lines.extend(model.notifiers.iter().map(notifier));
    lines.extend(model.status.iter().map(|status| daemon(status)));
    let troubles = [
        (Source::Peers, "peers and notifiers"),
        (Source::Health, "health"),
    ];
    for (source, what) in troubles {
        let trouble = model.trouble(source);
        lines.extend(trouble.map(|text| (Tone::Dim, format!("{what}: {text}"))));
    }
    let row = |(index, (tone, text))| Row {
        key: Key::Line(index),
        cells: vec![text],
        tone,
    };
    lines.into_iter().enumerate().map(row).collect()
}

/// Notes are not shown here: couicctl health has them.
fn problems(model: &Model, lines: &mut Vec<(Tone, String)>) {
    let health = model.health.iter();
    let problems = health.flat_map(|health| health.problems());
    for problem in problems.filter(|problem| problem.severity != HealthStatus::Ok) {
        let tone = match problem.severity {
            HealthStatus::Down => Tone::Bad,
            _ => Tone::Warn,
        };
        lines.push((tone, format!("! {problem}")));
        let advice = problem
            .advice
            .map(|advice| (Tone::Dim, format!("  {advice}")));
        lines.extend(advice);
    }
}

fn interface(interface: &InterfaceHealth) -> (Tone, String) {
    let InterfaceHealth {
        name,
        attached,
        mode,
        note,
        ..
    } = interface;
    if !attached {
        return (Tone::Bad, format!("interface {name}  NOT filtered"));
    }
    let mode = mode.map_or("attached", XdpMode::as_str);
    let note = note
        .as_deref()
        .map_or_else(String::new, |note| format!("  {note}"));
    (
        Tone::Good,
        format!("interface {name}  filtered, {mode}{note}"),
    )
}

fn fill(fill: &TableFill) -> (Tone, String) {
    let TableFill {
        policy,
        family,
        rules,
        limit,
    } = fill;
    let share = match limit {
        0 => 0.0,
        limit => *rules as f64 / *limit as f64 * 100.0,
    };
    let tone = match share {
        s if s >= 95.0 => Tone::Bad,
        s if s >= 80.0 => Tone::Warn,
        _ => Tone::Plain,
    };
    let (rules, limit) = (grouped(*rules), grouped(*limit));
    (
        tone,
        format!("rules {policy} {family}  {rules} of {limit} ({share:.1} %)"),
    )
}

fn peer(info: &PeerInfo, now: u64) -> (Tone, String) {
    let tone = match info.state {
        PeerState::Connecting | PeerState::Syncing | PeerState::NotEnabled => Tone::Warn,
        PeerState::InSync => Tone::Good,
        PeerState::Plain | PeerState::Inbound => Tone::Plain,
        PeerState::Failing => Tone::Bad,
    };
    let mut text = format!("peer {}  {}", info.name, render::peer_state(info.state));
    if info.queue > 0 {
        text += &format!(", {} queued, lag {} ms", grouped(info.queue), info.lag_ms);
    }
    if info.differing > 0 {
        text += &format!(", {} differing", grouped(info.differing));
    }
    let error = info.last_error.as_ref();
    if let Some(error) = error.filter(|_| info.state == PeerState::Failing) {
        let ago = remaining(now.saturating_sub(error.at).max(1), 0);
        text += &format!(", {ago} ago: {}", error.message);
    }
    (tone, text)
}

fn notifier(info: &NotifierInfo) -> (Tone, String) {
    let (tone, state) = match info.state {
        NotifierState::Ok => (Tone::Good, "ok"),
        NotifierState::Failed => (Tone::Bad, "FAILED"),
        other => (Tone::Warn, other.as_str()),
    };
    let mut text = format!("notifier {}  {state}", info.name);
    if info.queue_events > 0 {
        text += &format!(", {} queued", grouped(info.queue_events));
    }
    if info.dead_letters > 0 {
        text += &format!(", {} dead letters", grouped(info.dead_letters));
    }
    if let (Some(next), true) = (info.next_attempt_secs, info.state != NotifierState::Ok) {
        text += &format!(", retries in {next} s");
    }
    let tone = if info.dead_letters > 0 && tone == Tone::Good {
        Tone::Warn
    } else {
        tone
    };
    (tone, text)
}

fn daemon(status: &DaemonStatus) -> (Tone, String) {
    let up = remaining(status.uptime.max(1), 0);
    let files = format!(
        "{} of {} files open",
        status.open_files, status.open_files_limit
    );
    (
        Tone::Plain,
        format!("daemon up {up}, Linux {}, {files}", status.kernel),
    )
}

/// The state in a word, for the top line.
pub(super) fn word(model: &Model) -> (Tone, &'static str) {
    if model.away.is_some() {
        return (Tone::Bad, "NO ANSWER");
    }
    let Some(health) = &model.health else {
        return (Tone::Dim, "…");
    };
    match (health.panic_since, health.status) {
        (Some(_), _) => (Tone::Bad, "PANIC: filters NOTHING"),
        (None, HealthStatus::Ok) => (Tone::Good, "filtering"),
        (None, HealthStatus::Degraded) => (Tone::Warn, "filtering, needs attention"),
        (None, HealthStatus::Down) => (Tone::Bad, "does NOT filter everywhere"),
    }
}

/// How many rules of each policy, for the top line.
pub(super) fn counts(model: &Model) -> Option<String> {
    let (drop, ignore) = model.traffic.rules()?;
    Some(format!(
        "{} {}, {} {}",
        grouped(drop),
        Policy::Drop,
        grouped(ignore),
        Policy::Ignore
    ))
}
