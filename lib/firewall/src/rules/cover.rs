//! How long the rules drop or protect an address, now and after a change: what the guard rails judge.
//!
//! Costs a look-up for each address and prefix length that exists, however many rules there are.

use std::net::IpAddr;

use couic_common::{Cidr, Policy, Tag, TagPattern};

use super::{
    Actor, ClaimScope, Firewall, Owner, SetCatalog,
    core::Core,
    packed::{Claims, PackedClaim},
    reload::LoadedSet,
};

/// Rules that a change takes away or replaces.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Leaving<'a> {
    /// No rule of this policy.
    Nothing,
    /// The claims on one rule that this actor releases or renews; afterwards it has one that lasts until then (0 = none).
    Rule(Cidr, &'a ClaimScope, &'a Actor, u64),
    /// The claims with such a tag that this actor releases: its own, or those of all clients and peers.
    Tagged(&'a TagPattern, bool, &'a Actor),
    /// All claims of sets; afterwards these have one for ever.
    Sets(&'a SetCatalog),
    /// The claims of these sets alone.
    SomeSets(&'a SetCatalog),
}

/// Until when an address is covered by the rules of each policy: Unix seconds, 0 = it is not, `u64::MAX` = for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cover {
    pub(crate) ignored: u64,
    /// After the change, as is the next one.
    pub(crate) dropped_after: u64,
    pub(crate) ignored_after: u64,
}

impl Cover {
    /// Whether the change takes protection away while a drop covers the address.
    pub(crate) const fn is_exposed(&self) -> bool {
        self.dropped_after > self.ignored_after && self.ignored > self.ignored_after
    }
}

/// An expiration as the end of a rule: 0 means never.
pub(crate) const fn end(expiration: u64) -> u64 {
    if expiration == 0 {
        u64::MAX
    } else {
        expiration
    }
}

impl Firewall {
    /// The cover of each address, if the rules that `leaving` names, of its policy, go.
    pub(crate) fn cover(
        &self,
        addresses: &[IpAddr],
        policy: Policy,
        leaving: Leaving<'_>,
    ) -> Vec<Cover> {
        self.change(|core, _| {
            let core = &*core;
            let of = |ip: &IpAddr| {
                let both = |asked| {
                    let is_changed = asked == policy
                        || matches!(leaving, Leaving::Sets(_) | Leaving::SomeSets(_));
                    let leaving = if is_changed {
                        leaving
                    } else {
                        Leaving::Nothing
                    };
                    core.covered_until(asked, *ip, leaving)
                };
                let (_, dropped_after) = both(Policy::Drop);
                let (ignored, ignored_after) = both(Policy::Ignore);
                Cover {
                    ignored,
                    dropped_after,
                    ignored_after,
                }
            };
            addresses.iter().map(of).collect()
        })
    }

    /// The rule by which an address is dropped, with its tag.
    pub(crate) fn dropping(&self, ip: IpAddr) -> Option<(Cidr, Option<Tag>)> {
        self.change(|core, _| {
            let (ignore, drop) = (core.table(Policy::Ignore), core.table(Policy::Drop));
            if !ignore.covering(ip).is_empty() {
                return None;
            }
            let (cidr, claim) = drop.covering(ip).into_iter().next()?;
            Some((cidr, core.tags(Policy::Drop).name(claim.slot).cloned()))
        })
    }
}

impl Core {
    /// Until when rules of a policy cover an address: now, and after the change.
    fn covered_until(&self, policy: Policy, ip: IpAddr, leaving: Leaving<'_>) -> (u64, u64) {
        let (mut now, mut after) = (0, 0);
        for (cidr, _) in self.table(policy).covering(ip) {
            let claims = self.table(policy).claims(cidr);
            let last = |claims: &Claims| claims.iter().map(|c| end(c.expiration)).max();
            now = now.max(last(&claims).unwrap_or(0));
            let stays = self.staying(policy, cidr, claims, leaving);
            after = after.max(last(&stays).unwrap_or(0));
        }
        let added = match leaving {
            Leaving::Rule(cidr, _, _, until) if cidr.contains(ip) => until,
            Leaving::Sets(catalog) | Leaving::SomeSets(catalog) if catalog.covers(policy, ip) => {
                u64::MAX
            }
            _ => 0,
        };
        (now, after.max(added))
    }

    fn staying(&self, policy: Policy, cidr: Cidr, claims: Claims, leaving: Leaving<'_>) -> Claims {
        let of_set = |claim: &PackedClaim| self.owners().get(claim.owner).is_set();
        match leaving {
            Leaving::Rule(gone, scope, actor, _) if gone == cidr => {
                claims.without(|claim| self.releases(policy, claim, scope, actor))
            }
            Leaving::Tagged(pattern, all_owners, actor) => {
                let tag = None;
                let scope = ClaimScope { tag, all_owners };
                claims.without(|claim| {
                    let tag = self.tags(policy).name(claim.slot);
                    pattern.matches(tag.map(Tag::as_str))
                        && self.releases(policy, claim, &scope, actor)
                })
            }
            Leaving::Sets(_) => claims.without(of_set),
            Leaving::SomeSets(catalog) => claims.without(|claim| {
                let owner = self.owners().get(claim.owner);
                let names = |set: &LoadedSet| {
                    set.policy == policy && matches!(owner, Owner::Set(name) if *name == set.name)
                };
                catalog.0.iter().any(names)
            }),
            _ => claims,
        }
    }
}

impl SetCatalog {
    /// Whether an entry of a policy's sets covers an address.
    fn covers(&self, policy: Policy, ip: IpAddr) -> bool {
        let mut mine = self.0.iter().filter(|set| set.policy == policy);
        mine.any(|set| covering(&set.entries, ip).next().is_some())
    }
}

/// The entries, which are sorted, that cover an address.
pub(crate) fn covering(sorted: &[Cidr], ip: IpAddr) -> impl Iterator<Item = Cidr> {
    let longest = if ip.is_ipv4() { 32 } else { 128 };
    let around = (0..=longest).filter_map(move |len| Cidr::new(ip, len).ok());
    around.filter(|cidr| sorted.binary_search(cidr).is_ok())
}
