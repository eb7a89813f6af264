//! The judgement of one change.

use std::{net::IpAddr, sync::Arc};

use couic_common::{Cidr, Policy, Rail, RuleKey, TagPattern};

use super::{GuardCheck, GuardReason, GuardRefusal, Permit, Rails, refusal::NAMED};
use crate::rules::{Actor, ClaimScope, Firewall, Leaving, end};

/// The shortest prefixes that pass: /8 of IPv4, and /19 of IPv6, the shortest that registries hand out.
const SHORTEST: (u8, u8) = (8, 19);

/// Networks in which there are no hosts of the Internet, as lists of reserved networks write them.
const UNUSED: [&str; 7] = [
    "224.0.0.0/3",
    "::/3",
    "2d00::/8",
    "2e00::/7",
    "3000::/4",
    "4000::/2",
    "8000::/1",
];

/// A change of one rule, or of those with a tag.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// The actor adds a claim, or renews that in the scope, until then (Unix seconds; 0 = for ever).
    Add(RuleKey, &'a ClaimScope, &'a Actor, u64),
    /// The actor releases the claims in the scope.
    Remove(RuleKey, &'a ClaimScope, &'a Actor),
    /// The actor releases its claims with such a tag, or those of all clients and peers.
    RemoveByTag(Policy, &'a TagPattern, bool, &'a Actor),
}

/// An address that must stay reachable.
#[derive(Clone, Copy, Debug)]
struct Need<'a> {
    rail: Rail,
    addr: IpAddr,
    role: &'a str,
}

impl GuardCheck<'_> {
    /// Whether a change may be made: while the permit is held. Returns the rails too that it goes over because it is
    /// forced. Does not take the rules lock unless the change concerns a needed address.
    ///
    /// # Errors
    /// [`GuardRefusal`] says what it would cut off, and the way out. If the host's addresses cannot be read, no drop
    /// passes.
    pub fn judge(
        &self,
        firewall: &Firewall,
        changes: &[Change<'_>],
    ) -> Result<(Permit<'_>, Rails), GuardRefusal> {
        let mut gone_over = Rails::default();
        let needs: Vec<_> = changes.iter().map(|c| self.concerned(*c)).collect();
        let concerns = needs.iter().any(|needs| !needs.is_empty());
        let turn = concerns.then(|| self.guard.turn.lock());
        let found = changes.iter().zip(&needs).flat_map(|(change, needs)| {
            let found = self.cut_off(firewall, *change, needs);
            self.unknown(*change)
                .into_iter()
                .chain(found)
                .chain(too_short(*change))
        });
        for (key, reason) in found {
            let rail = reason.rail();
            if !self.rails.has(rail) {
                continue;
            }
            if !self.lifted.has(rail) {
                return Err(GuardRefusal { key, reason });
            }
            gone_over.insert(rail);
        }
        Ok((Permit { _turn: turn }, gone_over))
    }

    /// Whether a rail holds: none does for a request that asks for none, unless they are enforced.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.rails != Rails::default()
    }

    /// Whether judging a change depends on changes before it, which are to be made first.
    #[must_use]
    pub fn concerns(&self, change: Change<'_>) -> bool {
        !self.concerned(change).is_empty()
    }

    /// The needs that a change may cut off, by rail.
    fn concerned(&self, change: Change<'_>) -> Vec<Need<'_>> {
        let inside = match change {
            Change::Add(key, ..) | Change::Remove(key, ..) if !is_harmless(change) => {
                Some(key.cidr)
            }
            Change::RemoveByTag(Policy::Ignore, ..) => None,
            _ => return Vec::new(),
        };
        let is_inside = |addr: IpAddr| inside.is_none_or(|cidr| cidr.contains(addr));
        let named = self.protect.iter().filter(|addr| is_inside(**addr));
        let named = named.map(|addr| Need {
            rail: Rail::Caller,
            addr: *addr,
            role: NAMED,
        });
        let host = self.host.as_deref().unwrap_or_default();
        // Sorted by address: a host may have thousands, and a batch asks for each of its jobs.
        let first = inside.map_or(0, |cidr| {
            host.partition_point(|need| need.addr < cidr.addr())
        });
        let host = host[first..].iter().take_while(|need| is_inside(need.addr));
        let host = host.map(|need| Need {
            rail: need.rail,
            addr: need.addr,
            role: &need.role,
        });
        let all = named.chain(host);
        let mut needs: Vec<_> = all.filter(|need| self.rails.has(need.rail)).collect();
        needs.sort_by_key(|need| need.rail);
        needs
    }

    fn unknown(&self, change: Change<'_>) -> Option<(RuleKey, GuardReason)> {
        let (Err(why), Some(key)) = (&self.host, change.added()) else {
            return None;
        };
        (key.policy == Policy::Drop).then(|| (key, GuardReason::Unknown(Arc::clone(why))))
    }

    fn cut_off(
        &self,
        firewall: &Firewall,
        change: Change<'_>,
        needs: &[Need<'_>],
    ) -> Vec<(RuleKey, GuardReason)> {
        if needs.is_empty() {
            return Vec::new();
        }
        let addresses: Vec<IpAddr> = needs.iter().map(|need| need.addr).collect();
        let (key, leaving, drop_until) = match change {
            Change::Add(key, _, _, expiration) if key.policy == Policy::Drop => {
                (Some(key), Leaving::Nothing, Some(end(expiration)))
            }
            Change::Add(key, scope, actor, expiration) => {
                let leaving = Leaving::Rule(key.cidr, scope, actor, end(expiration));
                (Some(key), leaving, None)
            }
            Change::Remove(key, scope, actor) => {
                (Some(key), Leaving::Rule(key.cidr, scope, actor, 0), None)
            }
            Change::RemoveByTag(_, pattern, all_owners, actor) => {
                (None, Leaving::Tagged(pattern, all_owners, actor), None)
            }
        };
        let covers = firewall.cover(&addresses, Policy::Ignore, leaving);
        let reason = |(need, cover): (&Need<'_>, crate::rules::Cover)| {
            let key = key.unwrap_or(RuleKey::new(Policy::Ignore, Cidr::host(need.addr)));
            match drop_until {
                Some(until) if until > cover.ignored => Some((key, need.dropped())),
                None if cover.is_exposed() => {
                    let role = Arc::from(need.role);
                    Some((key, GuardReason::Exposed(need.rail, need.addr, role)))
                }
                _ => None,
            }
        };
        needs.iter().zip(covers).filter_map(reason).collect()
    }
}

impl Need<'_> {
    fn dropped(&self) -> GuardReason {
        if self.rail == Rail::Caller {
            return GuardReason::Protected(self.addr);
        }
        GuardReason::Needed(super::HostAddress {
            rail: self.rail,
            addr: self.addr,
            role: self.role.to_owned(),
        })
    }
}

impl Change<'_> {
    /// The rule that is in force afterwards.
    const fn added(&self) -> Option<RuleKey> {
        match self {
            Self::Add(key, ..) => Some(*key),
            _ => None,
        }
    }
}

/// Less is dropped afterwards.
const fn is_harmless(change: Change<'_>) -> bool {
    match change {
        Change::Remove(key, ..) => matches!(key.policy, Policy::Drop),
        _ => false,
    }
}

fn too_short(change: Change<'_>) -> Option<(RuleKey, GuardReason)> {
    let key = change.added()?;
    let shortest = shorter_than(key.cidr)?;
    Some((key, GuardReason::TooShort(key.policy, shortest)))
}

/// The shortest prefix that would pass, if this one is a large part of the Internet.
pub(super) fn shorter_than(cidr: Cidr) -> Option<u8> {
    let shortest = if cidr.is_ipv4() {
        SHORTEST.0
    } else {
        SHORTEST.1
    };
    // Nearly every network ends here.
    if cidr.prefix() >= shortest {
        return None;
    }
    let unused = UNUSED.iter().filter_map(|text| text.parse::<Cidr>().ok());
    let mut around = unused.filter(|net| net.prefix() <= cidr.prefix());
    let is_unused = around.any(|net| net.contains(cidr.addr()));
    (!is_unused).then_some(shortest)
}
