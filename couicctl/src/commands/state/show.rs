//! A plan as text and as JSON.

use std::{
    io,
    time::{Duration, UNIX_EPOCH},
};

use couic_common::{ClientLimits, Group, Tag, counted, grouped, time_left};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Value, json};

use super::{
    plan::{Action, ClientChange, Plan, RuleChange, SetChange, SetKind},
    wanted::Claim,
};
use crate::{failure::printable, render};

impl RuleChange {
    fn line(&self) -> String {
        let tag = self.tag.as_ref().map_or("untagged", Tag::as_str);
        let what = match (&self.old, &self.new) {
            (Some(old), Some(new)) => format!(": {}", changed(old, new)),
            (Some(claim), None) | (None, Some(claim)) => {
                let reason = claim.reason.as_ref();
                let reason = reason.map_or(String::new(), |reason| format!(", {reason:?}"));
                format!(", {}{reason}", until(claim.expiration))
            }
            (None, None) => String::new(),
        };
        let (policy, cidr) = (self.policy, self.cidr);
        format!("{policy} {cidr} ({tag}){what}")
    }

    fn json(&self) -> Value {
        let claim = |claim: &Claim| json!({"expiration": claim.expiration, "reason": claim.reason});
        json!({
            "action": self.action(), "kind": "rule", "policy": self.policy, "cidr": self.cidr, "tag": self.tag,
            "old": self.old.as_ref().map(claim), "new": self.new.as_ref().map(claim),
        })
    }
}

fn until(expiration: u64) -> String {
    match expiration {
        0 => "never expires".to_owned(),
        end => format!("until {}", utc(end)),
    }
}

/// A time as state files have it.
pub(super) fn utc(seconds: u64) -> String {
    let since = Duration::from_secs(seconds);
    match UNIX_EPOCH.checked_add(since) {
        Some(time) => humantime::format_rfc3339_seconds(time).to_string(),
        None => seconds.to_string(),
    }
}

fn changed(old: &Claim, new: &Claim) -> String {
    let mut parts = Vec::new();
    if old.expiration != new.expiration {
        let [before, after] = [old, new].map(|claim| until(claim.expiration));
        parts.push(format!("{before} -> {after}"));
    }
    if old.reason != new.reason {
        let [before, after] = [old, new].map(|claim| match &claim.reason {
            Some(reason) => format!("{reason:?}"),
            None => "no reason".to_owned(),
        });
        parts.push(format!("{before} -> {after}"));
    }
    parts.join(", ")
}

impl SetChange {
    fn line(&self) -> String {
        let entries = |count: usize| {
            let noun = if count == 1 { "entry" } else { "entries" };
            format!("{} {noun}", grouped(count as u64))
        };
        let what = match &self.kind {
            SetKind::Add { entries: all } => entries(all.len()),
            SetKind::Change {
                added,
                removed,
                total: Some(total),
                ..
            } => {
                format!(
                    "{} more, {} less than the {} of now",
                    grouped(*added as u64),
                    grouped(*removed as u64),
                    grouped(*total as u64)
                )
            }
            SetKind::Change {
                entries: all,
                total: None,
                ..
            } => {
                format!(
                    "its file cannot be read now, and gets {}",
                    entries(all.len())
                )
            }
            SetKind::Rules { missing, extra, .. } => {
                format!(
                    "its file is as declared, its rules are not: {} missing, {} too many",
                    entries(*missing),
                    grouped(*extra as u64)
                )
            }
            SetKind::Delete { total } => entries(usize::try_from(*total).unwrap_or(usize::MAX)),
        };
        format!("set {}/{}: {what}", self.policy, self.name)
    }

    fn json(&self) -> Value {
        let (added, removed) = match &self.kind {
            SetKind::Add { entries } => (entries.len(), 0),
            SetKind::Change { added, removed, .. } => (*added, *removed),
            SetKind::Rules { missing, extra, .. } => (*missing, *extra),
            SetKind::Delete { total } => (0, usize::try_from(*total).unwrap_or(usize::MAX)),
        };
        let rules_only = matches!(self.kind, SetKind::Rules { .. });
        json!({
            "action": self.action(), "kind": "set", "policy": self.policy, "name": self.name,
            "added": added, "removed": removed, "rules_only": rules_only,
        })
    }
}

impl ClientChange {
    fn line(&self) -> String {
        let old = self
            .old
            .as_ref()
            .map(|(group, limits)| says(*group, limits));
        let new = self
            .new
            .as_ref()
            .map(|client| says(client.group, &client.limits));
        let what = match (old, new) {
            (Some(old), Some(new)) => format!(
                "{old} -> {new}: deleted and created again with a new token, its rules stay"
            ),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => String::new(),
        };
        let file = self
            .new
            .as_ref()
            .and_then(|client| client.token_file.as_ref());
        let file = file.map_or(String::new(), |path| {
            format!(", token to {}", path.display())
        });
        format!("client {}: {what}{file}", self.name)
    }

    fn json(&self) -> Value {
        let old = self
            .old
            .as_ref()
            .map(|(group, limits)| json!({"group": group, "limits": limits}));
        let new = self.new.as_ref().map(|client| {
            json!({"group": client.group, "limits": client.limits, "token_file": client.token_file})
        });
        json!({"action": self.action(), "kind": "client", "name": self.name, "old": old, "new": new})
    }
}

/// A client's rights: `clientrw (drop; tags mon-*; token for 90d)`.
fn says(group: Group, limits: &Option<ClientLimits>) -> String {
    let Some(limits) = limits else {
        return group.to_string();
    };
    let mut parts = vec![render::limits(limits)];
    parts.extend(
        limits
            .token_lifetime
            .map(|time| format!("token for {}", time_left(time))),
    );
    parts.retain(|part| !part.is_empty());
    format!("{group} ({})", parts.join("; "))
}

impl Plan {
    /// The differences, a line each, `most` of them at most.
    pub(super) fn write(&self, most: usize, out: &mut dyn io::Write) -> io::Result<()> {
        let rules = self.rules.iter().map(|c| (c.action(), c.line()));
        let sets = self.sets.iter().map(|c| (c.action(), c.line()));
        let clients = self.clients.iter().map(|c| (c.action(), c.line()));
        let all = rules.len() + sets.len() + clients.len();
        for (action, line) in clients.chain(sets).chain(rules).take(most) {
            writeln!(out, "{} {}", action.sign(), printable(&line))?;
        }
        if all > most {
            let more = grouped((all - most) as u64);
            writeln!(out, "… and {more} more: couicctl diff shows all")?;
        }
        Ok(())
    }

    /// The counts: `2 rules to add, 1 set to delete`.
    pub(super) fn counts(&self) -> String {
        let nouns = [("rule", "rules"), ("set", "sets"), ("client", "clients")];
        let counts = self.by_action();
        let parts = counts.iter().map(|((kind, action), count)| {
            let (one, many) = nouns[*kind];
            let verb = match action {
                Action::Add => "add",
                Action::Change => "change",
                Action::Delete => "delete",
            };
            format!("{} to {verb}", counted(*count, one, many))
        });
        let parts: Vec<String> = parts.collect();
        parts.join(", ")
    }
}

/// One document, with the changes one by one: there may be a million of them.
impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let counts = self.by_action();
        let count = |wanted| -> u64 {
            let of = counts.iter().filter(|((_, action), _)| *action == wanted);
            of.map(|(_, count)| count).sum()
        };
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("same", &self.is_empty())?;
        map.serialize_entry("add", &count(Action::Add))?;
        map.serialize_entry("change", &count(Action::Change))?;
        map.serialize_entry("delete", &count(Action::Delete))?;
        map.serialize_entry("expired", &self.expired)?;
        map.serialize_entry("changes", &Changes(self))?;
        map.end()
    }
}

struct Changes<'p>(&'p Plan);

impl Serialize for Changes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rules = self.0.rules.iter().map(RuleChange::json);
        let sets = self.0.sets.iter().map(SetChange::json);
        let clients = self.0.clients.iter().map(ClientChange::json);
        serializer.collect_seq(clients.chain(sets).chain(rules))
    }
}
