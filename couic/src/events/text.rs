//! Changes as server-sent events: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
//!
//! JSON has no line breaks, so that each event has one line of data.

use std::io::Write;

use couic_common::{ChangeAction, EventGap, EventId, Reason, ReportOwner, RuleChange};
use couic_firewall::rules::{EventKind, RuleEvent};

use crate::logging::actor_of;

/// A change.
pub(super) fn change(out: &mut Vec<u8>, id: EventId, event: &RuleEvent) {
    data(out, id, "", &rule_change(event));
}

/// Changes that are missing up to this id.
pub(super) fn gap(out: &mut Vec<u8>, id: EventId, missed: Option<u64>) {
    data(out, id, "event: gap\n", &EventGap { missed });
}

/// A position without an event, which readers take note of. As a comment it also shows that the daemon lives.
pub(super) fn position(id: EventId) -> Vec<u8> {
    format!(":\nid: {id}\n\n").into_bytes()
}

/// Writing into a Vec cannot fail, nor can these types.
fn data(out: &mut Vec<u8>, id: EventId, event: &str, value: &impl serde::Serialize) {
    let _ = write!(out, "{event}id: {id}\ndata: ");
    let _ = serde_json::to_writer(&mut *out, value);
    out.extend_from_slice(b"\n\n");
}

fn rule_change(event: &RuleEvent) -> RuleChange {
    let RuleEvent {
        at,
        kind,
        policy,
        entry,
        origin,
        owner,
        ..
    } = event;
    let words = origin.metadata.as_ref();
    let words = words.and_then(|words| Reason::of(&words.detail));
    let reason = words.or_else(|| entry.reason.clone());
    let (owner_kind, name) = owner.shown();
    RuleChange {
        at: *at,
        action: match kind {
            EventKind::Added => ChangeAction::Added,
            EventKind::Updated => ChangeAction::Updated,
            EventKind::Released => ChangeAction::Released,
            EventKind::Removed => ChangeAction::Removed,
        },
        policy: *policy,
        cidr: entry.cidr,
        tag: entry.tag.clone(),
        expiration: entry.expiration,
        creation: entry.creation,
        reason: reason.map(|reason| reason.as_str().to_owned()),
        owner: ReportOwner {
            kind: owner_kind,
            name: name.map(str::to_owned),
        },
        actor: actor_of(&origin.actor),
    }
}
