//! The newest changes, from the daemon's log of changes.

use couic_client::{Client, ClientError, LogQuery};
use couic_common::{AuditEntry, Cidr, Policy};

use super::{look::Tone, model::Rule, rows::brief};

/// How many changes are shown at most.
const NEWEST: usize = 200;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Unix seconds, by the daemon's clock.
    pub(super) at: u64,
    /// The rule.
    pub(super) rule: Option<(Policy, Cidr)>,
    /// What was done, to what, and why.
    pub(super) what: String,
    /// Who did it.
    pub(super) who: String,
    pub(super) tone: Tone,
}

/// The newest entries of the daemon's audit log.
pub(super) async fn read(client: &Client) -> Result<Vec<Change>, ClientError> {
    let query = LogQuery {
        limit: Some(NEWEST as u64),
        ..LogQuery::default()
    };
    let page = client.log(&query).await?;
    Ok(page.entries.iter().take(NEWEST).map(of_entry).collect())
}

fn of_entry(entry: &AuditEntry) -> Change {
    let rule = entry.policy.zip(entry.cidr);
    let action = entry.action.replace('_', " ");
    let mut what = match (rule, &entry.message) {
        (Some((policy, cidr)), _) => format!("{action} {policy} {}", brief(cidr)),
        (None, Some(message)) => message.clone(),
        (None, None) => action,
    };
    if let Some(tag) = &entry.tag {
        what += &format!("  {tag}");
    }
    if let Some(count) = entry.count.filter(|count| *count > 1) {
        what += &format!(" and {} more", count - 1);
    }
    if let Some(reason) = &entry.reason {
        what += &format!(": {reason}");
    }
    let tone = match entry.action.as_str() {
        "panic_on" => Tone::Bad,
        "refused" => Tone::Warn,
        "removed" | "released" => Tone::Dim,
        _ => Tone::Plain,
    };
    Change {
        at: entry.at,
        rule,
        what,
        who: entry.actor.to_string(),
        tone,
    }
}

/// What is known of changes without the log: the newest rules.
pub(super) fn of_rules(rules: &[&Rule]) -> Vec<Change> {
    let change = |rule: &&Rule| {
        let Rule { policy, entry, .. } = rule;
        let tag = entry
            .tag
            .as_ref()
            .map_or_else(String::new, |tag| format!("  {tag}"));
        Change {
            at: entry.creation,
            rule: Some((*policy, entry.cidr)),
            what: format!("added {policy} {}{tag}", brief(entry.cidr)),
            who: String::new(),
            tone: Tone::Plain,
        }
    };
    rules.iter().take(NEWEST).map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_log_says_what_who_and_why() {
        let change = |json: &str| of_entry(&serde_json::from_str(json).unwrap());
        let added = change(
            r#"{"at":7,"actor":{"kind":"client","name":"web"},"action":"added","policy":"drop",
            "cidr":"192.0.2.7/32","tag":"ssh","reason":"5 failed logins","count":3}"#,
        );
        assert_eq!(
            added.what,
            "added drop 192.0.2.7  ssh and 2 more: 5 failed logins"
        );
        assert_eq!(
            (added.who.as_str(), added.tone),
            ("client web", Tone::Plain)
        );
        assert!(added.rule.is_some());
        let panic = change(r#"{"at":7,"actor":{"kind":"daemon"},"action":"panic_on"}"#);
        assert_eq!((panic.what.as_str(), panic.tone), ("panic on", Tone::Bad));
    }
}
