//! The firewalls: those that report, and those that the page asks.

use std::sync::Arc;

use couic_common::{Health, HealthStatus, Policy, unix_seconds};

use super::super::{
    Page, chart,
    daemon::Seen,
    form::link,
    route::Visit,
    text,
    view::{self, State, WallRow},
};
use crate::history::{FirewallStatus, Range, ReportedStatus};

/// A firewall that reports its traffic does so every minute; after so many seconds it counts as silent.
const SILENT: u64 = 300;

/// The most firewalls of a table.
const MOST: usize = 100;

pub(in super::super) async fn show(page: &Arc<Page>, visit: &Visit<'_>) -> view::Walls {
    let seen = page.fleet.seen().await;
    let rows = move |page: &Page| rows(page, &page.history.firewalls(), &seen, None, Range::Day);
    view::Walls {
        walls: super::aside(page, rows).await.unwrap_or_default(),
        frame: super::frame(page, visit, "firewalls", "Firewalls").await,
    }
}

/// The path of a firewall's page.
pub(super) fn path(name: &str) -> String {
    link("/firewalls", &[("name", name)])
}

/// One row for each firewall, by name; or for this one only, if it is known.
pub(super) fn rows(
    page: &Page,
    heard: &[FirewallStatus],
    seen: &[Seen],
    only: Option<&str>,
    range: Range,
) -> Vec<WallRow> {
    let now = unix_seconds();
    let mut names: Vec<&str> = heard.iter().map(|wall| wall.name.as_str()).collect();
    names.extend(seen.iter().map(|one| one.name.as_str()));
    names.sort_unstable();
    names.dedup();
    names.retain(|name| only.is_none_or(|only| only == *name));
    names.truncate(MOST);
    let row = |name: &str| {
        let reported = heard.iter().find(|wall| wall.name == name);
        let asked = seen.iter().find(|one| one.name == name);
        row(page, name, reported, asked, (range, now))
    };
    names.into_iter().map(row).collect()
}

fn row(
    page: &Page,
    name: &str,
    reported: Option<&FirewallStatus>,
    asked: Option<&Seen>,
    (range, now): (Range, u64),
) -> WallRow {
    let status = reported.and_then(|wall| wall.status.as_ref());
    let unknown = || "–".to_owned();
    let plot = chart::traffic(&page.history.series(Some(name), range), now);
    WallRow {
        name: name.to_owned(),
        link: path(name),
        state: state(reported, asked, now),
        heard: reported.map_or_else(
            || "never".to_owned(),
            |wall| text::ago(now, wall.last_heard),
        ),
        rules: status.map_or_else(unknown, |status| text::count(drop_rules(status))),
        adds: reported.map_or_else(unknown, |wall| text::count(wall.adds_24h)),
        dropped: reported
            .and_then(|wall| wall.dropped_packets_24h)
            .map_or_else(unknown, text::count),
        spark: plot.spark(),
    }
}

fn drop_rules(status: &ReportedStatus) -> u64 {
    let dropping = status
        .rules
        .iter()
        .filter(|rules| rules.policy == Policy::Drop);
    dropping.map(|rules| rules.rules).sum()
}

/// The health of a firewall: its own words now, else what it last reported.
pub(super) fn state(reported: Option<&FirewallStatus>, asked: Option<&Seen>, now: u64) -> State {
    match asked.map(|one| &one.health) {
        Some(Ok(health)) => return of_health(health),
        Some(Err(error)) => {
            return State {
                word: "no answer".to_owned(),
                class: "bad",
                problems: vec![error.clone()],
            };
        }
        None => {}
    }
    let Some(status) = reported.and_then(|wall| wall.status.as_ref()) else {
        return State {
            word: "not reported".to_owned(),
            class: "none",
            problems: Vec::new(),
        };
    };
    let open = status.interfaces.iter().filter(|i| !i.attached);
    let mut problems: Vec<String> = open
        .map(|i| format!("interface {} is not filtered", i.name))
        .collect();
    let mut class = match status.health.as_str() {
        "ok" => "good",
        "degraded" => "fair",
        _ => "bad",
    };
    let silent = now.saturating_sub(status.at);
    if silent > SILENT {
        class = "bad";
        problems.push(format!(
            "no figures of packets for {}: is the daemon running, and can it reach couic-report?",
            couic_common::time_left(silent)
        ));
    }
    State {
        word: status.health.clone(),
        class,
        problems,
    }
}

fn of_health(health: &Health) -> State {
    let (word, class) = match health.status {
        HealthStatus::Ok => ("ok", "good"),
        HealthStatus::Degraded => ("degraded", "fair"),
        HealthStatus::Down => ("down", "bad"),
    };
    let problems = health.problems().into_iter();
    let problems = problems.filter(|problem| problem.severity != HealthStatus::Ok);
    let in_words = |problem: couic_common::Problem| match problem.advice {
        Some(advice) => format!("{problem}: {advice}"),
        None => problem.to_string(),
    };
    State {
        word: word.to_owned(),
        class,
        problems: problems.map(in_words).collect(),
    }
}

/// The facts of one firewall's page.
pub(super) fn facts(
    reported: Option<&FirewallStatus>,
    asked: Option<&Seen>,
) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push((name.to_owned(), value));
    if let Some(wall) = reported {
        fact(
            "First heard of",
            format!("{} UTC", text::when(wall.first_heard)),
        );
        fact(
            "Last heard of",
            format!("{} UTC", text::when(wall.last_heard)),
        );
    }
    if let Some(Ok(health)) = asked.map(|one| &one.health) {
        fact("Version", health.version.clone());
        for interface in &health.interfaces {
            let mode = interface
                .mode
                .map_or("not filtered", couic_common::XdpMode::as_str);
            fact("Interface", format!("{} ({mode})", interface.name));
        }
    } else if let Some(status) = reported.and_then(|wall| wall.status.as_ref()) {
        fact("Version", status.version.clone());
        for interface in &status.interfaces {
            let mode = if interface.attached {
                "filtered"
            } else {
                "not filtered"
            };
            fact("Interface", format!("{} ({mode})", interface.name));
        }
    }
    for rules in reported
        .and_then(|wall| wall.status.as_ref())
        .iter()
        .flat_map(|s| &s.rules)
    {
        let name = format!("Rules, {}, IPv{}", rules.policy, rules.family);
        fact(
            &name,
            format!(
                "{} of {}",
                text::count(rules.rules),
                text::count(rules.limit)
            ),
        );
    }
    facts
}
