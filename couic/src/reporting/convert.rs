//! Converts events to reports.

use couic_common::{Metadata, PeerAction, Report};

use couic_firewall::rules::{Actor, EventKind, RuleEvent};

/// The metadata kind of changes made by the daemon itself.
const KIND: &str = "couic";

/// The report of an event.
#[must_use]
pub fn report(event: &RuleEvent) -> Report {
    let action = match event.kind {
        EventKind::Added | EventKind::Updated => PeerAction::Add,
        EventKind::Removed => PeerAction::Remove,
    };
    let metadata = match (&event.origin.metadata, &event.origin.actor) {
        (Some(words), _) => Some(Metadata::clone(words)),
        (None, Actor::Expiry) => Some(ours("expired".to_owned())),
        (None, Actor::Set(name)) => Some(ours(format!("set {name}"))),
        (None, Actor::Client(_) | Actor::Peer(_)) => None,
    };
    Report {
        action,
        policy: Some(event.policy),
        entry: event.entry.clone(),
        metadata,
        timestamp: event.at,
    }
}

fn ours(detail: String) -> Metadata {
    Metadata {
        kind: KIND.to_owned(),
        detail,
        extra: None,
    }
}
