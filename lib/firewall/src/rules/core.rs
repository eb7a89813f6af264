//! The state behind the firewall's lock.
//!
//! Every change of a rule is the same step: [`Core::install`] puts a new list of claims in place of the old one. It is
//! the only place that writes the data plane, the tables, the tags and the deadlines, appends to the journal, and emits
//! events, so they cannot disagree.

use std::sync::Arc;

use couic_common::{Entry, Policy, Reasons, RuleKey};

use super::{
    Actor, ClaimRef, Origin, Owner, Request, RuleEvent,
    changed::Changed,
    deadlines::Deadlines,
    durable::Durable,
    events::EventBus,
    packed::{Claims, OwnerId, Owners, PackedClaim, last_end},
    shares::{Held, Holder, IsAdmin},
    table::RuleTable,
    tags::TagTable,
};
use crate::dataplane::{Counters, Limits, Plane, PlaneError};

pub(super) struct Core {
    plane: Box<dyn Plane>,
    counters: Arc<dyn Counters>,
    pub(super) limits: Limits,
    tables: [RuleTable; 2],
    tags: [TagTable; 2],
    owners: Owners,
    reasons: Reasons,
    /// Who holds how many rules, by policy and family.
    pub(super) held: [[Held; 2]; 2],
    pub(super) is_admin: Option<IsAdmin>,
    deadlines: Deadlines,
    /// Claims of clients beyond the first on each rule, by policy.
    pub(super) further: [usize; 2],
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
            reasons: Reasons::default(),
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

    pub(super) const fn reasons(&self) -> &Reasons {
        &self.reasons
    }

    pub(super) fn reasons_mut(&mut self) -> &mut Reasons {
        &mut self.reasons
    }

    /// How many claims sets have together.
    pub(super) fn claims_of_sets(&self, policy: Policy) -> usize {
        let families = &self.held[policy as usize];
        families.iter().map(Held::by_sets).sum()
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

    /// A claim with its owner, tag and reason.
    pub(super) fn unpack(&self, policy: Policy, claim: &PackedClaim) -> ClaimRef<'_> {
        ClaimRef {
            owner: self.owners.get(claim.owner),
            tag: self.tags(policy).name(claim.slot),
            expiration: claim.expiration,
            creation: claim.creation,
            reason: self.reasons.get(claim.reason),
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
            reason: self.reasons.get(shown.reason).cloned(),
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
        let changed = Changed::between(&old, &new, &self.reasons);
        let is_to_sweep = self.account(key, &old, &new);
        self.tables[key.policy as usize].set(key.cidr, new);
        if is_to_sweep {
            self.sweep_deadlines();
        }
        Ok(changed)
    }

    /// Keeps tags, reasons and deadlines in step with a change of claims. True if deadlines are to be swept, once the tables
    /// have the new claims: a deadline that no claim there has is thrown away.
    fn account(&mut self, key: RuleKey, old: &Claims, new: &Claims) -> bool {
        let tags = &mut self.tags[key.policy as usize];
        let held = &mut self.held[key.policy as usize][usize::from(key.cidr.is_ipv4())];
        let holder = |claim: &PackedClaim| Holder::new(claim.owner, self.owners.get(claim.owner));
        // Claim before released, so that a tag that stays never looks unused.
        new.iter()
            .for_each(|claim| tags.hold(claim.slot, holder(claim)));
        old.iter().for_each(|claim| tags.release(claim.slot));
        new.iter().for_each(|claim| self.reasons.hold(claim.reason));
        old.iter()
            .for_each(|claim| self.reasons.release(claim.reason));
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
                reason: changed.reason.clone(),
                owners: Vec::new(),
            };
            RuleEvent {
                seq,
                at,
                kind: changed.kind,
                policy: key.policy,
                entry,
                former_tag: tags.name(changed.former).cloned(),
                origin: origin.clone(),
                owner: owners.get(changed.owner).clone(),
                // What a request finds overdue, it did not end.
                request: match origin.actor {
                    Actor::Expiry => None,
                    _ => Request::current(),
                },
            }
        });
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }
}

/// The family's name in messages and metrics.
pub(super) const fn family(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "IPv4" } else { "IPv6" }
}
