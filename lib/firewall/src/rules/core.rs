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
    packed::{Claims, OwnerId, Owners, PackedClaim},
    shares::{Held, Holder, IsAdmin, Places, Shared},
    table::RuleTable,
    tags::TagTable,
};
use crate::dataplane::{Counters, Limits, Plane, PlaneError, TagSlot};

/// The claim that was shown before a change, and the one that is now.
pub(super) type Shown = (Option<PackedClaim>, Option<PackedClaim>);

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
        let PackedClaim {
            expiration,
            creation,
            slot,
            ..
        } = *shown;
        let usage = self.plane.usage(key);
        Entry {
            creation,
            cidr: key.cidr,
            tag: self.tags(key.policy).name(slot).cloned(),
            expiration,
            hits: usage.map(|usage| usage.hits),
            last_seen: usage.map(|usage| usage.last_seen),
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
        if let Some((old, new)) = self.exchange(key, new)? {
            self.publish(key, (old.as_ref(), new.as_ref()), now, origin);
        }
        Ok(())
    }

    /// The same without an event. Returns the entry shown, if anything changed.
    ///
    /// # Errors
    /// Nothing has changed then.
    pub(super) fn exchange(
        &mut self,
        key: RuleKey,
        new: Claims,
    ) -> Result<Option<Shown>, PlaneError> {
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
        let shown = (old.shown().copied(), new.shown().copied());
        self.tables[key.policy as usize].set(key.cidr, new);
        if is_to_sweep {
            self.sweep_deadlines();
        }
        Ok(Some(shown))
    }

    /// Keeps tags and deadlines in step with a change of claims. True if deadlines are to be swept, once the tables
    /// have the new claims: a deadline that no claim there has is thrown away.
    fn account(&mut self, key: RuleKey, old: &Claims, new: &Claims) -> bool {
        let tags = &mut self.tags[key.policy as usize];
        let held = &mut self.held[key.policy as usize][usize::from(key.cidr.is_ipv4())];
        let holder = |claim: &PackedClaim| Holder::new(claim.owner, self.owners.get(claim.owner));
        // Claim before released, so that a tag that stays never looks unused.
        for claim in new.iter() {
            tags.hold(claim.slot, holder(claim));
            if old.of(claim.owner).is_none() {
                held.add(holder(claim));
            }
        }
        for claim in old.iter() {
            tags.release(claim.slot);
            if new.of(claim.owner).is_none() {
                held.take(holder(claim));
            }
        }
        let mut sweep = false;
        for claim in old.iter() {
            if new
                .of(claim.owner)
                .is_none_or(|c| c.expiration != claim.expiration)
            {
                sweep |= self.deadlines.left_behind(claim.expiration);
            }
        }
        for claim in new.iter() {
            if old
                .of(claim.owner)
                .is_none_or(|c| c.expiration != claim.expiration)
            {
                self.deadlines.push(claim.expiration, key);
            }
        }
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

    fn publish(
        &mut self,
        key: RuleKey,
        (old, new): (Option<&PackedClaim>, Option<&PackedClaim>),
        at: u64,
        origin: &Origin,
    ) {
        let (kind, shown) = match (old, new) {
            (None, Some(new)) => (EventKind::Added, *new),
            (Some(old), None) => (EventKind::Removed, *old),
            (Some(_), Some(new)) => (EventKind::Updated, *new),
            (None, None) => return,
        };
        // Subscribers to claims rather than rules need the others as well.
        let is_shown = old.map(seen) != new.map(seen);
        let bus = if is_shown {
            &mut self.bus
        } else {
            &mut self.hidden
        };
        let tags = &self.tags[key.policy as usize];
        bus.publish(|seq| {
            let PackedClaim {
                expiration,
                creation,
                slot,
                ..
            } = shown;
            let entry = Entry {
                creation,
                cidr: key.cidr,
                tag: tags.name(slot).cloned(),
                expiration,
                hits: None,
                last_seen: None,
            };
            RuleEvent {
                seq,
                at,
                kind,
                policy: key.policy,
                entry,
                origin: origin.clone(),
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

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }
}

/// The part of a claim that is shown and may change.
const fn seen(claim: &PackedClaim) -> (TagSlot, u64) {
    (claim.slot, claim.expiration)
}

/// The family's name in messages and metrics.
pub(super) const fn family(is_ipv4: bool) -> &'static str {
    if is_ipv4 { "IPv4" } else { "IPv6" }
}
