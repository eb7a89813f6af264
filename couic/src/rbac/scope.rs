//! The limits of a client, decided: whether it may make a change of rules.
//!
//! The API asks at each door, see `api::scope`. Every decision is for one rule or claim, and depends on nothing but the
//! limits, the change and the clock; only the rate has a state.

use std::time::{Duration, Instant};

use couic_common::{
    Cidr, ClientLimits, Policy, SetName, Tag, TagPattern, UNTAGGED, glob_matches, time_left,
};
use couic_firewall::rules::ClaimRequest;
use parking_lot::Mutex;

/// Clocks of clients are not the daemon's: an expiration may be so much later than the limit, in seconds.
const TOLERANCE: u64 = 60;

const MINUTE: Duration = Duration::from_secs(60);

/// The limits of a client that has some.
#[derive(Debug)]
pub struct Scope {
    limits: ClientLimits,
    tags: Option<TagPattern>,
    /// Until when the rules that were added take up the rate; None = no limit.
    taken: Option<(Duration, Mutex<Instant>)>,
}

/// Why a change is refused, to follow the name of the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another policy.
    #[error("may change {allowed} only")]
    Policy {
        /// The policies that it may change.
        allowed: String,
    },
    /// Another tag, or none.
    #[error("may add and delete rules tagged {allowed} only, not {}", Tagged(tag.as_deref()))]
    Tag {
        /// Its patterns.
        allowed: String,
        /// The tag of the rule.
        tag: Option<String>,
    },
    /// Too wide.
    #[error("may add /{widest} at widest: {cidr} is wider")]
    Width {
        /// The network.
        cidr: Cidr,
        /// The shortest prefix length that it may add.
        widest: u8,
    },
    /// Another set, or any.
    #[error("{}", MaySets(allowed, set))]
    Set {
        /// Its patterns.
        allowed: Vec<String>,
        /// The set.
        set: SetName,
    },
    /// Never expires, or too late.
    #[error("may add rules for {} at most: {}", time_left(*longest), Lasts(*lasts))]
    Time {
        /// Seconds.
        longest: u64,
        /// Seconds; None = for ever.
        lasts: Option<u64>,
    },
}

struct Tagged<'a>(Option<&'a str>);

impl std::fmt::Display for Tagged<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.unwrap_or("without a tag"))
    }
}

struct MaySets<'a>(&'a [String], &'a SetName);

impl std::fmt::Display for MaySets<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(allowed, set) = self;
        if allowed.is_empty() {
            return f.write_str("has limits, and may change no set");
        }
        let allowed = allowed.join(", ");
        write!(f, "may change the sets {allowed} only, not {set}")
    }
}

struct Lasts(Option<u64>);

impl std::fmt::Display for Lasts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(seconds) => write!(f, "this one lasts {}", time_left(seconds)),
            None => f.write_str("this one never expires"),
        }
    }
}

impl Refusal {
    /// The field of an entry that it is about.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Policy { .. } => "policy",
            Self::Tag { .. } => "tag",
            Self::Width { .. } => "cidr",
            Self::Set { .. } => "set",
            Self::Time { .. } => "expiration",
        }
    }
}

impl Scope {
    /// The scope of a client with these limits, which have no mistakes. None if they do not limit rules.
    #[must_use]
    pub fn of(limits: &ClientLimits, now: Instant) -> Option<Self> {
        let pattern = |tags: &Vec<String>| tags.join(",").parse().ok();
        let each = |rate: u32| MINUTE / rate.max(1);
        limits.limit_rules().then(|| Self {
            limits: limits.clone(),
            tags: limits.tags.as_ref().and_then(pattern),
            taken: limits
                .adds_per_minute
                .map(|rate| (each(rate), Mutex::new(now))),
        })
    }

    /// Whether rules of this policy may be changed.
    ///
    /// # Errors
    /// [`Refusal::Policy`].
    pub fn policy(&self, policy: Policy) -> Result<(), Refusal> {
        match &self.limits.policies {
            Some(allowed) if !allowed.contains(&policy) => {
                let allowed: Vec<&str> = allowed.iter().map(|policy| policy.as_str()).collect();
                let allowed = allowed.join(" and ");
                Err(Refusal::Policy { allowed })
            }
            _ => Ok(()),
        }
    }

    /// Whether this rule may be added or renewed at `now`, Unix seconds.
    ///
    /// # Errors
    /// [`Refusal`], but for the policy.
    pub fn add(&self, rule: &ClaimRequest, now: u64) -> Result<(), Refusal> {
        let ClaimRequest {
            cidr,
            tag,
            expiration,
        } = rule;
        self.width(*cidr)?;
        self.tag(tag.as_ref())?;
        let Some(longest) = self.limits.longest else {
            return Ok(());
        };
        let lasts = (*expiration != 0).then(|| expiration.saturating_sub(now));
        if lasts.is_some_and(|lasts| lasts <= longest.saturating_add(TOLERANCE)) {
            return Ok(());
        }
        Err(Refusal::Time { longest, lasts })
    }

    /// Whether a network may be added, alone or by a set.
    ///
    /// # Errors
    /// [`Refusal::Width`].
    pub fn width(&self, cidr: Cidr) -> Result<(), Refusal> {
        let widest = if cidr.is_ipv4() {
            self.limits.widest_ipv4
        } else {
            self.limits.widest_ipv6
        };
        match widest.filter(|widest| cidr.prefix() < *widest) {
            Some(widest) => Err(Refusal::Width { cidr, widest }),
            None => Ok(()),
        }
    }

    /// Whether a set may be written and deleted. No set may unless the limits name it.
    ///
    /// # Errors
    /// [`Refusal::Set`].
    pub fn set(&self, set: &SetName) -> Result<(), Refusal> {
        let allowed = self.limits.sets.as_deref().unwrap_or_default();
        if allowed.iter().any(|one| glob_matches(one, set.as_str())) {
            return Ok(());
        }
        Err(Refusal::Set {
            allowed: allowed.to_vec(),
            set: set.clone(),
        })
    }

    /// Whether claims with this tag may be added and released.
    ///
    /// # Errors
    /// [`Refusal::Tag`].
    pub fn tag(&self, tag: Option<&Tag>) -> Result<(), Refusal> {
        let tag = tag.map(Tag::as_str);
        match &self.tags {
            Some(tags) if !tags.matches(tag) => Err(self.outside(tag)),
            _ => Ok(()),
        }
    }

    /// Of the claims that `pattern` means those that may be released.
    ///
    /// # Errors
    /// [`Refusal::Tag`] if it names a tag, without a wildcard, that is out of scope.
    pub fn within(&self, pattern: TagPattern) -> Result<TagPattern, Refusal> {
        let Some(tags) = &self.tags else {
            return Ok(pattern);
        };
        match pattern.outside_of(tags) {
            Some(tag) => Err(self.outside(Some(tag).filter(|tag| *tag != UNTAGGED))),
            None => Ok(pattern.within(tags)),
        }
    }

    fn outside(&self, tag: Option<&str>) -> Refusal {
        Refusal::Tag {
            allowed: self.limits.tags.as_deref().unwrap_or_default().join(", "),
            tag: tag.map(str::to_owned),
        }
    }

    /// Takes so many adds from the rate: all of them, or none.
    ///
    /// # Errors
    /// How long to wait.
    pub fn take(&self, adds: usize, now: Instant) -> Result<(), Wait> {
        let Some((each, taken)) = &self.taken else {
            return Ok(());
        };
        let rate = self.limits.adds_per_minute.unwrap_or_default();
        let count = u32::try_from(adds).ok().filter(|adds| *adds <= rate);
        let Some(count) = count else {
            return Err(Wait::Never { rate, adds });
        };
        let mut taken = taken.lock();
        let until = (*taken).max(now) + *each * count;
        let ahead = until.saturating_duration_since(now);
        if let Some(over) = ahead.checked_sub(MINUTE).filter(|over| !over.is_zero()) {
            let seconds = over.as_secs() + 1;
            return Err(Wait::Seconds { rate, seconds });
        }
        *taken = until;
        Ok(())
    }
}

/// The rate is used up, to follow the name of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wait {
    /// There will be room.
    #[error("may add {rate} rules a minute: try again in {seconds} s")]
    Seconds {
        /// The limit.
        rate: u32,
        /// Until there is room for these adds.
        seconds: u64,
    },
    /// There is never room for so many at once.
    #[error("may add {rate} rules a minute: {adds} at once are too many")]
    Never {
        /// The limit.
        rate: u32,
        /// The rules of one job.
        adds: usize,
    },
}

#[cfg(test)]
#[path = "scope_tests.rs"]
mod tests;
