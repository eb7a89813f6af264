//! A line for each rule change: actor, action, rule. Under a flood, a line for many: `flood`.

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use couic_common::unix_seconds;

use super::{
    Fanout,
    flood::{Flood, Sum},
    stamp::Stamp,
    warning,
};
use crate::config::LogFormat;
use couic_firewall::rules::{Actor, EventKind, RuleEvent, Subscription};

/// Changes are collected for this time and written together. The thread sleeps meanwhile, so that the firewall does not
/// wake it for each change.
const ROUND: Duration = Duration::from_millis(5);

/// The longest delay until the thread notices the shutdown.
const IDLE: Duration = Duration::from_millis(100);

/// Lines are written in chunks of about this size, in bytes.
const CHUNK: usize = 128 * 1024;

/// The thread that logs rule changes.
#[derive(Debug)]
pub struct ChangeLog {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl ChangeLog {
    pub(super) fn start(
        changes: Subscription,
        fanout: Fanout,
        format: LogFormat,
    ) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("couic-changes".to_owned())
            .spawn(move || write_changes(&changes, &fanout, Lines::new(format), &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Logs the queued changes and ends the thread.
    pub fn close(self) {
        self.stop.store(true, Ordering::Release);
        if self.thread.join().is_err() {
            tracing::error!("the thread that logs rule changes has panicked");
        }
    }
}

fn write_changes(changes: &Subscription, fanout: &Fanout, mut lines: Lines, stop: &AtomicBool) {
    let mut flood = Flood::default();
    loop {
        let last = stop.load(Ordering::Acquire);
        let received = changes.recv_timeout(if last { Duration::ZERO } else { IDLE });
        if received.missed > 0 {
            lines.missed(received.missed);
        }
        let idle = received.events.is_empty();
        let now = Instant::now();
        for event in received.events.iter() {
            if flood.has_line(event, now) {
                lines.push(event);
            }
            if lines.text.len() >= CHUNK {
                lines.flush(fanout);
            }
        }
        for (actor, sum) in flood.sums(now, last) {
            lines.sum(&actor, sum);
        }
        lines.flush(fanout);
        if last {
            return;
        }
        if !idle {
            thread::sleep(ROUND);
        }
    }
}

/// Formats lines as tracing's formatter does, at a tenth of its cost.
struct Lines {
    text: Vec<u8>,
    count: u64,
    format: LogFormat,
    at: Stamp,
    expires: Stamp,
}

impl Lines {
    fn new(format: LogFormat) -> Self {
        Self {
            text: Vec::with_capacity(CHUNK + 512),
            count: 0,
            format,
            at: Stamp::default(),
            expires: Stamp::default(),
        }
    }

    fn flush(&mut self, fanout: &Fanout) {
        if self.count > 0 {
            fanout.push_bulk(&self.text, self.count);
            self.text.clear();
            self.count = 0;
        }
    }

    fn missed(&mut self, missed: u64) {
        let message =
            format!("{missed} rule changes before this are not logged: the log was too slow");
        let line = warning(self.format, &message);
        self.text.extend_from_slice(line.as_bytes());
        self.count += 1;
    }

    /// Changes without lines of their own.
    fn sum(&mut self, by: &Actor, sum: Sum) {
        let total = sum.total();
        let Sum {
            added,
            updated,
            removed,
        } = sum;
        let at = self.at.seconds(unix_seconds());
        let line = match self.format {
            LogFormat::Text => format!(
                "{at}Z  INFO couic::changes: {by} made {total} more changes, not logged one by one: {added} added, \
                 {updated} updated, {removed} removed\n"
            ),
            LogFormat::Json => {
                let (kind, name) = actor(by);
                let name = name.map(|name| format!(",\"name\":\"{name}\""));
                format!(
                    "{{\"timestamp\":\"{at}Z\",\"level\":\"INFO\",\"message\":\"{total} more changes, not logged one by one\",\
                     \"actor\":\"{kind}\"{},\"added\":{added},\"updated\":{updated},\"removed\":{removed},\
                     \"target\":\"couic::changes\"}}\n",
                    name.unwrap_or_default()
                )
            }
        };
        self.text.extend_from_slice(line.as_bytes());
        self.count += 1;
    }

    fn push(&mut self, event: &RuleEvent) {
        self.count += 1;
        // Writing into a Vec cannot fail.
        let _ = match self.format {
            LogFormat::Text => self.push_text(event),
            LogFormat::Json => self.push_json(event),
        };
    }

    /// Names, tags and CIDRs need no escaping; metadata of requests is not logged.
    fn push_text(&mut self, event: &RuleEvent) -> io::Result<()> {
        let RuleEvent { entry, policy, .. } = event;
        let text = &mut self.text;
        text.extend_from_slice(self.at.seconds(event.at).as_bytes());
        text.extend_from_slice(b"Z  INFO couic::changes: ");
        let (kind, name) = actor(&event.origin.actor);
        text.extend_from_slice(kind.as_bytes());
        if let Some(name) = name {
            text.push(b' ');
            text.extend_from_slice(name.as_bytes());
        }
        text.push(b' ');
        text.extend_from_slice(verb(event.kind).as_bytes());
        text.push(b' ');
        text.extend_from_slice(policy.as_str().as_bytes());
        write!(text, " {}", entry.cidr)?;
        if let Some(tag) = &entry.tag {
            text.extend_from_slice(b" tag=");
            text.extend_from_slice(tag.as_str().as_bytes());
        }
        if entry.expiration == 0 {
            text.extend_from_slice(b" expires=never");
        } else {
            text.extend_from_slice(b" expires=");
            text.extend_from_slice(self.expires.seconds(entry.expiration).as_bytes());
            text.push(b'Z');
        }
        if let Some((kind, name)) = other_owner(event) {
            let colon = if name.is_empty() { "" } else { ":" };
            write!(text, " owner={kind}{colon}{name}")?;
        }
        text.push(b'\n');
        Ok(())
    }

    fn push_json(&mut self, event: &RuleEvent) -> io::Result<()> {
        let RuleEvent { entry, policy, .. } = event;
        let text = &mut self.text;
        let (at, verb) = (self.at.seconds(event.at), verb(event.kind));
        let (kind, name) = actor(&event.origin.actor);
        write!(
            text,
            "{{\"timestamp\":\"{at}Z\",\"level\":\"INFO\",\"message\":\"{verb} {policy} {cidr}\",\"actor\":\"{kind}\"",
            cidr = entry.cidr
        )?;
        if let Some(name) = name {
            write!(text, ",\"name\":\"{name}\"")?;
        }
        write!(
            text,
            ",\"action\":\"{verb}\",\"policy\":\"{policy}\",\"cidr\":\"{}\"",
            entry.cidr
        )?;
        if let Some(tag) = &entry.tag {
            write!(text, ",\"tag\":\"{tag}\"")?;
        }
        write!(text, ",\"expiration\":{}", entry.expiration)?;
        if let Some((kind, name)) = other_owner(event) {
            write!(text, ",\"owner_kind\":\"{kind}\",\"owner\":\"{name}\"")?;
        }
        writeln!(text, ",\"target\":\"couic::changes\"}}")
    }
}

fn actor(actor: &Actor) -> (&'static str, Option<&str>) {
    match actor {
        Actor::Client(name) => ("client", Some(name.as_str())),
        Actor::Peer(name) => ("peer", Some(name.as_str())),
        Actor::Set(name) => ("set", Some(name.as_str())),
        Actor::Expiry => ("expiry", None),
    }
}

/// Kind and name of the claim's owner, if that is not who made the change. An unknown client has no name.
fn other_owner(event: &RuleEvent) -> Option<(&'static str, &str)> {
    let (kind, name) = event.owner.shown();
    let is_own = event.owner.is_actor(&event.origin.actor);
    (!is_own).then(|| (kind.as_str(), name.unwrap_or_default()))
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
    use couic_common::{Entry, Policy, Tag};

    use super::*;
    use couic_firewall::rules::{Origin, Owner};

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
            owner: match &actor {
                Actor::Set(name) => Owner::Set(name.clone()),
                _ => Owner::Client("web-1".parse().unwrap()),
            },
            origin: Origin {
                actor,
                metadata: None,
            },
        }
    }

    fn line(format: LogFormat, event: &RuleEvent) -> String {
        let mut lines = Lines::new(format);
        lines.push(event);
        assert_eq!(lines.count, 1);
        String::from_utf8(lines.text).unwrap()
    }

    #[test]
    fn text_has_actor_action_and_rule() {
        let client = Actor::Client("web-1".parse().unwrap());
        assert_eq!(
            line(LogFormat::Text, &event(client, "ssh", 1_795_248_060)),
            "2026-11-21T08:00:00Z  INFO couic::changes: client web-1 added drop 192.0.2.7/32 tag=ssh expires=2026-11-21T08:01:00Z\n"
        );
        let mut gone = event(Actor::Expiry, "", 0);
        gone.kind = EventKind::Removed;
        gone.policy = Policy::Ignore;
        assert_eq!(
            line(LogFormat::Text, &gone),
            "2026-11-21T08:00:00Z  INFO couic::changes: expiry removed ignore 192.0.2.7/32 expires=never owner=client:web-1\n"
        );
    }

    #[test]
    fn json_says_the_same() {
        let set = Actor::Set("bogons".parse().unwrap());
        let parsed: serde_json::Value =
            serde_json::from_str(&line(LogFormat::Json, &event(set, "ssh", 5))).unwrap();
        let expected = serde_json::json!({
            "timestamp": "2026-11-21T08:00:00Z", "level": "INFO", "message": "added drop 192.0.2.7/32",
            "actor": "set", "name": "bogons", "action": "added", "policy": "drop", "cidr": "192.0.2.7/32",
            "tag": "ssh", "expiration": 5, "target": "couic::changes",
        });
        assert_eq!(parsed, expected);
        let parsed: serde_json::Value =
            serde_json::from_str(&line(LogFormat::Json, &event(Actor::Expiry, "", 0))).unwrap();
        assert!(parsed.get("tag").is_none() && parsed.get("name").is_none());
        assert_eq!(
            (&parsed["owner_kind"], &parsed["owner"]),
            (&"client".into(), &"web-1".into())
        );
    }

    #[test]
    fn changes_that_are_summed_up_have_one_line() {
        let sum = Sum {
            added: 2,
            updated: 40,
            removed: 0,
        };
        let line = |format, actor: Actor| {
            let mut lines = Lines::new(format);
            lines.sum(&actor, sum);
            assert_eq!(lines.count, 1);
            String::from_utf8(lines.text).unwrap()
        };
        let text = line(LogFormat::Text, Actor::Client("web-1".parse().unwrap()));
        let says = "Z  INFO couic::changes: client web-1 made 42 more changes, not logged one by one: 2 added, 40 updated, 0 removed\n";
        assert!(text.ends_with(says), "{text}");
        let json = line(LogFormat::Json, Actor::Peer("b".parse().unwrap()));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["name"], &json["updated"]), (&"b".into(), &40.into()));
        let json = line(LogFormat::Json, Actor::Expiry);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert!(json.get("name").is_none(), "{json}");
    }

    #[test]
    fn missed_changes_are_reported_in_either_format() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let mut lines = Lines::new(format);
            lines.missed(17);
            let text = String::from_utf8(lines.text).unwrap();
            assert!(text.contains("17 rule changes before this are not logged"));
            if format == LogFormat::Json {
                let value: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(value["level"], "WARN");
            }
        }
    }

    /// The budget is 1 µs per line in a release build: `cargo test --release -p couic --lib a_line_is -- --nocapture`
    /// prints the cost. The limit here is loose, for unoptimised builds on busy machines.
    #[test]
    fn a_line_is_cheap() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let mut lines = Lines::new(format);
            let client = Actor::Client("web-1".parse().unwrap());
            let events: Vec<_> = (0..1000)
                .map(|n| event(client.clone(), "ssh", 1_795_248_000 + n))
                .collect();
            let start = Instant::now();
            for _ in 0..100 {
                events.iter().for_each(|e| lines.push(e));
                lines.text.clear();
            }
            let each = start.elapsed() / 100_000;
            println!("a line of {format:?}: {each:?}");
            assert!(each < Duration::from_micros(20), "{each:?}");
        }
    }
}
