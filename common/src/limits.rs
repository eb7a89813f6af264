//! What the token of a client may change: the limits of a scoped token.

use serde::{Deserialize, Serialize};

use crate::Policy;

/// The most patterns of tags, and of sets, of a client.
const MAX_TAGS: usize = 16;

/// The longest tag pattern, as a tag.
const MAX_TAG: usize = 64;

/// A hundred years, in seconds.
const MAX_TIME: u64 = 3_153_600_000;

/// The highest rate.
const MAX_RATE: u32 = 10_000_000;

/// What a client may change. A limit that is absent does not hold.
///
/// Unknown fields are refused: a limit that is misspelt must not be none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ClientLimits {
    /// The policies whose rules it may add and delete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<Policy>>,
    /// The tags of rules that it may add and delete, at most 16 patterns; `*` stands for any characters, `untagged` for
    /// rules without a tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// The sets of its policies that it may write, apply and delete, at most 16 patterns; `*` stands for any characters.
    /// Without, a client with limits may change no set. Their rules never expire, and are as many as the list says: neither
    /// `longest` nor `adds_per_minute` holds for them, and `widest_ipv4` and `widest_ipv6` do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sets: Option<Vec<String>>,
    /// The shortest IPv4 prefix that it may add: 24 allows /24 to /32.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widest_ipv4: Option<u8>,
    /// The shortest IPv6 prefix that it may add.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub widest_ipv6: Option<u8>,
    /// The longest time from now to an expiration, in seconds. Rules that never expire are refused then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<u64>,
    /// Rules that it may add or renew a minute, as many of them at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adds_per_minute: Option<u32>,
    /// Seconds that a token is accepted for, from its creation or rotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_lifetime: Option<u64>,
}

impl ClientLimits {
    /// Whether rules are limited, not just the token's lifetime.
    #[must_use]
    pub fn limit_rules(&self) -> bool {
        let token_lifetime = self.token_lifetime;
        let unlimited = Self {
            token_lifetime,
            ..Self::default()
        };
        *self != unlimited
    }

    /// Every value that cannot be meant, as field and message.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let Self {
            policies,
            tags,
            sets,
            widest_ipv4,
            widest_ipv6,
            longest,
            adds_per_minute,
            token_lifetime,
        } = self;
        let mut found = Vec::new();
        let mut mistake = |field, is_one, message: String| {
            if is_one {
                found.push((field, message));
            }
        };
        let none = policies.as_ref().is_some_and(Vec::is_empty);
        let message = "names no policy: for a client that changes nothing, use group clientro";
        mistake("policies", none, message.to_owned());
        for (field, patterns) in [("tags", tags), ("sets", sets)] {
            let bad = patterns.as_ref().is_some_and(|all| !are_patterns(all));
            let message = format!(
                "must be 1 to {MAX_TAGS} patterns of 1 to {MAX_TAG} of A-Z a-z 0-9 _ - and *"
            );
            mistake(field, bad, message);
        }
        for (field, prefix, most) in [
            ("widest_ipv4", widest_ipv4, 32),
            ("widest_ipv6", widest_ipv6, 128),
        ] {
            let bad = prefix.is_some_and(|prefix| prefix > most);
            mistake(field, bad, format!("must be 0 to {most}"));
        }
        for (field, time) in [("longest", longest), ("token_lifetime", token_lifetime)] {
            let bad = time.is_some_and(|time| !(1..=MAX_TIME).contains(&time));
            mistake(field, bad, format!("must be 1 to {MAX_TIME} seconds"));
        }
        let bad = adds_per_minute.is_some_and(|rate| !(1..=MAX_RATE).contains(&rate));
        mistake("adds_per_minute", bad, format!("must be 1 to {MAX_RATE}"));
        found
    }
}

fn are_patterns(tags: &[String]) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || b"_-*".contains(&c);
    let is_one = |tag: &String| (1..=MAX_TAG).contains(&tag.len()) && tag.bytes().all(fits);
    (1..=MAX_TAGS).contains(&tags.len()) && tags.iter().all(is_one)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> ClientLimits {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_misspelt_limit_is_no_silent_freedom() {
        for bad in [
            r#"{"tag": ["x"]}"#,
            r#"{"longest": "7d"}"#,
            r#"{"policies": ["Drop"]}"#,
        ] {
            assert!(serde_json::from_str::<ClientLimits>(bad).is_err(), "{bad}");
        }
        assert_eq!(read("{}"), ClientLimits::default());
    }

    #[test]
    fn a_lifetime_alone_does_not_limit_rules() {
        assert!(!read("{}").limit_rules());
        assert!(!read(r#"{"token_lifetime": 60}"#).limit_rules());
        for json in [
            r#"{"policies": ["drop"]}"#,
            r#"{"tags": ["a"]}"#,
            r#"{"sets": ["a"]}"#,
            r#"{"widest_ipv4": 0}"#,
            r#"{"widest_ipv6": 0}"#,
            r#"{"longest": 1}"#,
            r#"{"adds_per_minute": 1, "token_lifetime": 60}"#,
        ] {
            assert!(read(json).limit_rules(), "{json}");
        }
    }

    #[test]
    fn every_mistake_names_its_field_at_once() {
        let good = r#"{"policies": ["drop"], "tags": ["mon-*", "untagged"], "sets": ["feed-*"], "widest_ipv4": 24, "widest_ipv6": 48,
            "longest": 604800, "adds_per_minute": 6000, "token_lifetime": 7776000}"#;
        assert_eq!(read(good).mistakes(), []);
        let bad = r#"{"policies": [], "tags": [], "sets": [], "widest_ipv4": 33, "widest_ipv6": 129, "longest": 0,
            "adds_per_minute": 0, "token_lifetime": 3153600001}"#;
        let fields: Vec<_> = read(bad).mistakes().into_iter().map(|m| m.0).collect();
        assert_eq!(
            fields,
            [
                "policies",
                "tags",
                "sets",
                "widest_ipv4",
                "widest_ipv6",
                "longest",
                "token_lifetime",
                "adds_per_minute"
            ]
        );
        for tags in [
            vec![""],
            vec!["a,b"],
            vec!["a?"],
            vec!["a b"],
            vec!["x.couic"],
            vec!["a"; 17],
            vec![&"x".repeat(65)],
        ] {
            let tags = Some(tags.into_iter().map(str::to_owned).collect());
            let limits = ClientLimits {
                tags,
                ..ClientLimits::default()
            };
            assert_eq!(limits.mistakes().len(), 1, "{limits:?}");
        }
    }
}
