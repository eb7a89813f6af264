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
    over: &'static Over,
}

/// A range of time.
#[derive(Debug)]
struct Over {
    range: Range,
    /// In addresses.
    name: &'static str,
    title: &'static str,
}

const fn over(range: Range, name: &'static str, title: &'static str) -> Over {
    Over { range, name, title }
}

static RANGES: [Over; 4] = [
    over(Range::Hour, "hour", "1 hour"),
    over(Range::Day, "day", "24 hours"),
    over(Range::Week, "week", "7 days"),
    over(Range::Month, "month", "30 days"),
];

impl Scope {
    pub(in super::super) fn of(query: &Form) -> Self {
        let named = RANGES
            .iter()
            .find(|over| query.get("range") == Some(over.name));
        Self {
            firewall: query.get("name").map(str::to_owned),
            over: named.unwrap_or(&RANGES[1]),
        }
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
    let choice = |over: &Over| Choice {
        name: over.title,
        link: scope.path(path, over.name),
        current: scope.over.name == over.name,
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
    super::aside(page, move |page| figures(page, &scope, &seen))
        .await
        .flatten()
}

fn figures(page: &Page, scope: &Scope, seen: &[super::Seen]) -> Option<Figures> {
    let now = unix_seconds();
    let (wall, range) = (scope.firewall.as_deref(), scope.over.range);
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
        part: scope.path("/part/figures", scope.over.name),
        as_of: text::when(now),
        span: scope.over.title,
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
            &[("kind", kind), ("name", name), ("range", scope.over.name)],
        )
    };
    vec![
        chart::traffic(series, now).chart("traffic", "Packets per second", data("traffic")),
        chart::rules(series).chart("rules", "Rules added and removed", data("rules")),
    ]
}

/// The figures of a chart, for the script.
pub(in super::super) async fn plot(page: &Arc<Page>, query: &Form) -> Option<chart::Plot> {
    let scope = Scope::of(query);
    let is_rules = query.get("kind") == Some("rules");
    let plot = move |page: &Page| {
        let series = (page.history).series(scope.firewall.as_deref(), scope.over.range);
        if is_rules {
            chart::rules(&series)
        } else {
            chart::traffic(&series, unix_seconds())
        }
    };
    super::aside(page, plot).await
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
