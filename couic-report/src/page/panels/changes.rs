//! `/changes`: what was banned and unbanned, when, by whom and why.

use std::cmp::Reverse;

use couic_common::{PeerAction, Policy, unix_seconds};

use super::super::{
    Page,
    form::{self, Form, link},
    route::Visit,
    text,
    view::{self, ChangeRow},
};
use crate::history::{Change, ChangeOwner, ChangeQuery, MOST_CHANGES};

/// Changes of a page.
const ROWS: usize = 100;

pub(in super::super) async fn show(page: &Page, visit: &Visit<'_>, form: &Form) -> view::Changes {
    let field = |name| form.get(name).unwrap_or_default().to_owned();
    let (tag, firewall, address) = (field("tag"), field("firewall"), field("address"));
    let parsed = form.get("address").map(form::address).transpose();
    let until = form.get("until").and_then(|until| until.parse().ok());
    let mut shown = view::Changes {
        frame: super::frame(page, visit, "changes", "Changes").await,
        firewalls: page
            .history
            .firewalls()
            .into_iter()
            .map(|wall| wall.name)
            .collect(),
        mistake: None,
        changes: Vec::new(),
        remarks: Vec::new(),
        older: String::new(),
        newest: String::new(),
        tag,
        firewall,
        address,
    };
    let address = match parsed {
        Ok(address) => address,
        Err(mistake) => {
            shown.mistake = Some(mistake);
            return shown;
        }
    };
    let query = ChangeQuery {
        address,
        firewall: form.get("firewall").map(str::to_owned),
        tag: form.get("tag").map(str::to_owned),
        since: None,
        until,
        limit: MOST_CHANGES,
    };
    let found = page.history.changes(query).await;
    let filter = [
        ("tag", shown.tag.as_str()),
        ("firewall", &shown.firewall),
        ("address", &shown.address),
    ];
    let (changes, next) = cut(found.changes);
    if until.is_some() {
        shown.newest = link("/changes", &filter);
    }
    if let Some(next) = next {
        let next = next.to_string();
        let [tag, firewall, address] = filter;
        shown.older = link("/changes", &[tag, firewall, address, ("until", &next)]);
    } else if found.truncated {
        let remark = "The search ended at the limit of what one search reads: there may be older changes. Filter by \
                      address or tag.";
        shown.remarks.push(remark.to_owned());
    }
    let now = unix_seconds();
    shown.changes = changes.iter().map(|change| row(change, now)).collect();
    shown
}

/// A page of changes, and until when the next one is. A page ends between two seconds, since a search has no finer limit;
/// so one second's changes are on one page, however many.
fn cut(mut changes: Vec<Change>) -> (Vec<Change>, Option<u64>) {
    // A search gives what was received last first; a report may have waited at its sender.
    changes.sort_by_key(|change| Reverse(change.at));
    let full = changes.len() >= MOST_CHANGES;
    let Some(last) = changes.get(ROWS.saturating_sub(1)).map(|change| change.at) else {
        return (changes, None);
    };
    let end = changes
        .iter()
        .take_while(|change| change.at >= last)
        .count();
    let more = end < changes.len() || full;
    changes.truncate(end);
    (changes, more.then_some(last))
}

/// One row of a table of changes.
pub(super) fn row(change: &Change, now: u64) -> ChangeRow {
    ChangeRow {
        at: text::when(change.at),
        firewall: change.firewall.clone(),
        action: match change.action {
            PeerAction::Add => "added",
            PeerAction::Remove => "removed",
        },
        policy: change.policy.map_or("", Policy::as_str),
        cidr: change.cidr.to_string(),
        link: link("/address", &[("ip", &change.cidr.addr().to_string())]),
        tag: change.tag.clone().unwrap_or_default(),
        who: change.owner.as_ref().map(who).unwrap_or_default(),
        reason: change.reason.clone().unwrap_or_default(),
        ends: match change.action {
            PeerAction::Add => text::ends(now, change.expiration),
            PeerAction::Remove => String::new(),
        },
    }
}

fn who(owner: &ChangeOwner) -> String {
    let kind = owner.kind.as_str();
    format!("{kind} {}", owner.name.as_deref().unwrap_or("(unknown)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(times: impl Iterator<Item = u64>) -> Vec<Change> {
        let change = |at| Change {
            at,
            firewall: "fw".to_owned(),
            action: PeerAction::Add,
            policy: None,
            cidr: "192.0.2.1/32".parse().unwrap(),
            tag: None,
            expiration: None,
            reason: None,
            owner: None,
        };
        times.map(change).collect()
    }

    #[test]
    fn pages_lose_and_repeat_nothing() {
        // Newest first; 7 changes each second.
        let all: Vec<Change> = changes((0..700).map(|n| 1000 - n / 7));
        let (mut until, mut seen) = (u64::MAX, 0);
        loop {
            let found: Vec<_> = all
                .iter()
                .filter(|c| c.at < until)
                .take(MOST_CHANGES)
                .cloned()
                .collect();
            let (page, next) = cut(found);
            seen += page.len();
            let Some(next) = next else { break };
            until = next;
        }
        assert_eq!(seen, 700);
    }

    #[test]
    fn late_reports_are_sorted_in() {
        let (page, next) = cut(changes([7, 9, 3, 8].into_iter()));
        let times: Vec<u64> = page.iter().map(|change| change.at).collect();
        assert_eq!((times, next), (vec![9, 8, 7, 3], None));
    }

    #[test]
    fn the_changes_of_one_second_are_on_one_page() {
        let (page, next) = cut(changes(std::iter::repeat_n(5, 300)));
        assert_eq!((page.len(), next), (300, None));
        let (page, next) = cut(changes(std::iter::repeat_n(5, MOST_CHANGES)));
        assert_eq!((page.len(), next), (MOST_CHANGES, Some(5)));
        assert_eq!(cut(Vec::new()).1, None);
    }
}
