//! Entries of the audit log: who changed what, from where, and why.

use serde::{Deserialize, Serialize};

use crate::{Cidr, Policy, ReportOwner, Tag};

/// The header that carries the id of a request: taken from the request if it is usable, and sent with every answer.
pub const REQUEST_ID_HEADER: &str = "X-Request-Id";

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
}
