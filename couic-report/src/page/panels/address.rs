//! `/address`: what happens to an address, by which rule, since when, by whom and why.
//!
//! A daemon that the page may ask says it itself. Of the others it is known by their reports only, and the page says so.

use std::{cmp::Reverse, net::IpAddr, sync::Arc};

use couic_common::{Lookup, LookupRule, Policy, RuleOwner, Verdict as Of, unix_seconds};

use super::{
    super::{
        Page,
        form::{self, Form, link},
        geo::Place,
        route::Visit,
        text,
        view::{self, RuleRow, Verdict},
    },
    changes, firewalls,
};
use crate::history::{ChangeQuery, KnownRule};

/// Changes that are shown.
const CHANGES: usize = 50;

/// Rules of a firewall that are shown.
const RULES: usize = 100;

pub(in super::super) async fn show(
    page: &Arc<Page>,
    visit: &Visit<'_>,
    form: &Form,
) -> view::Address {
    let typed = form.get("ip").unwrap_or_default().to_owned();
    let mut shown = view::Address {
        frame: super::frame(page, visit, "address", "Address").await,
        mistake: None,
        ip: String::new(),
        country: String::new(),
        network: String::new(),
        verdicts: Vec::new(),
        changes: Vec::new(),
        truncated: false,
        all_changes: String::new(),
        has_daemons: !page.fleet.is_empty(),
        typed,
    };
    if shown.typed.is_empty() {
        return shown;
    }
    match form::address(&shown.typed) {
        Ok(ip) => fill(page, &mut shown, ip).await,
        Err(mistake) => shown.mistake = Some(mistake),
    }
    shown
}

async fn fill(page: &Arc<Page>, shown: &mut view::Address, ip: IpAddr) {
    let query = ChangeQuery {
        address: Some(ip),
        limit: CHANGES,
        ..ChangeQuery::default()
    };
    let (asked, known, found, place) = tokio::join!(
        page.fleet.lookup(ip),
        page.history.known_verdict(ip),
        page.history.changes(query),
        super::aside(page, move |page| page.geo.place(ip))
    );
    let now = unix_seconds();
    shown.ip = ip.to_string();
    shown.frame.title = format!("Address {ip}");
    let Place { country, network } = place.unwrap_or_default();
    shown.country = country.unwrap_or_default();
    shown.network = network.unwrap_or_default();
    shown.verdicts = verdicts(page, &asked, &known, now);
    shown.truncated = found.truncated || found.changes.len() >= CHANGES;
    // A search gives what was received last first; a report may have waited at its sender.
    let mut changes = found.changes;
    changes.sort_by_key(|change| Reverse(change.at));
    shown.changes = changes
        .iter()
        .map(|change| changes::row(change, now))
        .collect();
    shown.all_changes = link("/changes", &[("address", &shown.ip)]);
}

/// What one daemon answered.
type Asked = (String, Result<Lookup, String>);

fn verdicts(page: &Page, asked: &[Asked], known: &[KnownRule], now: u64) -> Vec<Verdict> {
    let mut all: Vec<Verdict> = Vec::new();
    for (name, answer) in asked {
        all.push(match answer {
            Ok(lookup) => of_lookup(name, lookup, now),
            Err(error) => {
                let mut verdict = of_reports(name, known, now);
                verdict
                    .because
                    .insert(0, format!("The daemon does not answer: {error}"));
                verdict
            }
        });
    }
    for wall in page.history.firewalls() {
        if asked.iter().all(|(name, _)| *name != wall.name) {
            let mut verdict = of_reports(&wall.name, known, now);
            let why = "This page has no token to ask the daemon.".to_owned();
            verdict.because.insert(0, why);
            all.push(verdict);
        }
    }
    // The firewalls that drop come first.
    all.sort_by_key(|verdict| verdict.class != "bad");
    all
}

fn of_lookup(name: &str, lookup: &Lookup, now: u64) -> Verdict {
    let (word, class) = match lookup.verdict {
        Of::Drop => ("dropped", "bad"),
        Of::Pass => ("passes", "good"),
    };
    let because = match (&lookup.decided_by, lookup.panic) {
        (_, true) => {
            "The panic switch is on: every packet passes, whatever the rules say.".to_owned()
        }
        (None, _) => "No rule covers it.".to_owned(),
        (Some(rule), _) => format!("Decided by {} {}.", rule.policy, rule.entry.cidr),
    };
    let deciding = lookup
        .decided_by
        .iter()
        .map(|rule| rule_row(rule, true, now));
    let others = lookup
        .also_covered_by
        .iter()
        .map(|rule| rule_row(rule, false, now));
    let rules: Vec<RuleRow> = deciding.chain(others).take(RULES).collect();
    Verdict {
        firewall: name.to_owned(),
        link: firewalls::path(name),
        word,
        class,
        because: vec![because],
        has_hits: rules.iter().any(|rule| !rule.hits.is_empty()),
        rules,
        is_asked: true,
    }
}

fn rule_row(rule: &LookupRule, decides: bool, now: u64) -> RuleRow {
    let entry = &rule.entry;
    let hits = entry.hits.map(|hits| match entry.last_seen {
        Some(seen) if seen > 0 => format!("{}, last {}", text::count(hits), text::ago(now, seen)),
        _ => text::count(hits),
    });
    RuleRow {
        policy: rule.policy.as_str(),
        cidr: entry.cidr.to_string(),
        decides,
        tag: entry
            .tag
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        who: RuleOwner::list(&entry.owners, now),
        reason: reason(rule),
        added: text::when(entry.creation),
        ends: text::ends(now, Some(entry.expiration)),
        hits: hits.unwrap_or_default(),
    }
}

/// Why the rule is there, by its first claim that says so.
fn reason(rule: &LookupRule) -> String {
    let claims = rule
        .entry
        .owners
        .iter()
        .filter_map(|owner| owner.reason.as_ref());
    let reason = rule
        .entry
        .reason
        .as_ref()
        .or_else(|| claims.into_iter().next());
    reason
        .map(|reason| reason.as_str().to_owned())
        .unwrap_or_default()
}

fn of_reports(name: &str, known: &[KnownRule], now: u64) -> Verdict {
    let rules = known.iter().filter(|rule| rule.added.firewall == name);
    let mut rules: Vec<&KnownRule> = rules.collect();
    // Ignore before drop, and longer prefixes first: the order of verdicts.
    let policy = |rule: &KnownRule| rule.added.policy.unwrap_or(Policy::Drop);
    rules.sort_by_key(|rule| {
        (
            policy(rule) == Policy::Drop,
            Reverse(rule.added.cidr.prefix()),
        )
    });
    rules.truncate(RULES);
    let (word, class) = match rules.first().map(|rule| policy(rule)) {
        Some(Policy::Drop) => ("dropped", "bad"),
        Some(Policy::Ignore) => ("passes", "good"),
        None => ("not known", "none"),
    };
    let because = "As its reports tell. Rules that are older than the kept history, or were never reported, are not \
                   known.";
    Verdict {
        firewall: name.to_owned(),
        link: firewalls::path(name),
        word,
        class,
        because: vec![because.to_owned()],
        rules: rules
            .iter()
            .enumerate()
            .map(|(at, rule)| known_row(rule, at == 0, now))
            .collect(),
        is_asked: false,
        has_hits: false,
    }
}

fn known_row(rule: &KnownRule, decides: bool, now: u64) -> RuleRow {
    let change = changes::row(&rule.added, now);
    RuleRow {
        policy: rule.added.policy.unwrap_or(Policy::Drop).as_str(),
        cidr: change.cidr,
        decides,
        tag: change.tag,
        who: change.who,
        reason: change.reason,
        added: change.at,
        ends: change.ends,
        hits: String::new(),
    }
}
