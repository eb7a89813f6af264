//! The audit log: who changed what, from where, why. One JSON object a line, as [`AuditEntry`].
//!
//! Changes of rules come from the event stream (`changes`). Everything else is an event of tracing with the target
//! [`TARGET`], which any part of the daemon and of its libraries can send: its field `action` becomes the action, and
//! `client`, `policy`, `cidr`, `tag`, `reason` and `count` the fields of the same name; others are put behind the message.
//! Request and origin are those of the thread. Each such event has a line in the main log as well.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::{AuditActor, AuditActorKind, AuditEntry, Tag, unix_seconds, unix_time};
use couic_firewall::rules::Request;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::layer::{Context, Layer};

use super::{Fanout, flood::Bucket, live::Live, origin, outlet::Outlet, stamp::Stamp};
use crate::config::LogFormat;

/// The target of events that belong into the audit log.
pub(super) const TARGET: &str = "couic::audit";

/// The longest reason or message, in bytes.
pub(super) const LONGEST: usize = 512;

/// Refused requests in a burst that have a line, and a second after that: anyone who reaches the socket can send them.
const REFUSED: (u32, u32) = (200, 2);

/// Turns events of tracing into entries, and into lines of the main log.
pub(super) struct AuditLayer {
    pub(super) audit: Option<Arc<Outlet>>,
    pub(super) fanout: Fanout,
    refused: Mutex<Refused>,
}

struct Refused {
    bucket: Bucket,
    left_out: u64,
}

impl AuditLayer {
    pub(super) fn new(audit: Option<Arc<Outlet>>, fanout: Fanout) -> Self {
        let bucket = Bucket::full(REFUSED.0, REFUSED.1, Instant::now());
        Self {
            audit,
            fanout,
            refused: Mutex::new(Refused {
                bucket,
                left_out: 0,
            }),
        }
    }

    /// Whether a refusal has an entry, which then stands for those before it that had none.
    fn admit_refusal(&self, entry: &mut AuditEntry) -> bool {
        let mut refused = self.refused.lock();
        if !refused.bucket.take(Instant::now()) {
            refused.left_out += 1;
            return false;
        }
        let left_out = std::mem::take(&mut refused.left_out);
        if left_out > 0 {
            entry.count = Some(entry.count.unwrap_or(1) + left_out);
        }
        true
    }
}

impl<S: Subscriber> Layer<S> for AuditLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut entry = entry_of(event);
        if entry.action == "refused" && !self.admit_refusal(&mut entry) {
            return;
        }
        if let Some(audit) = &self.audit {
            audit.push(&line(&entry), 1, Duration::ZERO);
        }
        let level = *event.metadata().level();
        if self.fanout.live.has_line(level) {
            self.fanout.line(
                level,
                main_line(&self.fanout.live, level, &entry).as_bytes(),
            );
        }
    }
}

/// An entry as a line of its file.
pub(super) fn line(entry: &AuditEntry) -> Vec<u8> {
    // Strings and numbers can always be written.
    let mut line = serde_json::to_vec(entry).unwrap_or_default();
    line.push(b'\n');
    line
}

/// A line about the audit log itself.
pub(super) fn note(message: &str) -> String {
    let mut entry = AuditEntry::new(unix_seconds(), daemon(), "log");
    entry.message = Some(message.to_owned());
    String::from_utf8(line(&entry)).unwrap_or_default()
}

pub(super) fn daemon() -> AuditActor {
    AuditActor {
        kind: AuditActorKind::Daemon,
        name: None,
    }
}

/// An entry as a line of the main log.
pub(super) fn main_line(live: &Live, level: Level, entry: &AuditEntry) -> String {
    let now = unix_time();
    let (mut stamp, micros) = (Stamp::default(), now.subsec_micros());
    let at = stamp.seconds(now.as_secs());
    let text = entry.describe();
    match live.format() {
        LogFormat::Text => {
            let request = entry.request.as_ref().map(|id| format!(", request {id}"));
            let request = request.unwrap_or_default();
            format!("{at}.{micros:06}Z {level:>5} {TARGET}: {text}{request}\n")
        }
        LogFormat::Json => {
            let mut object = json!({
                "timestamp": format!("{at}.{micros:06}Z"),
                "level": level.as_str(),
                "message": text,
            });
            if let (Some(object), Ok(Value::Object(fields))) =
                (object.as_object_mut(), serde_json::to_value(entry))
            {
                let fields = fields.into_iter().filter(|(name, _)| name != "message");
                object.extend(fields);
                object.insert("target".to_owned(), TARGET.into());
            }
            format!("{object}\n")
        }
    }
}

fn entry_of(event: &Event<'_>) -> AuditEntry {
    let request = Request::current();
    let client = request.as_ref().and_then(|request| request.client.get());
    let actor = match (client, &request) {
        (Some(name), _) => AuditActor {
            kind: AuditActorKind::Client,
            name: Some(name.to_string()),
        },
        (None, Some(_)) => AuditActor {
            kind: AuditActorKind::Unknown,
            name: None,
        },
        (None, None) => daemon(),
    };
    let mut entry = AuditEntry::new(unix_seconds(), actor, "other");
    entry.request = request.as_ref().map(|request| request.id.clone());
    entry.from = request.as_deref().and_then(origin::describe);
    event.record(&mut Fields(&mut entry));
    entry
}

/// Fills an entry with an event's fields.
struct Fields<'a>(&'a mut AuditEntry);

impl Fields<'_> {
    fn text(&mut self, field: &Field, text: &str) {
        let Self(entry) = self;
        match field.name() {
            "action" => text.clone_into(&mut entry.action),
            "client" => {
                entry.actor = AuditActor {
                    kind: AuditActorKind::Client,
                    name: Some(text.to_owned()),
                };
            }
            "policy" => entry.policy = text.parse().ok(),
            "cidr" => entry.cidr = text.parse().ok(),
            "tag" => entry.tag = Tag::parse(text).ok().flatten(),
            "reason" => entry.reason = Some(bounded(text).to_owned()),
            "message" => {
                let behind = entry.message.take().unwrap_or_default();
                entry.message = Some(bounded(text).to_owned() + &behind);
            }
            name => {
                let message = entry.message.get_or_insert_default();
                *message += &format!(" {name}={}", bounded(text));
            }
        }
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "count" {
            self.0.count = Some(value);
        } else {
            self.text(field, &value.to_string());
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field, &format!("{value:?}"));
    }
}

/// The beginning of a text that others wrote.
pub(super) fn bounded(text: &str) -> &str {
    &text[..text.floor_char_boundary(LONGEST)]
}
