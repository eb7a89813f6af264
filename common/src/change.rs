//! Changes of rules as `GET /v1/events` streams them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{AuditActor, AuditEntry, Cidr, Policy, ReportOwner, Tag};

/// One change of the rules in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuleChange {
    /// Time of the change, Unix seconds.
    pub at: u64,
    /// What happened to the rule.
    pub action: ChangeAction,
    /// The rule's policy.
    pub policy: Policy,
    /// The network that the rule covers.
    pub cidr: Cidr,
    /// Its label, as it is shown from now on, or as it was shown before it went.
    pub tag: Option<Tag>,
    /// Time at which it expires, Unix seconds; 0 = never.
    pub expiration: u64,
    /// Time at which it was first added.
    pub creation: u64,
    /// Why it was changed, by whoever changed it, else why the rule is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whose claim on the rule was made, changed or ended.
    pub owner: ReportOwner,
    /// Who changed it.
    pub actor: AuditActor,
}

/// What happened to a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum ChangeAction {
    /// It is in force from now on.
    Added,
    /// Its tag or expiration changed.
    Updated,
    /// A claim on it ended. It stays in force by others, with another tag or expiration.
    Released,
    /// It is no longer in force.
    Removed,
}

/// Changes that are missing in a stream. The lists of rules say what is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventGap {
    /// How many, whatever their policy and tag; null if that is not known: the daemon has been restarted.
    pub missed: Option<u64>,
}

/// The place of an event in the stream of one start of the daemon: `BOOT-SEQ`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// A number that each start of the daemon draws.
    pub boot: u64,
    /// Counts changes from 1.
    pub seq: u64,
}

/// Not an id of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an event, which is 16 hexadecimal digits, - and a number")]
pub struct EventIdError;

impl ChangeAction {
    /// `added`, `updated`, `released` or `removed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Updated => "updated",
            Self::Released => "released",
            Self::Removed => "removed",
        }
    }
}

impl RuleChange {
    /// The same as an entry of the audit log, for words.
    #[must_use]
    pub fn to_entry(&self) -> AuditEntry {
        let Self {
            actor, owner, tag, ..
        } = self;
        let is_own = actor.kind.as_str() == owner.kind.as_str() && actor.name == owner.name;
        AuditEntry {
            policy: Some(self.policy),
            cidr: Some(self.cidr),
            tag: tag.clone(),
            expiration: Some(self.expiration),
            owner: (!is_own).then(|| owner.clone()),
            reason: self.reason.clone(),
            ..AuditEntry::new(self.at, actor.clone(), self.action.as_str())
        }
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{}", self.boot, self.seq)
    }
}

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(text: &str) -> Result<Self, EventIdError> {
        let (boot, seq) = text.split_once('-').ok_or(EventIdError)?;
        let is_number = !seq.is_empty() && seq.bytes().all(|b| b.is_ascii_digit());
        if boot.len() != 16 || !boot.bytes().all(|b| b.is_ascii_hexdigit()) || !is_number {
            return Err(EventIdError);
        }
        Ok(Self {
            boot: u64::from_str_radix(boot, 16).map_err(|_| EventIdError)?,
            // A larger number is the id of no event of any start.
            seq: seq.parse().unwrap_or(u64::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use crate::AuditActorKind;

    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = EventId { boot: 0xab, seq: 7 };
        assert_eq!(id.to_string(), "00000000000000ab-7");
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in [
            "",
            "-",
            "7",
            "00000000000000ab-",
            "00000000000000ab--1",
            "00000000000000ab-+1",
            "ab-7",
            "+0000000000000ab-7",
        ] {
            assert_eq!(bad.parse::<EventId>(), Err(EventIdError), "{bad}");
        }
        let far: EventId = "00000000000000ab-99999999999999999999".parse().unwrap();
        assert_eq!(far.seq, u64::MAX);
    }

    #[test]
    fn a_change_in_words_is_that_of_the_audit_log() {
        let text = r#"{"at":100,"action":"added","policy":"drop","cidr":"192.0.2.7/32","tag":"ssh","expiration":3701,"creation":100,"reason":"5 failures","owner":{"kind":"client","name":"web"},"actor":{"kind":"client","name":"web"}}"#;
        let mut change: RuleChange = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&change).unwrap(), text);
        assert_eq!(
            change.to_entry().describe(),
            "client web added drop 192.0.2.7/32 (tag ssh) for 1h: 5 failures"
        );
        change.action = ChangeAction::Removed;
        (change.actor.kind, change.actor.name) = (AuditActorKind::Expiry, None);
        assert_eq!(
            change.to_entry().describe(),
            "expiry removed drop 192.0.2.7/32 (tag ssh) of client web: 5 failures"
        );
    }
}
