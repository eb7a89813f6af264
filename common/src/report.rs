//! Reports of rule changes.

use serde::{Deserialize, Serialize};

use crate::{Entry, Metadata, OwnerKind, PeerAction, Policy};

/// One rule that was added or removed, as sent to webhooks, plugins and `couic-report`.
///
/// Couic 1.0 sends no policy, and sometimes no timestamp, so both are optional when reading. Unknown fields are
/// ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Added or removed.
    pub action: PeerAction,
    /// The policy that the rule belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// The rule.
    pub entry: Entry,
    /// The reason, as given by the client.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// Time of the change, Unix seconds; 0 if the sender gave none.
    #[serde(default)]
    pub timestamp: u64,
    /// Whose claim on the rule changed. Couic 1.0 sends none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<ReportOwner>,
}

/// The owner of a claim that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReportOwner {
    /// The kind of owner.
    pub kind: OwnerKind,
    /// The name of the set, client or peer; null if it is not known.
    pub name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_form_is_the_contract() {
        let text = r#"{"action":"add","policy":"drop","entry":{"creation":1,"cidr":"192.0.2.0/24","tag":"ssh","expiration":0},"metadata":{"kind":"fail2ban","detail":"sshd"},"timestamp":7}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(report.policy, Some(Policy::Drop));
        assert_eq!(serde_json::to_string(&report).unwrap(), text);
    }

    #[test]
    fn reports_of_couic_1_are_accepted() {
        let text = r#"{"action":"remove","entry":{"creation":1,"cidr":"192.0.2.0/24","tag":null,"expiration":0},"more":1}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(
            (report.policy, report.metadata, report.timestamp),
            (None, None, 0)
        );
        assert_eq!(report.action, PeerAction::Remove);
    }
}
