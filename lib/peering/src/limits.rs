//! What a peer may do to us: how wide its rules may be, how many it may add a second, in which policies and under
//! which tags.

use couic_common::{Cidr, Policy, RuleKey, TagPattern};

use crate::{Record, RegisterState};

/// The limits of one peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Whether it may add to `ignore`, which beats every drop.
    pub ignore: bool,
    /// The widest IPv4 prefix: a /7 is wider than a /8.
    pub min_prefix_v4: u8,
    /// The widest IPv6 prefix.
    pub min_prefix_v6: u8,
    /// How many rules it may add or renew a second, over a longer time.
    pub adds_per_second: u32,
    /// Tags that are accepted; None = all.
    pub tags: Option<TagPattern>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ignore: false,
            min_prefix_v4: 8,
            min_prefix_v6: 19,
            adds_per_second: 100_000,
            tags: None,
        }
    }
}

/// Why a peer's rule is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The policy.
    #[error(
        "rules of policy ignore are not accepted from it: set ignore = true for this peer, on both sides"
    )]
    Policy,
    /// The prefix is too wide.
    #[error(
        "{cidr} is wider than the /{widest} that is accepted from it (min_prefix_v4, min_prefix_v6)"
    )]
    Prefix {
        /// What was sent.
        cidr: Cidr,
        /// The shortest prefix length accepted.
        widest: u8,
    },
    /// The tag.
    #[error("the tag of {cidr} is none of those accepted from it (tags)")]
    Tag {
        /// What was sent.
        cidr: Cidr,
    },
}

impl Limits {
    /// Checks a rule that is to be added.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, key: RuleKey, tag: Option<&str>) -> Result<(), Refusal> {
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

    /// Checks a register. A deletion takes nothing but what could be added; which tag the rule had is not known.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_record(&self, key: RuleKey, record: &Record) -> Result<(), Refusal> {
        match &record.state {
            RegisterState::Live { tag, .. } => {
                self.check(key, tag.as_ref().map(couic_common::Tag::as_str))
            }
            RegisterState::Deleted => {
                let any = Self {
                    tags: None,
                    ..self.clone()
                };
                any.check(key, None)
            }
        }
    }
}

/// A token bucket that holds what may be added within two seconds.
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

    /// Takes up to `wanted` tokens. Returns how many, and how long to wait (ms) before there are more.
    pub fn take(&mut self, wanted: usize, mono: u64) -> (usize, u64) {
        let passed = mono.saturating_sub(self.at);
        self.at = mono;
        let full = self.per_second * 2_000;
        self.level = self
            .level
            .saturating_add(passed.saturating_mul(self.per_second))
            .min(full);
        let there = usize::try_from(self.level / 1_000).unwrap_or(usize::MAX);
        let taken = wanted.min(there);
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
        let check = |policy, cidr: &str, tag| {
            limits.check(RuleKey::new(policy, cidr.parse().unwrap()), tag)
        };
        assert_eq!(check(Policy::Drop, "10.0.0.0/8", Some("sshd")), Ok(()));
        let wide = check(Policy::Drop, "0.0.0.0/0", Some("sshd")).unwrap_err();
        assert!(wide.to_string().contains("0.0.0.0/0"), "{wide}");
        assert!(check(Policy::Drop, "2000::/3", Some("sshd")).is_err());
        assert!(check(Policy::Drop, "10.0.0.0/8", Some("web")).is_err());
        assert!(check(Policy::Drop, "10.0.0.0/8", None).is_err());
        assert_eq!(
            check(Policy::Ignore, "10.0.0.0/8", Some("sshd")),
            Err(Refusal::Policy)
        );
    }

    #[test]
    fn tokens_come_back_with_time() {
        let mut tokens = Tokens::new(100, 0);
        assert_eq!(tokens.take(150, 0), (150, 0));
        assert_eq!(tokens.take(100, 0), (50, 500));
        assert_eq!(tokens.take(50, 500), (50, 0));
        assert_eq!(tokens.take(1_000, 500), (0, 1_000));
        assert_eq!(tokens.take(1_000, 1_000_000), (200, 1_000));
    }
}
