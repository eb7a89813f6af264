//! Entries of a policy, and the requests that create them.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Cidr, Rail, Reason, RuleOwner, Tag};

/// A rule as the API shows it. Times are Unix seconds; expiration 0 means never.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Entry {
    /// Time at which the rule was first added.
    pub creation: u64,
    /// The network that the rule covers.
    pub cidr: Cidr,
    /// The label, if any. A set's entries carry `NAME.couic`.
    pub tag: Option<Tag>,
    /// Time at which the rule expires, that is its last claim; 0 = never.
    pub expiration: u64,
    /// Frames that the rule decided. Only with per-rule counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hits: Option<u64>,
    /// Time of the last of these frames; 0 = none yet. Only with per-rule counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_seen: Option<u64>,
    /// Why it is there: the first 200 bytes of `metadata.detail` of the request that made or last renewed the claim that
    /// is shown first. Absent if none was given.
    #[serde(
        default,
        deserialize_with = "whatever_is_sent",
        skip_serializing_if = "Option::is_none"
    )]
    pub reason: Option<Reason>,
    /// Who holds the rule, the claim that is shown first. Only if asked for, and in lookups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<RuleOwner>,
}

/// Reports come from other programs as well: what is no reason there is none.
fn whatever_is_sent<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Reason>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(value.as_str().and_then(Reason::of))
}

/// A request for an entry as received: well-formed JSON, not yet validated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "ReceivedEntry")]
pub struct EntryRequest {
    /// `ADDRESS/PREFIX`; host bits are masked.
    pub cidr: String,
    /// Unix seconds, in the future; 0 = never. Ignored with `ttl`, and required without.
    #[cfg_attr(feature = "openapi", schema(required = false))]
    pub expiration: u64,
    /// The label; empty means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Passed through to reports unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    /// Add the rule even if a guard rail rejects it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub force: bool,
    /// Apply the guard rails, whether or not the daemon enforces them by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardRequest>,
    /// Seconds from now until the entry expires, by the daemon's clock, rounded up to a full second. Takes the place of
    /// `expiration` where the clocks of client and daemon may differ. Daemons before 2.0 ignore it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// If the rule exists, renew this client's claim with that tag, or add it, instead of answering 409; of the claim's
    /// expiration and this one the later stays. Daemons before 2.0 ignore it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub longer: bool,
}

/// [`EntryRequest`] before it is known whether it says when it expires.
#[derive(Deserialize)]
struct ReceivedEntry {
    cidr: String,
    #[serde(default)]
    expiration: Option<u64>,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default)]
    force: bool,
    #[serde(default)]
    guard: Option<GuardRequest>,
    #[serde(default)]
    ttl: Option<u64>,
    #[serde(default)]
    longer: bool,
}

impl TryFrom<ReceivedEntry> for EntryRequest {
    type Error = &'static str;

    fn try_from(received: ReceivedEntry) -> Result<Self, Self::Error> {
        let expiration = received.expiration.or_else(|| received.ttl.map(|_| 0));
        Ok(Self {
            cidr: received.cidr,
            expiration: expiration.ok_or("missing field `expiration`, or `ttl`")?,
            tag: received.tag,
            metadata: received.metadata,
            force: received.force,
            guard: received.guard,
            ttl: received.ttl,
            longer: received.longer,
        })
    }
}

/// The way past the guard rails, as it ends their messages. Clients put their own in its place, such as an option.
pub const FORCE_HINT: &str = "send \"force\": true";

/// The header of an answer that names the guard rails that a forced change went over.
pub const LIFTED_HEADER: &str = "Couic-Lifted-Rails";

/// Makes the daemon reject a change that would cut off what its host needs, or the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct GuardRequest {
    /// Addresses that must stay reachable besides the host's own, such as the source of the caller's SSH session.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub protect: Vec<IpAddr>,
    /// Guard rails that do not hold for this request; `force` lifts them all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lift: Vec<Rail>,
}

/// The reason for adding or removing a rule, as given by the client. Passed through to reports unchanged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Metadata {
    /// The kind of source, such as `fail2ban`.
    pub kind: String,
    /// A description of the event.
    pub detail: String,
    /// Further data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<Object>))]
    pub extra: Option<serde_json::Map<String, serde_json::Value>>,
}

/// The action of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum PeerAction {
    /// Add or renew the entry.
    Add,
    /// Remove the entry with this CIDR.
    Remove,
}

/// A change that a peer sends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PeerJob {
    /// Add or remove.
    pub action: PeerAction,
    /// The entry to add or remove.
    pub entry: EntryRequest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_and_positional_form_are_the_same() {
        let object: EntryRequest =
            serde_json::from_str(r#"{"cidr":"1.2.3.4/32","expiration":5,"tag":"a","other":1}"#)
                .unwrap();
        let array: EntryRequest = serde_json::from_str(r#"["1.2.3.4/32",5,"a"]"#).unwrap();
        assert_eq!(object, array);
        assert_eq!(array.tag.as_deref(), Some("a"));
    }

    #[test]
    fn a_ttl_stands_for_an_expiration() {
        let read = |text| serde_json::from_str::<EntryRequest>(text);
        let both = read(r#"{"cidr":"1.2.3.4/32","expiration":5,"ttl":60}"#).unwrap();
        assert_eq!((both.expiration, both.ttl), (5, Some(60)));
        let alone = read(r#"{"cidr":"1.2.3.4/32","ttl":60}"#).unwrap();
        assert_eq!((alone.expiration, alone.ttl), (0, Some(60)));
        let none = read(r#"{"cidr":"1.2.3.4/32"}"#).unwrap_err();
        assert!(none.to_string().contains("missing field `expiration`"));
    }

    #[test]
    fn wrong_types_are_refused() {
        for bad in [
            r#"{"cidr":"1.2.3.4/32","expiration":"5"}"#,
            r#"{"cidr":"1.2.3.4/32","expiration":5.0}"#,
            r#"{"cidr":"1.2.3.4/32","expiration":-5}"#,
            r#"{"cidr":1,"expiration":5}"#,
            r#"{"cidr":"1.2.3.4/32"}"#,
            r#"{"expiration":5}"#,
            r#"{"cidr":"1.2.3.4/32","expiration":5,"metadata":{"kind":"x"}}"#,
            r#"{"cidr":"1.2.3.4/32","expiration":5,"metadata":{"kind":"x","detail":"y","extra":[]}}"#,
            r#"{"cidr":"1.2.3.4/32","expiration":5,"tag":7}"#,
            r#"{"cidr":"1.2.3.4/32","ttl":-5}"#,
            r#"{"cidr":"1.2.3.4/32","ttl":"5"}"#,
            r#"{"cidr":"1.2.3.4/32","expiration":null}"#,
        ] {
            assert!(serde_json::from_str::<EntryRequest>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn entry_keeps_the_order_of_the_contract() {
        let entry = Entry {
            creation: 1,
            cidr: "1.2.3.0/24".parse().unwrap(),
            tag: None,
            expiration: 0,
            hits: None,
            last_seen: None,
            reason: None,
            owners: Vec::new(),
        };
        let text = serde_json::to_string(&entry).unwrap();
        assert_eq!(
            text,
            r#"{"creation":1,"cidr":"1.2.3.0/24","tag":null,"expiration":0}"#
        );
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry);
        for (sent, read) in [
            ("\"sshd\"", Some("sshd")),
            ("\" \"", None),
            ("null", None),
            ("[7]", None),
        ] {
            let text = text.replace('}', &format!(",\"reason\":{sent}}}"));
            let entry: Entry = serde_json::from_str(&text).unwrap();
            assert_eq!(entry.reason.as_ref().map(Reason::as_str), read, "{text}");
        }
    }
}
