//! Limits of a peer: policies, prefix lengths, tags and rate of the rules that it may add here.

use couic_common::{Cidr, Policy, RuleKey, TagPattern};

use crate::{Record, RecordState};

/// The limits of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether it may add to `ignore`, which takes precedence over every drop.
    pub ignore: bool,
    /// The shortest accepted IPv4 prefix length.
    pub min_prefix_v4: u8,
    /// The shortest accepted IPv6 prefix length.
    pub min_prefix_v6: u8,
    /// Its IPv4 drops together may cover as many addresses as one network of this length; 0 = all.
    pub total_prefix_v4: u8,
    /// The same for IPv6.
    pub total_prefix_v6: u8,
    /// Whether its revocations end rules of others, too.
    pub ends_others: bool,
    /// Sustained rate of rules that it may add or renew, per second.
    pub adds_per_second: u32,
    /// Accepted tags; None = all.
    pub tags: Option<TagPattern>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ignore: false,
            min_prefix_v4: 8,
            min_prefix_v6: 19,
            total_prefix_v4: 4,
            total_prefix_v6: 13,
            ends_others: false,
            adds_per_second: 100_000,
            tags: None,
        }
    }
}

/// The reason why a rule of a peer is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Policy ignore is not accepted.
    #[error(
        "rules of policy ignore are not accepted from it: set ignore = true for this peer, on both sides"
    )]
    Policy,
    /// The prefix is too wide.
    #[error("{cidr} is wider than the /{widest} accepted from it (min_prefix_v4, min_prefix_v6)")]
    Prefix {
        /// The CIDR received.
        cidr: Cidr,
        /// The shortest prefix length accepted.
        widest: u8,
    },
    /// Its drops cover too many addresses.
    #[error(
        "{cidr}: the rules from it would cover more addresses than are accepted (total_prefix_v4, total_prefix_v6)"
    )]
    Addresses {
        /// The CIDR received.
        cidr: Cidr,
    },
    /// Its share of the registers is full.
    #[error("its share of the rules and tombstones that are kept for peers is full")]
    Full,
    /// A guard rail of this node refuses it.
    #[error("{0}")]
    Guard(String),
    /// The write lies in the future.
    #[error("{cidr}: it was written by a clock that is more than an hour ahead")]
    Ahead {
        /// The CIDR received.
        cidr: Cidr,
    },
    /// The tag is not accepted.
    #[error("the tag of {cidr} is not accepted from it (tags)")]
    Tag {
        /// The CIDR received.
        cidr: Cidr,
    },
}

impl Limits {
    /// Checks a rule that is to be added.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn validate(&self, key: RuleKey, tag: Option<&str>) -> Result<(), Refusal> {
        if key.policy == Policy::Ignore && !self.ignore {
            return Err(Refusal::Policy);
        }
        let widest = if key.cidr.is_ipv4() {
            self.min_prefix_v4
        } else {
            self.min_prefix_v6
        };
        if key.cidr.prefix() < widest {
            return Err(Refusal::Prefix {
                cidr: key.cidr,
                widest,
            });
        }
        match &self.tags {
            Some(tags) if !tags.matches(tag) => Err(Refusal::Tag { cidr: key.cidr }),
            _ => Ok(()),
        }
    }

    /// How many addresses its drops may cover.
    #[must_use]
    pub fn addresses(&self, ipv4: bool) -> u128 {
        let (bits, prefix) = if ipv4 {
            (32, self.total_prefix_v4)
        } else {
            (128, self.total_prefix_v6)
        };
        match prefix {
            0 => u128::MAX,
            prefix => 1 << (bits - u32::from(prefix)),
        }
    }

    /// Checks a register. A deletion removes only rules that could be added; the tag of the rule is not known.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn validate_record(&self, key: RuleKey, record: &Record) -> Result<(), Refusal> {
        match &record.state {
            RecordState::Live { tag, .. } => {
                self.validate(key, tag.as_ref().map(couic_common::Tag::as_str))
            }
            RecordState::Deleted => {
                let any = Self {
                    tags: None,
                    ..self.clone()
                };
                any.validate(key, None)
            }
        }
    }
}

/// A token bucket with a capacity of two seconds' worth of tokens.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    per_second: u64,
    /// Thousandths of a token.
    level: u64,
    at: u64,
}

impl Tokens {
    /// A full bucket.
    #[must_use]
    pub fn new(per_second: u32, mono: u64) -> Self {
        let per_second = u64::from(per_second.max(1));
        Self {
            per_second,
            level: per_second * 2_000,
            at: mono,
        }
    }

    /// Acquires up to `wanted` tokens. Returns how many, and the time to wait (ms) for more.
    pub fn acquire(&mut self, wanted: usize, mono: u64) -> (usize, u64) {
        let passed = mono.saturating_sub(self.at);
        self.at = mono;
        let full = self.per_second * 2_000;
        self.level = self
            .level
            .saturating_add(passed.saturating_mul(self.per_second))
            .min(full);
        let available = usize::try_from(self.level / 1_000).unwrap_or(usize::MAX);
        let taken = wanted.min(available);
        self.level -= taken as u64 * 1_000;
        if taken == wanted {
            return (taken, 0);
        }
        let missing = ((wanted - taken) as u64).min(self.per_second) * 1_000;
        (taken, missing.div_ceil(self.per_second).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blast_radius() {
        let limits = Limits {
            tags: Some("ssh*".parse().unwrap()),
            ..Limits::default()
        };
        let validate = |policy, cidr: &str, tag| {
            limits.validate(RuleKey::new(policy, cidr.parse().unwrap()), tag)
        };
        assert_eq!(validate(Policy::Drop, "10.0.0.0/8", Some("sshd")), Ok(()));
        let wide = validate(Policy::Drop, "0.0.0.0/0", Some("sshd")).unwrap_err();
        assert!(wide.to_string().contains("0.0.0.0/0"), "{wide}");
        assert!(validate(Policy::Drop, "2000::/3", Some("sshd")).is_err());
        assert!(validate(Policy::Drop, "10.0.0.0/8", Some("web")).is_err());
        assert!(validate(Policy::Drop, "10.0.0.0/8", None).is_err());
        assert_eq!(
            validate(Policy::Ignore, "10.0.0.0/8", Some("sshd")),
            Err(Refusal::Policy)
        );
    }

    #[test]
    fn the_share_of_the_address_space() {
        let limits = Limits::default();
        assert_eq!(limits.addresses(true), 1 << 28);
        assert_eq!(limits.addresses(false), 1 << 115);
        let all = Limits {
            total_prefix_v4: 0,
            total_prefix_v6: 128,
            ..Limits::default()
        };
        assert_eq!((all.addresses(true), all.addresses(false)), (u128::MAX, 1));
    }

    #[test]
    fn tokens_come_back_with_time() {
        let mut tokens = Tokens::new(100, 0);
        assert_eq!(tokens.acquire(150, 0), (150, 0));
        assert_eq!(tokens.acquire(100, 0), (50, 500));
        assert_eq!(tokens.acquire(50, 500), (50, 0));
        assert_eq!(tokens.acquire(1_000, 500), (0, 1_000));
        assert_eq!(tokens.acquire(1_000, 1_000_000), (200, 1_000));
    }
}
