//! The state behind the firewall's lock.
//!
//! Every change of a rule is the same step: [`Core::install`] puts a new list of claims in place of the old one. It is
//! the only place that writes the data plane, the tables, the tags and the deadlines, appends to the journal, and emits
//! events, so they cannot disagree.

use std::sync::Arc;

use couic_common::{Entry, Policy, RuleKey, Tag};

use super::{
    Actor, ClaimRef, EventKind, FirewallError, Origin, Owner, RuleEvent,
    deadlines::Deadlines,
    durable::Durable,
    events::EventBus,
    packed::{Claims, OwnerId, Owners, PackedClaim, last_end},
    shares::{Held, Holder, IsAdmin, Places, Shared},
    table::RuleTable,
    tags::TagTable,
};
use crate::dataplane::{Counters, Limits, Plane, PlaneError, TagSlot};

/// A change of a rule's claims, as events tell it.
#[derive(Clone, Copy)]
pub(super) struct Changed {
    kind: EventKind,
    /// The claim that is shown, or was shown before the rule went.
    shown: PackedClaim,
    /// When the rule ends.
    expiration: u64,
    /// Whether the entry shown is another one.
    is_visible: bool,
    /// Whose claim changed.
    owner: OwnerId,
}

impl Changed {
    fn between(old: &Claims, new: &Claims) -> Option<Self> {
        let (before, after) = (old.plane_rule(), new.plane_rule());
        let written = new.iter().find(|claim| old.like(claim) != Some(*claim));
        let ended = || old.iter().find(|claim| new.like(claim).is_none());
        let kind = match (before, after, written) {
            (None, Some(_), _) => EventKind::Added,
            (Some(_), None, _) => EventKind::Removed,
            (Some(_), Some(_), Some(_)) => EventKind::Updated,
            (Some(_), Some(_), None) => EventKind::Released,
            (None, None, _) => return None,
        };
        Some(Self {
            kind,
            shown: *new.shown().or_else(|| old.shown())?,
            expiration: after.or(before)?.deadline,
            is_visible: before != after,
            owner: written.or_else(ended).or_else(|| new.shown())?.owner,
        })
    }
}

/// The most claims of clients on a rule: a client that makes up tags must not take the memory of many rules.
pub(super) const MAX_CLAIMS: usize = 64;

/// The most claims of one client on a rule, so that it leaves room for others.
pub(super) const MAX_TAGS_OF_CLIENT: usize = 16;

pub(super) struct Core {
    plane: Box<dyn Plane>,
    counters: Arc<dyn Counters>,
    limits: Limits,
    tables: [RuleTable; 2],
    tags: [TagTable; 2],
    owners: Owners,
    /// Who holds how many rules, by policy and family.
    held: [[Held; 2]; 2],
    is_admin: Option<IsAdmin>,
    deadlines: Deadlines,
    /// Claims of clients beyond the first on each rule, by policy.
    further: [usize; 2],
    pub(super) durable: Durable,
    pub(super) bus: EventBus,
    /// Changes of claims beneath the one that is shown.
    pub(super) hidden: EventBus,
}

impl Core {
    pub(super) fn new(plane: Box<dyn Plane>, counters: Arc<dyn Counters>, limits: Limits) -> Self {
        Self {
            plane,
            counters,
            limits,
            tables: Default::default(),
            tags: [TagTable::new(Policy::Drop), TagTable::new(Policy::Ignore)],
            owners: Owners::default(),
            held: Default::default(),
            is_admin: None,
            deadlines: Deadlines::default(),
            further: [0; 2],
            durable: Durable::default(),
            bus: EventBus::default(),
            hidden: EventBus::default(),
        }
    }

    pub(super) fn table(&self, policy: Policy) -> &RuleTable {
        &self.tables[policy as usize]
    }

    pub(super) fn tags(&self, policy: Policy) -> &TagTable {
        &self.tags[policy as usize]
    }

    pub(super) fn tags_mut(&mut self, policy: Policy) -> (&mut TagTable, &dyn Counters) {
        (&mut self.tags[policy as usize], &*self.counters)
    }

    pub(super) fn plane(&mut self) -> &mut dyn Plane {
        &mut *self.plane
    }

    pub(super) fn owners(&self) -> &Owners {
        &self.owners
    }

    pub(super) fn owner_id(&mut self, owner: &Owner) -> OwnerId {
        self.owners.id(owner)
    }

    pub(super) fn set_admins(&mut self, is_admin: IsAdmin) {
        self.is_admin = Some(is_admin);
    }

    pub(super) fn holder(&self, id: OwnerId) -> Holder {
        Holder::new(id, self.owners.get(id))
    }

    pub(super) fn deadlines_mut(&mut self) -> &mut Deadlines {
        &mut self.deadlines
    }

    pub(super) fn heartbeat(&mut self, now: u64) {
        self.plane.heartbeat(now);
    }

    /// A claim with its owner and tag.
    pub(super) fn unpack(&self, policy: Policy, claim: &PackedClaim) -> ClaimRef<'_> {
        ClaimRef {
            owner: self.owners.get(claim.owner),
            tag: self.tags(policy).name(claim.slot),
            expiration: claim.expiration,
            creation: claim.creation,
        }
    }

    /// The rule as it is shown.
    pub(super) fn entry(&self, key: RuleKey, shown: &PackedClaim) -> Entry {
        let PackedClaim { creation, slot, .. } = *shown;
        let usage = self.plane.usage(key);
        let claims = self.table(key.policy).all_claims(key.cidr, shown);
        Entry {
            creation,
            cidr: key.cidr,
            tag: self.tags(key.policy).name(slot).cloned(),
            expiration: last_end(claims),
            hits: usage.map(|usage| usage.hits),
            last_seen: usage.map(|usage| usage.last_seen),
            owners: Vec::new(),
        }
    }

    /// The same with its owners.
    pub(super) fn entry_with_owners(&self, key: RuleKey, shown: &PackedClaim) -> Entry {
        let claims = self.table(key.policy).all_claims(key.cidr, shown);
        let owners = claims.map(|claim| self.unpack(key.policy, claim).shown());
        Entry {
            owners: owners.collect(),
            ..self.entry(key, shown)
        }
    }

    /// Puts `new` in place of the claims on a rule.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub(super) fn install(
        &mut self,
        key: RuleKey,
        new: Claims,
        now: u64,
        origin: &Origin,
    ) -> Result<(), PlaneError> {
        if let Some(changed) = self.exchange(key, new)? {
            self.publish(key, &changed, now, origin);
        }
        Ok(())
    }

    /// The same without an event. Returns what to tell, if anything changed.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub(super) fn exchange(
        &mut self,
        key: RuleKey,
        new: Claims,
    ) -> Result<Option<Changed>, PlaneError> {
        let old = self.table(key.policy).claims(key.cidr);
        if old == new {
            return Ok(None);
        }
        match (old.plane_rule(), new.plane_rule()) {
            (before, Some(rule)) if before != Some(rule) => self.plane.put(key, rule)?,
            (Some(_), None) => self.plane.remove(key)?,
            _ => {}
        }
        self.record(key, &old, &new);
        let is_to_sweep = self.account(key, &old, &new);
        let changed = Changed::between(&old, &new);
        self.tables[key.policy as usize].set(key.cidr, new);
        if is_to_sweep {
            self.sweep_deadlines();
        }
        Ok(changed)
    }

    /// Keeps tags and deadlines in step with a change of claims. True if deadlines are to be swept, once the tables
    /// have the new claims: a deadline that no claim there has is thrown away.
    fn account(&mut self, key: RuleKey, old: &Claims, new: &Claims) -> bool {
        let tags = &mut self.tags[key.policy as usize];
        let held = &mut self.held[key.policy as usize][usize::from(key.cidr.is_ipv4())];
        let holder = |claim: &PackedClaim| Holder::new(claim.owner, self.owners.get(claim.owner));
        // Claim before released, so that a tag that stays never looks unused.
        new.iter()
            .for_each(|claim| tags.hold(claim.slot, holder(claim)));
        old.iter().for_each(|claim| tags.release(claim.slot));
        for claim in new.owners().filter(|claim| old.of(claim.owner).is_none()) {
            held.add(holder(claim));
        }
        for claim in old.owners().filter(|claim| new.of(claim.owner).is_none()) {
            held.take(holder(claim));
        }
        let mut sweep = false;
        let ends_alike = |claims: &Claims, claim: &PackedClaim| {
            let like = claims.like(claim);
            like.is_some_and(|c| c.expiration == claim.expiration)
        };
        for claim in old.iter().filter(|claim| !ends_alike(new, claim)) {
            sweep |= self.deadlines.left_behind(claim.expiration);
        }
        for claim in new.iter().filter(|claim| !ends_alike(old, claim)) {
            self.deadlines.push(claim.expiration, key);
        }
        let further = &mut self.further[key.policy as usize];
        *further = *further + new.clients().saturating_sub(1) - old.clients().saturating_sub(1);
        sweep
    }

    fn sweep_deadlines(&mut self) {
        let Self {
            deadlines, tables, ..
        } = self;
        deadlines.sweep(|at, key| {
            let claims = tables[key.policy as usize].claims(key.cidr);
            claims.iter().any(|claim| claim.expiration == at)
        });
    }

    fn publish(&mut self, key: RuleKey, changed: &Changed, at: u64, origin: &Origin) {
        // Subscribers to claims rather than rules need the others as well.
        let bus = if changed.is_visible {
            &mut self.bus
        } else {
            &mut self.hidden
        };
        let (tags, owners) = (&self.tags[key.policy as usize], &self.owners);
        bus.publish(|seq| {
            let PackedClaim { creation, slot, .. } = changed.shown;
            let entry = Entry {
                creation,
                cidr: key.cidr,
                tag: tags.name(slot).cloned(),
                expiration: changed.expiration,
                hits: None,
                last_seen: None,
                owners: Vec::new(),
            };
            RuleEvent {
                seq,
                at,
                kind: changed.kind,
                policy: key.policy,
                entry,
                origin: origin.clone(),
                owner: owners.get(changed.owner).clone(),
            }
        });
    }

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

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }
}

/// The family's name in messages and metrics.
pub(super) const fn family(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "IPv4" } else { "IPv6" }
}
