//! Who holds a rule, and until when.

use serde::{Deserialize, Serialize};

use crate::{Reason, Tag};

/// Header of the answer to the deletion of a rule that others still hold: they, as a JSON array of [`RuleOwner`].
pub const HELD_BY_HEADER: &str = "couic-held-by";

/// How an admin ends the claims of all clients and peers, as it ends messages. Clients put their own in its place, such
/// as an option.
pub const ALL_OWNERS_HINT: &str = "send ?all_owners=true";

/// The kind of an owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum OwnerKind {
    /// A set file.
    Set,
    /// A client of the API.
    Client,
    /// A peer.
    Peer,
}

impl OwnerKind {
    /// `set`, `client` or `peer`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::Client => "client",
            Self::Peer => "peer",
        }
    }
}

/// A claim on a rule. The rule is in force while one of its claims lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RuleOwner {
    /// The kind of owner.
    pub kind: OwnerKind,
    /// The name of the set, client or peer. Null for a client's claim of which the client is not known: it was made
    /// by a version that did not tell clients apart.
    pub name: Option<String>,
    /// The claim's label. A client has one claim for each tag.
    pub tag: Option<Tag>,
    /// Time at which the claim ends, Unix seconds; 0 = never.
    pub expiration: u64,
    /// Why the claim was made: see `Entry`. Absent if no reason was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

impl RuleOwner {
    /// The owner's kind and name: `client fail2ban`.
    #[must_use]
    pub fn who(&self) -> String {
        match &self.name {
            Some(name) => format!("{} {name}", self.kind.as_str()),
            None => "an unknown client".to_owned(),
        }
    }

    /// The owner, its tag, and the time that is left at `now`: `client fail2ban (tag sshd) for 1h 5m`.
    #[must_use]
    pub fn describe(&self, now: u64) -> String {
        let tag = match &self.tag {
            // A set's tag repeats its name.
            Some(tag) if self.kind != OwnerKind::Set => format!(" (tag {tag})"),
            _ => String::new(),
        };
        let lasts = match self.expiration {
            0 => "without end".to_owned(),
            end => format!("for {}", time_left(end.saturating_sub(now))),
        };
        format!("{}{tag} {lasts}", self.who())
    }

    /// The first of these owners, as [`Self::describe`] does, and how many more there are.
    #[must_use]
    pub fn list(owners: &[Self], now: u64) -> String {
        /// How many are named.
        const NAMED: usize = 5;
        let named: Vec<String> = owners.iter().take(NAMED).map(|o| o.describe(now)).collect();
        let more = owners.len().saturating_sub(NAMED);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        format!("{}{more}", named.join(", "))
    }
}

/// A time in its two largest units: `1h 5m`.
#[must_use]
pub fn time_left(seconds: u64) -> String {
    const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
    let Some(first) = UNITS.iter().position(|(_, unit)| seconds >= *unit) else {
        return "0s".to_owned();
    };
    let (name, unit) = UNITS[first];
    let mut text = format!("{}{name}", seconds / unit);
    if let Some((name, next)) = UNITS.get(first + 1) {
        let count = seconds % unit / next;
        if count > 0 {
            text += &format!(" {count}{name}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(kind: OwnerKind, name: Option<&str>, tag: &str, expiration: u64) -> RuleOwner {
        RuleOwner {
            kind,
            name: name.map(str::to_owned),
            tag: Tag::parse(tag).unwrap(),
            expiration,
            reason: None,
        }
    }

    #[test]
    fn owners_are_described_by_name_tag_and_time_left() {
        let mut all = vec![
            owner(OwnerKind::Client, Some("fail2ban"), "sshd", 4_900),
            owner(OwnerKind::Peer, Some("fw2"), "", 0),
            owner(OwnerKind::Client, None, "", 1_001),
        ];
        all[1].tag = None;
        let text = RuleOwner::list(&all, 1_000);
        assert_eq!(
            text,
            "client fail2ban (tag sshd) for 1h 5m, peer fw2 without end, an unknown client for 1s"
        );
        let many = vec![owner(OwnerKind::Client, Some("c"), "", 0); 7];
        assert!(RuleOwner::list(&many, 0).ends_with("c without end and 2 more"));
    }

    #[test]
    fn the_wire_form() {
        let text = r#"{"kind":"client","name":"fail2ban","tag":"sshd","expiration":7}"#;
        let read: RuleOwner = serde_json::from_str(text).unwrap();
        assert_eq!(read, owner(OwnerKind::Client, Some("fail2ban"), "sshd", 7));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }
}
