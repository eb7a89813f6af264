//! What the main log says of rule changes: one line for a request, and one a second for what expires or comes from peers.
//!
//! A request's line is written when the request is answered, or has run for a minute. Each client has so many lines in a
//! burst and so many a second; requests beyond that share a line a second. The rules themselves are in the audit log.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{AuditEntry, Policy, Tag};
use couic_firewall::rules::{Actor, EventKind, Request, RuleEvent};

use super::{
    entries::{actor_of, entry_of},
    flood::Bucket,
};

/// A client's lines in a burst, and a second after that.
const LINES: (u32, u32) = (1_000, 5);

/// How long changes without a request of their own are counted.
const ROUND: Duration = Duration::from_secs(1);

/// How long a request's changes are counted at most.
const LONG: Duration = Duration::from_secs(60);

/// Changes that have no line yet.
#[derive(Debug, Default)]
pub(super) struct Summary {
    groups: HashMap<(Key, Policy), Group>,
    lines: HashMap<Actor, Bucket>,
}

/// What shares a line. A request by its address, which its group keeps.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Request(usize),
    Actor(Actor),
}

#[derive(Debug)]
struct Group {
    first: RuleEvent,
    since: Instant,
    request: Option<Arc<Request>>,
    added: u64,
    updated: u64,
    released: u64,
    removed: u64,
    /// Whether all changes have the tag of the first.
    same_tag: bool,
    is_over: bool,
}

impl Summary {
    /// Counts a change. Those of set files have the line of the reload that made them.
    pub(super) fn count(&mut self, event: &RuleEvent, now: Instant) {
        let actor = &event.origin.actor;
        if matches!(actor, Actor::Set(_)) {
            return;
        }
        let request = event
            .request
            .as_ref()
            .filter(|_| matches!(actor, Actor::Client(_)));
        if let Some(request) = request {
            let key = (Key::Request(Arc::as_ptr(request).addr()), event.policy);
            if let Some(group) = self.groups.get_mut(&key) {
                return group.count(event);
            }
            if self.has_line(actor, now) {
                let group = Group::new(event, Some(request), now);
                self.groups.insert(key, group);
                return;
            }
        }
        let key = (Key::Actor(actor.clone()), event.policy);
        match self.groups.get_mut(&key) {
            Some(group) => group.count(event),
            None => drop(self.groups.insert(key, Group::new(event, None, now))),
        }
    }

    fn has_line(&mut self, actor: &Actor, now: Instant) -> bool {
        if let Some(bucket) = self.lines.get_mut(actor) {
            return bucket.take(now);
        }
        let mut bucket = Bucket::full(LINES.0, LINES.1, now);
        let has_line = bucket.take(now);
        self.lines.insert(actor.clone(), bucket);
        has_line
    }

    /// Notes which requests are over. Call it before changes are received: those of such a request have all come then.
    pub(super) fn note_answered(&mut self) {
        for group in self.groups.values_mut() {
            group.is_over = group.request.as_ref().is_some_and(|r| r.is_answered());
        }
    }

    /// What has a line now, in the order of the first changes.
    pub(super) fn due(&mut self, now: Instant, last: bool) -> Vec<AuditEntry> {
        let due = |group: &Group| {
            let most = if group.request.is_some() { LONG } else { ROUND };
            last || group.is_over || now.saturating_duration_since(group.since) >= most
        };
        let mut groups: Vec<Group> = self
            .groups
            .extract_if(|_, group| due(group))
            .map(|(_, group)| group)
            .collect();
        groups.sort_by_key(|group| group.first.seq);
        groups.iter().map(Group::line).collect()
    }
}

impl Group {
    fn new(event: &RuleEvent, request: Option<&Arc<Request>>, now: Instant) -> Self {
        let mut group = Self {
            first: event.clone(),
            since: now,
            request: request.cloned(),
            added: 0,
            updated: 0,
            released: 0,
            removed: 0,
            same_tag: true,
            is_over: false,
        };
        group.count(event);
        group
    }

    fn count(&mut self, event: &RuleEvent) {
        self.same_tag &= event.entry.tag == self.first.entry.tag;
        *match event.kind {
            EventKind::Added => &mut self.added,
            EventKind::Updated => &mut self.updated,
            EventKind::Released => &mut self.released,
            EventKind::Removed => &mut self.removed,
        } += 1;
    }

    fn line(&self) -> AuditEntry {
        let total = self.added + self.updated + self.released + self.removed;
        if total == 1 {
            return entry_of(&self.first);
        }
        let kinds = [
            (self.added, "added"),
            (self.updated, "renewed"),
            (self.released, "released"),
            (self.removed, "removed"),
        ];
        let kinds = kinds.iter().filter(|(count, _)| *count > 0);
        let kinds: Vec<_> = kinds
            .map(|(count, verb)| format!("{verb} {count}"))
            .collect();
        let tag = self.first.entry.tag.as_ref().filter(|_| self.same_tag);
        let tag = tag.map(|tag: &Tag| format!(" (tag {tag})"));
        let policy = self.first.policy;
        let actor = actor_of(&self.first.origin.actor);
        let mut entry = AuditEntry::new(self.first.at, actor, "changed");
        entry.request = self.request.as_ref().map(|request| request.id.clone());
        entry.count = Some(total);
        entry.message = Some(format!(
            "{} {policy} rules{}",
            kinds.join(", "),
            tag.unwrap_or_default()
        ));
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::entries::tests::event;

    fn web() -> Actor {
        Actor::Client("web-1".parse().unwrap())
    }

    fn request(id: &str) -> Arc<Request> {
        Arc::new(Request::new(id.to_owned(), None, None))
    }

    fn of(request: &Arc<Request>, tag: &str, kind: EventKind) -> RuleEvent {
        RuleEvent {
            kind,
            request: Some(Arc::clone(request)),
            ..event(web(), tag, 0)
        }
    }

    fn lines(summary: &mut Summary, now: Instant) -> Vec<String> {
        let due = summary.due(now, false);
        due.iter().map(AuditEntry::describe).collect()
    }

    #[test]
    fn a_request_has_a_line_once_it_is_answered() {
        let (mut summary, now) = (Summary::default(), Instant::now());
        let (many, one) = (request("many"), request("one"));
        for _ in 0..3 {
            summary.count(&of(&many, "ssh", EventKind::Added), now);
        }
        summary.count(&of(&many, "ssh", EventKind::Updated), now);
        summary.count(&of(&one, "ssh", EventKind::Added), now);
        summary.note_answered();
        assert!(lines(&mut summary, now).is_empty());
        many.answer();
        one.answer();
        summary.note_answered();
        let due = summary.due(now, false);
        let mut texts: Vec<_> = due.iter().map(AuditEntry::describe).collect();
        texts.sort();
        assert_eq!(
            texts,
            [
                "client web-1 added drop 192.0.2.7/32 (tag ssh) without end",
                "client web-1: added 3, renewed 1 drop rules (tag ssh)"
            ]
        );
        assert!(due.iter().all(|entry| entry.request.is_some()));
    }

    #[test]
    fn a_long_request_has_a_line_a_minute() {
        let (mut summary, now) = (Summary::default(), Instant::now());
        let request = request("long");
        summary.count(&of(&request, "a", EventKind::Added), now);
        summary.count(&of(&request, "b", EventKind::Added), now);
        assert!(lines(&mut summary, now + LONG / 2).is_empty());
        let text = lines(&mut summary, now + LONG);
        assert_eq!(
            text,
            ["client web-1: added 2 drop rules"],
            "the tags differ"
        );
    }

    #[test]
    fn expiries_are_summed_up_and_sets_left_to_their_reload() {
        let (mut summary, now) = (Summary::default(), Instant::now());
        let mut expired = event(Actor::Expiry, "", 0);
        expired.kind = EventKind::Removed;
        (0..5).for_each(|_| summary.count(&expired, now));
        summary.count(&event(Actor::Set("s".parse().unwrap()), "", 0), now);
        assert!(lines(&mut summary, now).is_empty());
        assert_eq!(
            lines(&mut summary, now + ROUND),
            ["expiry: removed 5 drop rules"]
        );
        assert!(summary.groups.is_empty());
    }

    #[test]
    fn many_requests_share_lines() {
        let (mut summary, now) = (Summary::default(), Instant::now());
        let mut requests = Vec::new();
        for n in 0..3_000 {
            let request = request(&n.to_string());
            summary.count(&of(&request, "", EventKind::Added), now);
            request.answer();
            requests.push(request);
        }
        summary.note_answered();
        assert_eq!(lines(&mut summary, now).len(), LINES.0 as usize);
        assert_eq!(
            lines(&mut summary, now + ROUND),
            ["client web-1: added 2000 drop rules"]
        );
    }
}
