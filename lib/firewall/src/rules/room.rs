//! Whether there is room for one more rule, tag or claim: in all, and within the share of whoever asks.

use couic_common::{Policy, RuleKey, Tag};

use super::{
    Actor, FirewallError,
    core::{Core, family},
    packed::{Claims, OwnerId},
    shares::{Places, Shared},
};
use crate::dataplane::TagSlot;

/// The most claims of clients on a rule: a client that makes up tags must not take the memory of many rules.
pub(super) const MAX_CLAIMS: usize = 64;

/// The most claims of one client on a rule, so that it leaves room for others.
pub(super) const MAX_TAGS_OF_CLIENT: usize = 16;

impl Core {
    pub(super) fn check_room(&self, key: RuleKey) -> Result<(), FirewallError> {
        let limit = self.limits.of(key.policy);
        if self.table(key.policy).count_like(key.cidr) < limit {
            return Ok(());
        }
        Err(FirewallError::Full {
            policy: key.policy,
            family: family(key.cidr.is_ipv4()),
            limit,
        })
    }

    /// [`Core::check_room`] for a new rule that a client or a peer asks for.
    pub(super) fn check_share(
        &self,
        key: RuleKey,
        owner: OwnerId,
        actor: &Actor,
    ) -> Result<(), FirewallError> {
        self.check_room(key)?;
        let is_ipv4 = key.cidr.is_ipv4();
        let places = Places {
            policy: key.policy,
            what: Shared::Rules(family(is_ipv4)),
            used: self.table(key.policy).count_like(key.cidr),
            limit: self.limits.of(key.policy),
            held: &self.held[key.policy as usize][usize::from(is_ipv4)],
        };
        places.check(owner, actor, self.is_admin.as_ref())
    }

    /// The slot of a tag that a client or a peer asks for, a new one if need be.
    pub(super) fn slot_for(
        &mut self,
        policy: Policy,
        tag: Option<&Tag>,
        owner: OwnerId,
        actor: &Actor,
    ) -> Result<TagSlot, FirewallError> {
        let tags = self.tags(policy);
        if let Some(places) = tag.and_then(|tag| tags.places_for(tag)) {
            places.check(owner, actor, self.is_admin.as_ref())?;
        }
        self.slot(policy, tag)
    }

    /// Refuses one more claim of a client on a rule that has claims.
    ///
    /// # Errors
    /// [`FirewallError::TooManyClaims`].
    pub(super) fn check_claims(
        &self,
        key: RuleKey,
        claims: &Claims,
        owner: OwnerId,
    ) -> Result<(), FirewallError> {
        let own = claims.iter().filter(|claim| claim.owner == owner).count();
        let all = self.limits.of(key.policy);
        let further = self.further[key.policy as usize];
        let (limit, what) = if own >= MAX_TAGS_OF_CLIENT {
            (MAX_TAGS_OF_CLIENT, "under different tags of one client")
        } else if claims.clients() >= MAX_CLAIMS {
            (MAX_CLAIMS, "on one rule")
        } else if claims.clients() > 0 && further >= all {
            (all, "on rules that other claims hold, all together")
        } else {
            return Ok(());
        };
        Err(FirewallError::TooManyClaims { key, limit, what })
    }
}
