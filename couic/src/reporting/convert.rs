//! Converts events to reports.

use couic_common::{Metadata, PeerAction, Report, ReportOwner};

use couic_firewall::rules::{Actor, EventKind, RuleEvent};

/// The metadata kind of changes made by the daemon itself.
const KIND: &str = "couic";

/// The report of an event. `add` says that the rule is in force as given, `remove` that it is not: a rule that loses one
/// of its claims and stays is in force, now under another tag or until another time.
#[must_use]
pub fn report(event: &RuleEvent) -> Report {
    let action = match event.kind {
        EventKind::Added | EventKind::Updated | EventKind::Released => PeerAction::Add,
        EventKind::Removed => PeerAction::Remove,
    };
    let metadata = match (&event.origin.metadata, &event.origin.actor) {
        // The requester's words are about a removal, which this is not.
        _ if event.kind == EventKind::Released => Some(ours(format!(
            "the claim of {} has ended, others hold the rule",
            event.owner
        ))),
        (Some(words), _) => Some(Metadata::clone(words)),
        (None, Actor::Expiry) => Some(ours("expired".to_owned())),
        (None, Actor::Set(name)) => Some(ours(format!("set {name}"))),
        (None, Actor::Client(_) | Actor::Peer(_)) => None,
    };
    let (kind, name) = event.owner.shown();
    Report {
        action,
        policy: Some(event.policy),
        entry: event.entry.clone(),
        metadata,
        timestamp: event.at,
        owner: Some(ReportOwner {
            kind,
            name: name.map(str::to_owned),
        }),
    }
}

fn ours(detail: String) -> Metadata {
    Metadata {
        kind: KIND.to_owned(),
        detail,
        extra: None,
    }
}
