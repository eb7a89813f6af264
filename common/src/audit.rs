//! Entries of the audit log: who changed what, from where, and why.

use serde::{Deserialize, Serialize};

use crate::{Cidr, Policy, ReportOwner, Tag, time_left};

/// The header that carries the id of a request: taken from the request if it is usable, and sent with every answer.
pub const REQUEST_ID_HEADER: &str = "X-Request-Id";

/// The header of an answer of `GET /v1/log` that ended at the bound of a search: the time down to which the log was read,
/// Unix seconds. A request with `until` of that time goes on.
pub const LOG_READ_DOWN_TO_HEADER: &str = "couic-log-read-down-to";

/// One entry of the audit log. Fields that do not apply are missing; readers ignore fields that they do not know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditEntry {
    /// Time of the action, Unix seconds.
    pub at: u64,
    /// The id of the request that caused it, as in the answer's `X-Request-Id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// Who did it.
    pub actor: AuditActor,
    /// Where the request came from: `uid 1000 (alice), pid 4711`, or `203.0.113.7 via uid 33 (www-data), pid 812`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What was done: `added`, `updated`, `released` or `removed` for rules, else such as `panic_on`, `set_created`,
    /// `client_deleted`, `notifier_test`, `refused`, `started`.
    pub action: String,
    /// The policy of the rule or set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// The rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cidr: Option<Cidr>,
    /// The label of the claim that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Tag>,
    /// Time at which the rule expires, Unix seconds; 0 = never. Only with rules.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expiration: Option<u64>,
    /// Whose claim changed, if that is not the actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<ReportOwner>,
    /// The reason that the client gave: `metadata.detail` of a rule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many changes this entry stands for, if they were summed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// What else there is to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuditActor {
    /// The kind of actor.
    pub kind: AuditActorKind,
    /// The name of the client, peer or set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The kind of an actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum AuditActorKind {
    /// A client of the API.
    Client,
    /// A peer.
    Peer,
    /// A set file, at a reload.
    Set,
    /// The end of a rule's time.
    Expiry,
    /// The daemon itself.
    Daemon,
    /// A caller without a valid token, or a kind that this version does not know.
    #[serde(other)]
    Unknown,
}

impl AuditActorKind {
    /// `client`, `peer`, `set`, `expiry`, `daemon` or `unknown`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Peer => "peer",
            Self::Set => "set",
            Self::Expiry => "expiry",
            Self::Daemon => "daemon",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for AuditActor {
    /// `client web-1`, `expiry`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind.as_str())?;
        match &self.name {
            Some(name) => write!(f, " {name}"),
            None => Ok(()),
        }
    }
}

impl AuditEntry {
    /// An entry without anything that not every entry has.
    #[must_use]
    pub fn new(at: u64, actor: AuditActor, action: impl Into<String>) -> Self {
        Self {
            at,
            request: None,
            actor,
            from: None,
            action: action.into(),
            policy: None,
            cidr: None,
            tag: None,
            expiration: None,
            owner: None,
            reason: None,
            count: None,
            message: None,
        }
    }

    /// What happened, in words, without time, request and origin: `client web-1 added drop 192.0.2.7/32 (tag ssh) for
    /// 1h: 5 failed logins`.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut text = match (self.policy, self.cidr) {
            (Some(policy), Some(cidr)) => {
                let Self { actor, action, .. } = self;
                let action = action.replace('_', " ");
                format!("{actor} {action} {policy} {cidr}") + &self.details()
            }
            _ => {
                let action = self.action.replace('_', " ");
                format!(
                    "{}: {}",
                    self.actor,
                    self.message.as_ref().unwrap_or(&action)
                )
            }
        };
        if let (Some(_), Some(message)) = (self.cidr, &self.message) {
            text += &format!("; {message}");
        }
        if let Some(reason) = &self.reason {
            text += &format!(": {reason}");
        }
        if text.contains(char::is_control) {
            text = text.replace(char::is_control, " ");
        }
        text
    }

    /// Tag, time and owner of a rule.
    fn details(&self) -> String {
        let mut text = String::new();
        if let Some(tag) = &self.tag {
            text += &format!(" (tag {tag})");
        }
        match self.expiration {
            Some(0) if self.action == "added" => text += " without end",
            Some(end) if end > 0 && matches!(self.action.as_str(), "added" | "updated") => {
                // The second of `at` has begun: a rule for a minute ends 60 s after its end.
                let left = end.saturating_sub(self.at + 1).max(1);
                text += &format!(" for {}", time_left(left));
            }
            _ => {}
        }
        if let Some(owner) = &self.owner {
            let name = owner.name.as_deref().unwrap_or("unknown");
            text += &format!(" of {} {name}", owner.kind.as_str());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_skipped_and_what_is_unknown_is_ignored() {
        let text = r#"{"at":7,"actor":{"kind":"client","name":"web"},"action":"added","policy":"drop","cidr":"192.0.2.7/32"}"#;
        let entry: AuditEntry = serde_json::from_str(text).unwrap();
        assert_eq!(entry.cidr, Some("192.0.2.7/32".parse().unwrap()));
        assert_eq!(serde_json::to_string(&entry).unwrap(), text);
        let newer = r#"{"at":7,"actor":{"kind":"robot","model":3},"action":"x","more":[]}"#;
        let entry: AuditEntry = serde_json::from_str(newer).unwrap();
        assert_eq!(entry.actor.to_string(), "unknown");
    }

    #[test]
    fn entries_in_words() {
        let actor = |kind, name: Option<&str>| AuditActor {
            kind,
            name: name.map(str::to_owned),
        };
        let client = actor(AuditActorKind::Client, Some("web"));
        let mut entry = AuditEntry::new(100, client, "added");
        (entry.policy, entry.cidr) = (Some(Policy::Drop), "192.0.2.7/32".parse().ok());
        (entry.tag, entry.expiration) = (Tag::parse("ssh").unwrap(), Some(161));
        entry.reason = Some("5 failures\nin a minute".to_owned());
        assert_eq!(
            entry.describe(),
            "client web added drop 192.0.2.7/32 (tag ssh) for 1m: 5 failures in a minute"
        );
        (entry.actor, entry.action) = (actor(AuditActorKind::Expiry, None), "removed".to_owned());
        (entry.tag, entry.reason) = (None, None);
        let (kind, name) = (crate::OwnerKind::Client, Some("web".to_owned()));
        entry.owner = Some(ReportOwner { kind, name });
        assert_eq!(
            entry.describe(),
            "expiry removed drop 192.0.2.7/32 of client web"
        );
        let mut other = AuditEntry::new(1, actor(AuditActorKind::Daemon, None), "sets_reloaded");
        assert_eq!(other.describe(), "daemon: sets reloaded");
        other.message = Some("sets reloaded: 3 added".to_owned());
        assert_eq!(other.describe(), "daemon: sets reloaded: 3 added");
    }
}
