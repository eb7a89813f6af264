//! The rows of each panel: what the model knows, in order, filtered, as text. Keys and drawing share them, so that a key
//! acts on what is seen.

use std::{borrow::Cow, net::IpAddr};

use couic_common::{Cidr, Policy, UNTAGGED, grouped};

use super::{
    answer::Source,
    changes::{self, Change},
    look::{Tone, bits, clock, rate},
    model::{Model, Rule, RuleSort, Tag},
    state,
    ui::Ui,
};
use crate::duration::remaining;

/// A panel with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Panel {
    Tags,
    Rules,
    Changes,
    State,
}

impl Panel {
    pub(super) const ALL: [Self; 4] = [Self::Tags, Self::Rules, Self::Changes, Self::State];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Tags => "Drops by tag",
            Self::Rules => "Rules",
            Self::Changes => "Changes",
            Self::State => "State",
        }
    }

    /// Titles, widths (0 = the rest), and how important: what does not fit is left out, the largest number first.
    pub(super) const fn columns(self) -> &'static [Column] {
        match self {
            Self::Tags => &TAGS,
            Self::Rules => &RULES,
            Self::Changes => &CHANGES,
            Self::State => &STATE,
        }
    }
}

/// A column of a panel.
pub(super) struct Column {
    pub(super) title: &'static str,
    /// 0 = what is left, at least 23.
    pub(super) width: u16,
    pub(super) right: bool,
    /// Columns with a larger number are left out first.
    pub(super) rank: u8,
}

const fn column(title: &'static str, width: u16, right: bool, rank: u8) -> Column {
    Column {
        title,
        width,
        right,
        rank,
    }
}

const TAGS: [Column; 5] = [
    column("Tag", 0, false, 0),
    column("pkt/s", 7, true, 0),
    column("share", 5, true, 1),
    column("bit/s", 11, true, 2),
    column("packets", 13, true, 3),
];

const RULES: [Column; 6] = [
    column("Rule", 0, false, 0),
    column("hits/s", 7, true, 0),
    column("Tag", 12, false, 1),
    column("hits", 10, true, 2),
    column("ends in", 8, true, 3),
    column("added", 8, true, 4),
];

const CHANGES: [Column; 3] = [
    column("UTC", 8, false, 0),
    column("Change", 0, false, 0),
    column("by", 16, false, 1),
];

const STATE: [Column; 1] = [column("", 0, false, 0)];

/// What a row is about. A selection holds on to it while rows move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Tag(String),
    Rule(Policy, Cidr),
    /// The time and the text.
    Change(u64, String),
    Line(usize),
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) key: Key,
    pub(super) cells: Vec<String>,
    pub(super) tone: Tone,
}

/// The rows of a panel at this time (Unix seconds by the daemon's clock).
pub(super) fn rows(panel: Panel, model: &Model, ui: &Ui, now: u64) -> Vec<Row> {
    match panel {
        Panel::Tags => tags(model, ui),
        Panel::Rules => rules(model, ui, now),
        Panel::Changes => changes(model, ui),
        Panel::State => state::rows(model, now),
    }
}

/// A sentence in place of rows, if there are none.
pub(super) fn instead(panel: Panel, model: &Model, ui: &Ui) -> Option<String> {
    let source = match panel {
        Panel::Tags => Source::Traffic,
        Panel::Rules => Source::Rules,
        Panel::Changes => Source::Changes,
        Panel::State => return None,
    };
    let filtered = !ui.filter.is_empty();
    let empty = match (panel, filtered) {
        (_, true) => "Nothing matches the filter; / changes it.",
        (Panel::Tags, _) => "No rule of policy drop has a tag or a hit yet.",
        (Panel::Rules, _) => "There are no rules. b bans an address.",
        _ => "Nothing was changed yet.",
    };
    let waits = model.traffic.rules().is_none() && model.health.is_none();
    let trouble = model.trouble(source);
    Some(trouble.unwrap_or_else(|| {
        if waits {
            "…".to_owned()
        } else {
            empty.to_owned()
        }
    }))
}

/// The figures after a panel's name.
pub(super) fn about(panel: Panel, model: &Model, ui: &Ui) -> String {
    match panel {
        Panel::Tags => format!("by {}", ui.tags.name()),
        Panel::Rules => about_rules(model),
        Panel::Changes if model.changes.is_empty() => "newest rules".to_owned(),
        Panel::Changes | Panel::State => String::new(),
    }
}

fn about_rules(model: &Model) -> String {
    let order = match model.rules.sort() {
        RuleSort::Hits => "by hits/s",
        RuleSort::Newest => "newest first",
        RuleSort::Address => "by address",
    };
    let total = model.traffic.rules().map(|(drop, ignore)| drop + ignore);
    match (model.rules.looked_at(), total) {
        (Some(looked), Some(total)) if looked > 0 && looked < total => {
            format!("{order}, {} of {} read", grouped(looked), grouped(total))
        }
        (_, Some(total)) => format!("{order}, {}", grouped(total)),
        (_, None) => order.to_owned(),
    }
}

fn tags(model: &Model, ui: &Ui) -> Vec<Row> {
    let all: f64 = model
        .traffic
        .tags
        .iter()
        .filter_map(|t| t.flow)
        .map(|f| f.packets)
        .sum();
    let shown = |tag: &&Tag| ui.matches_tag(&tag.name);
    let sorted = model.traffic.sorted(ui.tags);
    let row = |tag: &Tag| {
        let packets = tag.flow.map(|flow| flow.packets);
        let share = packets.filter(|_| all > 0.0).map(|p| p / all * 100.0);
        let busy = packets.is_some_and(|p| p > 0.0);
        Row {
            key: Key::Tag(tag.name.clone()),
            cells: vec![
                tag.name.clone(),
                rate(packets),
                share.map_or_else(String::new, |share| format!("{share:.0} %")),
                bits(tag.flow.map(|flow| flow.bits)),
                grouped(tag.total.rx_packets),
            ],
            tone: if busy { Tone::Plain } else { Tone::Dim },
        }
    };
    sorted.into_iter().filter(shown).map(row).collect()
}

fn rules(model: &Model, ui: &Ui, now: u64) -> Vec<Row> {
    let shown = |rule: &&Rule| {
        let tag = rule.entry.tag.as_ref().map_or(UNTAGGED, |tag| tag.as_str());
        ui.matches_tag(tag) || ui.matches_cidr(rule.entry.cidr)
    };
    let row = |rule: &Rule| {
        let Rule {
            policy,
            entry,
            rate: hits,
        } = rule;
        let tag = entry.tag.as_ref().map_or("", |tag| tag.as_str());
        let hit = hits.is_some_and(|hits| hits > 0.0);
        let counted = entry.hits.is_some();
        Row {
            key: Key::Rule(*policy, entry.cidr),
            cells: vec![
                format!("{policy} {}", brief(entry.cidr)),
                if counted { rate(*hits) } else { String::new() },
                tag.to_owned(),
                entry.hits.map_or_else(String::new, grouped),
                remaining(entry.expiration, now),
                remaining(now.saturating_sub(entry.creation).max(1), 0),
            ],
            tone: match (policy, hit || !counted) {
                (Policy::Ignore, _) => Tone::Good,
                (Policy::Drop, true) => Tone::Plain,
                (Policy::Drop, false) => Tone::Dim,
            },
        }
    };
    let sorted = model.rules.sorted();
    sorted.into_iter().filter(shown).map(row).collect()
}

/// A host without its prefix length.
pub(super) fn brief(cidr: Cidr) -> String {
    if cidr == Cidr::host(cidr.addr()) {
        return cidr.addr().to_string();
    }
    cidr.to_string()
}

fn changes(model: &Model, ui: &Ui) -> Vec<Row> {
    let filter = ui.filter.to_lowercase();
    let shown = |text: &str| filter.is_empty() || text.to_lowercase().contains(&filter);
    let changes = known_changes(model);
    let changes = changes
        .iter()
        .filter(|change| shown(&change.what) || shown(&change.who));
    let row = |change: &Change| Row {
        key: Key::Change(change.at, change.what.clone()),
        cells: vec![clock(change.at), change.what.clone(), change.who.clone()],
        tone: change.tone,
    };
    changes.map(row).collect()
}

/// The changes of the log; without one, what the rules tell.
fn known_changes(model: &Model) -> Cow<'_, [Change]> {
    if model.changes.is_empty() {
        return changes::of_rules(&model.rules.newest()).into();
    }
    Cow::Borrowed(&model.changes)
}

/// The address that a row is about, and its rule.
pub(super) fn subject(key: &Key, model: &Model) -> Option<(Option<Policy>, Cidr)> {
    match key {
        Key::Rule(policy, cidr) => Some((Some(*policy), *cidr)),
        Key::Change(at, what) => {
            let changes = known_changes(model);
            let mut changes = changes.iter();
            let change = changes.find(|change| change.at == *at && change.what == *what)?;
            change.rule.map(|(policy, cidr)| (Some(policy), cidr))
        }
        Key::Tag(_) | Key::Line(_) => None,
    }
}

/// The address in a text, if it is one.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    Cidr::parse_lenient(text.trim()).ok().map(Cidr::addr)
}
