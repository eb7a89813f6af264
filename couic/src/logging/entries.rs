//! An entry of the audit log for each rule change, formatted at a tenth of the cost of serde.

use std::{
    io::{self, Write},
    sync::Arc,
};

use couic_common::{AuditActor, AuditActorKind, AuditEntry, ReportOwner, counted, unix_seconds};
use couic_firewall::rules::{Actor, EventKind, Request, RuleEvent};

use super::{
    audit::{self, bounded},
    flood::Sum,
    origin,
};

/// Lines are written in chunks of about this size, in bytes.
pub(super) const CHUNK: usize = 128 * 1024;

/// Entries that are not written yet.
pub(super) struct Entries {
    pub(super) text: Vec<u8>,
    pub(super) count: u64,
    /// The last request, with its id and origin as they are written: a request makes many changes.
    request: (Option<Arc<Request>>, Vec<u8>),
}

impl Default for Entries {
    fn default() -> Self {
        Self {
            text: Vec::with_capacity(CHUNK + 1024),
            count: 0,
            request: Default::default(),
        }
    }
}

impl Entries {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.count = 0;
    }

    fn entry(&mut self, entry: &AuditEntry) {
        self.text.extend_from_slice(&audit::line(entry));
        self.count += 1;
    }

    /// Changes that the audit log was too slow for.
    pub(super) fn missed(&mut self, missed: u64) {
        let mut entry = AuditEntry::new(unix_seconds(), audit::daemon(), "lost");
        entry.count = Some(missed);
        let message = "rule changes before this have no entry: the log was too slow";
        entry.message = Some(message.to_owned());
        self.entry(&entry);
    }

    /// Changes without entries of their own.
    pub(super) fn sum(&mut self, by: &Actor, sum: Sum) {
        let Sum {
            added,
            updated,
            removed,
        } = sum;
        let mut entry = AuditEntry::new(unix_seconds(), actor_of(by), "summed_up");
        entry.count = Some(sum.total());
        let changes = counted(sum.total(), "more change", "more changes");
        entry.message = Some(format!(
            "{changes} without entries of their own: {added} added, {updated} updated, {removed} removed"
        ));
        self.entry(&entry);
    }

    pub(super) fn push(&mut self, event: &RuleEvent) {
        self.count += 1;
        // Writing into a Vec cannot fail.
        let _ = self.write(event);
    }

    /// Names, tags and CIDRs need no escaping; what clients write does.
    fn write(&mut self, event: &RuleEvent) -> io::Result<()> {
        let RuleEvent {
            entry,
            policy,
            at,
            origin,
            ..
        } = event;
        self.find_request(event);
        let text = &mut self.text;
        write!(text, "{{\"at\":{at}")?;
        text.extend_from_slice(&self.request.1);
        let (kind, name) = actor(&origin.actor);
        write!(text, ",\"actor\":{{\"kind\":\"{}\"", kind.as_str())?;
        if let Some(name) = name {
            write!(text, ",\"name\":\"{name}\"")?;
        }
        write!(
            text,
            "}},\"action\":\"{}\",\"policy\":\"{policy}\",\"cidr\":\"{}\"",
            verb(event.kind),
            entry.cidr
        )?;
        if let Some(tag) = &entry.tag {
            write!(text, ",\"tag\":\"{tag}\"")?;
        }
        write!(text, ",\"expiration\":{}", entry.expiration)?;
        if let Some((kind, name)) = other_owner(event) {
            write!(
                text,
                ",\"owner\":{{\"kind\":\"{}\",\"name\":",
                kind.as_str()
            )?;
            match name {
                Some(name) => write!(text, "\"{name}\"}}")?,
                None => text.extend_from_slice(b"null}"),
            }
        }
        if let Some(metadata) = &origin.metadata {
            text.extend_from_slice(b",\"reason\":");
            serde_json::to_writer(&mut *text, bounded(&metadata.detail))?;
        }
        text.extend_from_slice(b"}\n");
        Ok(())
    }

    /// Sets the fields of the event's request.
    fn find_request(&mut self, event: &RuleEvent) {
        let Some(request) = &event.request else {
            self.request = Default::default();
            return;
        };
        let (last, fields) = &mut self.request;
        if last.as_ref().is_some_and(|last| Arc::ptr_eq(last, request)) {
            return;
        }
        fields.clear();
        // An id has no quotes, and the origin is made of numbers, an address and a plain name.
        let _ = write!(fields, ",\"request\":\"{}\"", request.id);
        if let Some(from) = origin::describe(request) {
            let _ = write!(fields, ",\"from\":\"{from}\"");
        }
        *last = Some(Arc::clone(request));
    }
}

/// A change as an entry, for its line in the main log.
pub(super) fn entry_of(event: &RuleEvent) -> AuditEntry {
    let RuleEvent {
        entry,
        origin,
        request,
        ..
    } = event;
    let owner = other_owner(event).map(|(kind, name)| ReportOwner {
        kind,
        name: name.map(str::to_owned),
    });
    let reason = origin.metadata.as_ref().map(|m| bounded(&m.detail));
    AuditEntry {
        request: request.as_ref().map(|request| request.id.clone()),
        from: request.as_deref().and_then(origin::describe),
        policy: Some(event.policy),
        cidr: Some(entry.cidr),
        tag: entry.tag.clone(),
        expiration: Some(entry.expiration),
        owner,
        reason: reason.map(str::to_owned),
        ..AuditEntry::new(event.at, actor_of(&origin.actor), verb(event.kind))
    }
}

pub(crate) fn actor_of(by: &Actor) -> AuditActor {
    let (kind, name) = actor(by);
    AuditActor {
        kind,
        name: name.map(str::to_owned),
    }
}

fn actor(actor: &Actor) -> (AuditActorKind, Option<&str>) {
    match actor {
        Actor::Client(name) => (AuditActorKind::Client, Some(name.as_str())),
        Actor::Peer(name) => (AuditActorKind::Peer, Some(name.as_str())),
        Actor::Set(name) => (AuditActorKind::Set, Some(name.as_str())),
        Actor::Expiry => (AuditActorKind::Expiry, None),
    }
}

/// Kind and name of the claim's owner, if that is not who made the change. An unknown client has no name.
fn other_owner(event: &RuleEvent) -> Option<(couic_common::OwnerKind, Option<&str>)> {
    let is_own = event.owner.is_actor(&event.origin.actor);
    (!is_own).then(|| event.owner.shown())
}

fn verb(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Added => "added",
        EventKind::Updated => "updated",
        EventKind::Released => "released",
        EventKind::Removed => "removed",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use couic_common::{Entry, Metadata, Policy, Tag};
    use couic_firewall::rules::{Origin, Owner};

    use super::*;

    pub(in crate::logging) fn event(actor: Actor, tag: &str, expiration: u64) -> RuleEvent {
        RuleEvent {
            seq: 1,
            at: 1_795_248_000,
            kind: EventKind::Added,
            policy: Policy::Drop,
            entry: Entry {
                creation: 1_795_248_000,
                cidr: "192.0.2.7/32".parse().unwrap(),
                tag: Tag::parse(tag).unwrap(),
                expiration,
                hits: None,
                last_seen: None,
                reason: None,
                owners: Vec::new(),
            },
            former_tag: Tag::parse(tag).unwrap(),
            owner: match &actor {
                Actor::Set(name) => Owner::Set(name.clone()),
                _ => Owner::Client("web-1".parse().unwrap()),
            },
            origin: Origin {
                actor,
                metadata: None,
            },
            request: None,
        }
    }

    fn written(events: &[RuleEvent]) -> Vec<AuditEntry> {
        let mut entries = Entries::default();
        events.iter().for_each(|event| entries.push(event));
        assert_eq!(entries.count, events.len() as u64);
        let text = String::from_utf8(entries.text).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    #[test]
    fn an_entry_is_what_serde_would_write() {
        let client = Actor::Client("web-1".parse().unwrap());
        let mut full = event(client, "ssh", 1_795_248_060);
        let request = Request::new("7f3a".to_owned(), Some((0, Some(9))), None);
        full.request = Some(Arc::new(request));
        full.origin.metadata = Some(Arc::new(Metadata {
            kind: "fail2ban".to_owned(),
            detail: "said \"no\"\n5 times".to_owned(),
            extra: None,
        }));
        let mut expired = event(Actor::Expiry, "", 0);
        expired.kind = EventKind::Removed;
        expired.policy = Policy::Ignore;
        let set = event(Actor::Set("bogons".parse().unwrap()), "", 0);
        let mut unknown = event(Actor::Expiry, "", 0);
        unknown.owner = Owner::Api;
        let events = [full.clone(), expired, set, unknown, full];
        let expected: Vec<_> = events.iter().map(entry_of).collect();
        assert_eq!(written(&events), expected);
        let first = &expected[0];
        assert_eq!(first.from.as_deref(), Some("uid 0 (root), pid 9"));
        assert_eq!(first.reason.as_deref(), Some("said \"no\"\n5 times"));
        assert_eq!(first.owner, None);
        assert_eq!(
            expected[1].owner.as_ref().unwrap().name.as_deref(),
            Some("web-1")
        );
        assert_eq!((&expected[1].request, &expected[3].tag), (&None, &None));
    }

    #[test]
    fn a_long_reason_is_cut() {
        let mut long = event(Actor::Expiry, "", 0);
        long.origin.metadata = Some(Arc::new(Metadata {
            kind: String::new(),
            detail: "é".repeat(100_000),
            extra: None,
        }));
        let entries = written(&[long]);
        assert_eq!(entries[0].reason, Some("é".repeat(audit::LONGEST / 2)));
    }

    #[test]
    fn sums_and_gaps_are_entries_too() {
        let mut entries = Entries::default();
        let sum = Sum {
            added: 2,
            updated: 40,
            removed: 0,
        };
        entries.sum(&Actor::Client("web-1".parse().unwrap()), sum);
        entries.missed(17);
        let text = String::from_utf8(entries.text).unwrap();
        let read: Vec<AuditEntry> = text
            .lines()
            .map(|l| serde_json::from_str(l).unwrap())
            .collect();
        assert_eq!(read[0].count, Some(42));
        assert_eq!(
            read[0].describe(),
            "client web-1: 42 more changes without entries of their own: 2 added, 40 updated, 0 removed"
        );
        assert_eq!((read[1].action.as_str(), read[1].count), ("lost", Some(17)));
    }

    /// The budget is 1 µs per entry in a release build: `cargo test --release -p couic --lib a_line_is -- --nocapture`
    /// prints the cost. The limit here is loose, for unoptimised builds on busy machines.
    #[test]
    fn a_line_is_cheap() {
        let mut entries = Entries::default();
        let client = Actor::Client("web-1".parse().unwrap());
        let request = Request::new("0123456789abcdef".to_owned(), Some((0, Some(9))), None);
        let request = Some(Arc::new(request));
        let events: Vec<_> = (0..1000)
            .map(|n| RuleEvent {
                request: request.clone(),
                ..event(client.clone(), "ssh", 1_795_248_000 + n)
            })
            .collect();
        let (start, mut size) = (Instant::now(), 0);
        for _ in 0..100 {
            events.iter().for_each(|event| entries.push(event));
            size = entries.text.len() / 1000;
            entries.clear();
        }
        let each = start.elapsed() / 100_000;
        println!("an entry: {each:?}, {size} bytes");
        assert!(each < Duration::from_micros(20), "{each:?}");
    }
}
