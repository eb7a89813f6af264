//! The differences between a state file and the daemon, in the order in which they are shown.

use std::{collections::BTreeMap, io};

use couic_common::{
    Cidr, ClientLimits, ClientName, Group, Policy, SetName, Tag, counted, grouped, time_left,
};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use serde_json::{Value, json};

use super::wanted::{Claim, WantedClient};
use crate::{failure::printable, render};

/// What is done with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Add,
    Change,
    Delete,
}

impl Action {
    const fn sign(self) -> char {
        match self {
            Self::Add => '+',
            Self::Change => '~',
            Self::Delete => '-',
        }
    }

    fn of<T>(old: Option<&T>, new: Option<&T>) -> Self {
        match (old, new) {
            (None, _) => Self::Add,
            (Some(_), Some(_)) => Self::Change,
            (Some(_), None) => Self::Delete,
        }
    }
}

/// A claim that differs: one of the two is missing if it is added or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RuleChange {
    pub(super) policy: Policy,
    pub(super) cidr: Cidr,
    pub(super) tag: Option<Tag>,
    pub(super) old: Option<Claim>,
    pub(super) new: Option<Claim>,
}

/// A set that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SetChange {
    pub(super) policy: Policy,
    pub(super) name: SetName,
    pub(super) kind: SetKind,
}

/// How it differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SetKind {
    Add {
        entries: Vec<Cidr>,
    },
    /// `total` is what the file of the set has now; None if it cannot be read.
    Change {
        entries: Vec<Cidr>,
        added: usize,
        removed: usize,
        total: Option<usize>,
    },
    /// The file is as declared, the rules are not: so many are missing, so many too many.
    Reload {
        missing: usize,
        extra: usize,
    },
    Delete {
        total: u64,
    },
}

/// A client that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClientChange {
    pub(super) name: ClientName,
    pub(super) old: Option<(Group, Option<ClientLimits>)>,
    pub(super) new: Option<WantedClient>,
}

/// All differences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) rules: Vec<RuleChange>,
    pub(super) sets: Vec<SetChange>,
    pub(super) clients: Vec<ClientChange>,
    /// Declared rules that have expired, and are left out.
    pub(super) expired: u64,
}

impl RuleChange {
    pub(super) fn action(&self) -> Action {
        Action::of(self.old.as_ref(), self.new.as_ref())
    }

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
    let since = std::time::Duration::from_secs(seconds);
    match std::time::UNIX_EPOCH.checked_add(since) {
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
    pub(super) fn action(&self) -> Action {
        match self.kind {
            SetKind::Add { .. } => Action::Add,
            SetKind::Change { .. } | SetKind::Reload { .. } => Action::Change,
            SetKind::Delete { .. } => Action::Delete,
        }
    }

    /// Whether sources become protected or dropped by it, rather than the contrary alone.
    pub(super) fn gains(&self) -> bool {
        match self.kind {
            SetKind::Add { .. } => true,
            SetKind::Change { added, .. } => added > 0,
            SetKind::Reload { missing, .. } => missing > 0,
            SetKind::Delete { .. } => false,
        }
    }

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
            SetKind::Reload { missing, extra } => {
                format!(
                    "its file is as declared, but {} not in force and {} too many are: a reload",
                    entries(*missing),
                    entries(*extra)
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
            SetKind::Reload { missing, extra } => (*missing, *extra),
            SetKind::Delete { total } => (0, usize::try_from(*total).unwrap_or(usize::MAX)),
        };
        let reload = matches!(self.kind, SetKind::Reload { .. });
        json!({
            "action": self.action(), "kind": "set", "policy": self.policy, "name": self.name,
            "added": added, "removed": removed, "only_reload": reload,
        })
    }
}

impl ClientChange {
    pub(super) fn action(&self) -> Action {
        Action::of(
            self.old.as_ref().map(|_| &()),
            self.new.as_ref().map(|_| &()),
        )
    }

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
    pub(super) fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.sets.is_empty() && self.clients.is_empty()
    }

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

    /// How many rules (0), sets (1) and clients (2) are added, changed and deleted.
    fn by_action(&self) -> BTreeMap<(usize, Action), u64> {
        let mut counts: BTreeMap<(usize, Action), u64> = BTreeMap::new();
        let rules = self.rules.iter().map(|c| (0, c.action()));
        let sets = self.sets.iter().map(|c| (1, c.action()));
        let clients = self.clients.iter().map(|c| (2, c.action()));
        for key in rules.chain(sets).chain(clients) {
            *counts.entry(key).or_default() += 1;
        }
        counts
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
