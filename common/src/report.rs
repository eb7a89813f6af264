//! What is reported of a rule change: the wire form that webhooks, other notifiers and couic-report exchange.
//!
//! A report says what changed in the firewall, not what somebody asked for: a renewed rule is an `add` with its new
//! figures, an expired one a `remove`. Senders of Couic 1.0 leave `policy`, `metadata` and `timestamp` out; what they
//! meant is filled in. Unknown fields are ignored, so that either side may be the newer one.

use serde::{Deserialize, Serialize};

use crate::{Entry, Metadata, Policy};

/// What happened to the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReportAction {
    /// It is in force from now on, or goes on with a new tag or expiration.
    Add,
    /// It is no longer in force.
    Remove,
}

/// One rule change. Requests carry a JSON array of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// What happened.
    pub action: ReportAction,
    /// What the rule wants.
    #[serde(default = "dropped")]
    pub policy: Policy,
    /// The rule as it is now, or as it was before it went.
    pub entry: Entry,
    /// Why: the requester's words untouched, or the daemon's where nobody gave any.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// When it took effect, Unix seconds; 0 where the sender did not say.
    #[serde(default)]
    pub timestamp: u64,
}

/// Senders that name no policy report bans alone.
fn dropped() -> Policy {
    Policy::Drop
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_of_the_contract() {
        let text = concat!(
            r#"{"action":"add","policy":"ignore","#,
            r#""entry":{"creation":1,"cidr":"192.0.2.0/24","tag":"ssh","expiration":9},"#,
            r#""metadata":{"kind":"fail2ban","detail":"sshd","extra":{"tries":5}},"timestamp":3}"#
        );
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(
            (report.action, report.policy),
            (ReportAction::Add, Policy::Ignore)
        );
        assert_eq!(serde_json::to_string(&report).unwrap(), text);
    }

    #[test]
    fn an_old_senders_report_is_a_ban_without_reasons() {
        let text = r#"{"action":"remove","entry":{"creation":1,"cidr":"::1/128","tag":null,"expiration":0},"new":[1]}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(report.policy, Policy::Drop);
        assert_eq!((report.metadata.as_ref(), report.timestamp), (None, 0));
        let answer = serde_json::to_value(&report).unwrap();
        assert!(answer["metadata"].is_null(), "{answer}");
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for bad in [
            r#"{"action":"update","entry":{"creation":1,"cidr":"::1/128","tag":null,"expiration":0}}"#,
            r#"{"action":"add","entry":{"creation":1,"cidr":"::1","tag":null,"expiration":0}}"#,
            r#"{"action":"add","policy":"Drop","entry":{"creation":1,"cidr":"::1/128","tag":null,"expiration":0}}"#,
            r#"{"action":"add"}"#,
            r#"{"entry":{"creation":1,"cidr":"::1/128","tag":null,"expiration":0}}"#,
        ] {
            assert!(serde_json::from_str::<Report>(bad).is_err(), "{bad}");
        }
    }
}
