//! `/` and the page of one firewall: figures over time, top tags and sources.

use std::sync::Arc;

use couic_common::unix_seconds;

use super::{
    super::{
        Page, chart,
        form::{Form, link},
        route::Visit,
        text,
        view::{self, Choice, Figures, SourceRow, TagRow},
    },
    firewalls, notifiers,
};
use crate::history::{Range, Series, SourceTotals, TagTotals};

/// How many tags and sources are shown.
const TOP: usize = 10;

/// How many summaries are shown.
const SUMMARIES: usize = 5;

/// What a page of figures is about.
#[derive(Clone, Debug)]
pub(in super::super) struct Scope {
    pub(in super::super) firewall: Option<String>,
    pub(in super::super) range: Range,
}

/// The ranges with their name in addresses and on the page.
const RANGES: [(Range, &str, &str); 4] = [
    (Range::Hour, "hour", "1 hour"),
    (Range::Day, "day", "24 hours"),
    (Range::Week, "week", "7 days"),
    (Range::Month, "month", "30 days"),
];

impl Scope {
    pub(in super::super) fn of(query: &Form) -> Self {
        let named = |range: &&(Range, &str, &str)| query.get("range") == Some(range.1);
        Self {
            firewall: query.get("name").map(str::to_owned),
            range: RANGES
                .iter()
                .find(named)
                .map_or(Range::Day, |range| range.0),
        }
    }

    fn name(&self) -> &'static str {
        RANGES
            .iter()
            .find(|range| range.0 == self.range)
            .map_or("day", |range| range.1)
    }

    fn span(&self) -> &'static str {
        RANGES
            .iter()
            .find(|range| range.0 == self.range)
            .map_or("", |range| range.2)
    }

    fn path(&self, path: &str, range: &str) -> String {
        link(
            path,
            &[
                ("name", self.firewall.as_deref().unwrap_or_default()),
                ("range", range),
            ],
        )
    }
}

/// The whole page. None if there is no such firewall.
pub(in super::super) async fn show(
    page: &Arc<Page>,
    visit: &Visit<'_>,
    scope: Scope,
) -> Option<view::Now> {
    let path = if scope.firewall.is_some() {
        "/firewalls"
    } else {
        "/"
    };
    let choice = |(_, name, title): &(Range, &str, &'static str)| Choice {
        name: title,
        link: scope.path(path, name),
        current: scope.name() == *name,
    };
    let ranges = RANGES.iter().map(choice).collect();
    let (section, title) = match &scope.firewall {
        Some(name) => ("firewalls", name.clone()),
        None => ("now", "Now".to_owned()),
    };
    Some(view::Now {
        ranges,
        figures: part(page, scope).await?,
        frame: super::frame(page, visit, section, title).await,
    })
}

/// The figures alone. None if there is no such firewall.
pub(in super::super) async fn part(page: &Arc<Page>, scope: Scope) -> Option<Figures> {
    let seen = page.fleet.seen().await;
    let page = Arc::clone(page);
    // Databases are read from files.
    let figures = tokio::task::spawn_blocking(move || figures(&page, &scope, &seen)).await;
    figures.ok().flatten()
}

fn figures(page: &Page, scope: &Scope, seen: &[super::Seen]) -> Option<Figures> {
    let now = unix_seconds();
    let (wall, range) = (scope.firewall.as_deref(), scope.range);
    let heard = page.history.firewalls();
    let walls = firewalls::rows(page, &heard, seen, wall, range);
    let mut facts = Vec::new();
    if let Some(name) = wall {
        let reported = heard.iter().find(|one| one.name == name);
        facts = firewalls::facts(reported, seen.iter().find(|one| one.name == name));
        if walls.is_empty() {
            return None;
        }
    }
    let series = page.history.series(wall, range);
    let tags = page.history.top_tags(wall, range, TOP);
    let sources = page.history.top_sources(wall, range, TOP);
    let (summaries, notifiers) = match wall {
        Some(_) => (Vec::new(), Vec::new()),
        None => (notifiers::summaries(page, SUMMARIES), notifiers::rows(page)),
    };
    Some(Figures {
        part: scope.path("/part/figures", scope.name()),
        as_of: text::when(now),
        span: scope.span(),
        firewall: wall.unwrap_or_default().to_owned(),
        walls,
        has_traffic: series.points.iter().any(|point| point.traffic.is_some()),
        charts: charts(&series, scope, now),
        tags: tags.iter().map(tag_row).collect(),
        sources: sources
            .iter()
            .map(|source| source_row(page, source))
            .collect(),
        has_places: page.geo.is_configured(),
        summaries,
        notifiers,
        facts,
    })
}

fn charts(series: &Series, scope: &Scope, now: u64) -> Vec<chart::Chart> {
    let data = |kind: &str| {
        let name = scope.firewall.as_deref().unwrap_or_default();
        link(
            "/api/series",
            &[("kind", kind), ("name", name), ("range", scope.name())],
        )
    };
    vec![
        chart::traffic(series, now).chart("traffic", "Packets per second", data("traffic")),
        chart::rules(series).chart("rules", "Rules added and removed", data("rules")),
    ]
}

/// The figures of a chart, for the script.
pub(in super::super) fn plot(page: &Page, query: &Form) -> chart::Plot {
    let scope = Scope::of(query);
    let series = page.history.series(scope.firewall.as_deref(), scope.range);
    match query.get("kind") {
        Some("rules") => chart::rules(&series),
        _ => chart::traffic(&series, unix_seconds()),
    }
}

fn tag_row(tag: &TagTotals) -> TagRow {
    TagRow {
        // What a firewall did not list by tag is no tag to search for.
        link: match tag.tag.as_str() {
            "" | "(others)" => String::new(),
            name => link("/changes", &[("tag", name)]),
        },
        tag: match tag.tag.as_str() {
            "" => "(no tag)".to_owned(),
            name => name.to_owned(),
        },
        adds: text::count(tag.adds),
        packets: text::count(tag.packets),
        bytes: text::bytes(tag.bytes),
    }
}

fn source_row(page: &Page, source: &SourceTotals) -> SourceRow {
    let address = source.cidr.addr();
    let place = page.geo.place(address);
    let place: Vec<String> = place.country.into_iter().chain(place.network).collect();
    SourceRow {
        cidr: source.cidr.to_string(),
        link: link("/address", &[("ip", &address.to_string())]),
        adds: text::count(source.adds),
        tag: source.last_tag.clone().unwrap_or_default(),
        place: place.join(", "),
    }
}
