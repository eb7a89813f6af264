//! What is told to the outside about one change of the rules.

use serde::{Deserialize, Serialize};

use crate::{Entry, Metadata, PeerAction, Policy};

/// One rule that was added or removed, as it goes to webhooks, plugins and `couic-report`.
///
/// Couic 1.0 sent neither a policy nor, at times, a timestamp: both may be missing in what is read. Unknown fields
/// are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Added or removed.
    pub action: PeerAction,
    /// The policy that the rule belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// The rule.
    pub entry: Entry,
    /// Why, in the words of who did it.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// When, in Unix seconds; 0 where the sender did not say.
    #[serde(default)]
    pub timestamp: u64,
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
    fn what_couic_1_sent_is_read() {
        let text = r#"{"action":"remove","entry":{"creation":1,"cidr":"192.0.2.0/24","tag":null,"expiration":0},"more":1}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(
            (report.policy, report.metadata, report.timestamp),
            (None, None, 0)
        );
        assert_eq!(report.action, PeerAction::Remove);
    }
}
