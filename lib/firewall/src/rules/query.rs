//! Questions about the rules. None of them changes anything.

use std::{collections::BTreeMap, net::IpAddr};

use couic_common::{
    Cidr, Counter, Entry, Lookup, LookupRule, Policy, RemovedByTag, RuleKey, Stats, TagPattern,
    Verdict,
};

use super::{
    Applied, CHUNK, ClaimScope, Firewall, FirewallError, Job, Origin,
    core::{Core, family},
    packed::PackedClaim,
    tags::TagFilter,
};
use crate::dataplane::MAX_TAGS;

/// How a page shows a rule.
type MakeEntry = fn(&Core, RuleKey, &PackedClaim) -> Entry;

/// How full a table is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The policy.
    pub policy: Policy,
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
    /// Rules in force.
    pub rules: usize,
    /// How many there can be.
    pub limit: usize,
}

/// How many tags are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagUsage {
    /// The policy.
    pub policy: Policy,
    /// Tags that a rule carries.
    pub tags: usize,
    /// How many there can be.
    pub limit: usize,
}

/// The reasons of claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReasonUsage {
    /// Different ones that are kept.
    pub kept: usize,
    /// How many were not kept since the start, for want of a place: their rules are in force without them.
    pub not_kept: u64,
}

impl Firewall {
    /// The reasons of claims, of which there can be [`couic_common::Reasons::MAX`].
    #[must_use]
    pub fn reasons(&self) -> ReasonUsage {
        let core = self.core.lock();
        let reasons = core.reasons();
        ReasonUsage {
            kept: reasons.len(),
            not_kept: reasons.not_kept(),
        }
    }

    /// One rule as it is shown.
    #[must_use]
    pub fn entry(&self, key: RuleKey) -> Option<Entry> {
        self.change(|core, _| {
            let shown = core.table(key.policy).shown(key.cidr);
            shown.map(|claim| core.entry(key, claim))
        })
    }

    /// The same with its owners.
    #[must_use]
    pub fn entry_with_owners(&self, key: RuleKey) -> Option<Entry> {
        self.change(|core, _| {
            let shown = core.table(key.policy).shown(key.cidr);
            shown.map(|claim| core.entry_with_owners(key, claim))
        })
    }

    /// The tags that a pattern means now. They are compared without the lock.
    #[must_use]
    pub fn tag_filter(&self, policy: Policy, pattern: &TagPattern) -> TagFilter {
        let names = self.change(|core, _| core.tags(policy).names());
        TagFilter::new(pattern, &names)
    }

    /// Up to `limit` rules behind `after` with a claim whose tag `filter` means, in the order of CIDRs.
    #[must_use]
    pub fn page(
        &self,
        policy: Policy,
        after: Option<Cidr>,
        limit: usize,
        filter: Option<&TagFilter>,
    ) -> Vec<Entry> {
        self.page_by(policy, after, limit, filter, Core::entry)
    }

    /// The same with their owners.
    #[must_use]
    pub fn page_with_owners(
        &self,
        policy: Policy,
        after: Option<Cidr>,
        limit: usize,
        filter: Option<&TagFilter>,
    ) -> Vec<Entry> {
        self.page_by(policy, after, limit, filter, Core::entry_with_owners)
    }

    fn page_by(
        &self,
        policy: Policy,
        after: Option<Cidr>,
        limit: usize,
        filter: Option<&TagFilter>,
        entry: MakeEntry,
    ) -> Vec<Entry> {
        let mut page = Vec::new();
        let mut after = after;
        while page.len() < limit {
            match self.fill_page((policy, after), limit, filter, entry, &mut page) {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        page
    }

    /// Adds to `page` from the next rules. Returns the last one walked over, None at the end.
    fn fill_page(
        &self,
        (policy, after): (Policy, Option<Cidr>),
        limit: usize,
        filter: Option<&TagFilter>,
        entry: MakeEntry,
        page: &mut Vec<Entry>,
    ) -> Option<Cidr> {
        self.change(|core, _| {
            let tags = core.tags(policy);
            let is_meant =
                |claim: &PackedClaim| filter.is_none_or(|filter| filter.means(tags, claim.slot));
            let mut last = None;
            for (cidr, claim) in core.table(policy).iter_after(after).take(CHUNK) {
                if page.len() == limit {
                    break;
                }
                if core.table(policy).all_claims(cidr, claim).any(is_meant) {
                    page.push(entry(core, RuleKey::new(policy, cidr), claim));
                }
                last = Some(cidr);
            }
            last
        })
    }

    /// Releases the actor's claims (with `all_owners`, all but those of sets) whose tag `pattern` means. Counts rules.
    pub fn remove_by_tag(
        &self,
        policy: Policy,
        pattern: &TagPattern,
        all_owners: bool,
        origin: &Origin,
    ) -> RemovedByTag {
        let filter = self.tag_filter(policy, pattern);
        let (mut after, mut outcome) = (None, RemovedByTag::default());
        loop {
            let walked = self.change(|core, now| {
                let (found, last) =
                    core.removable_by_tag(policy, &filter, all_owners, &origin.actor, after);
                let results = found.into_iter().map(|(cidr, tag)| {
                    let tag = Some(tag);
                    let scope = ClaimScope { tag, all_owners };
                    let job = Job::Remove(cidr, scope, origin.metadata.clone());
                    (cidr, core.apply(policy, job, &origin.actor, now))
                });
                count_rules(&mut outcome, results);
                last
            });
            match walked {
                Some(last) => after = Some(last),
                None => return outcome,
            }
        }
    }

    /// The verdict for packets from this address, and the rules behind it. Under the panic switch there are none.
    #[must_use]
    pub fn lookup(&self, ip: IpAddr) -> Lookup {
        // Packets of a host that is written `::ffff:192.0.2.1` are IPv4.
        let ip = ip.to_canonical();
        let mut covering: Vec<LookupRule> = self.change(|core, _| {
            let core = &*core;
            let of = |policy| {
                let rules = core.table(policy).covering(ip).into_iter();
                rules.map(move |(cidr, claim)| LookupRule {
                    policy,
                    entry: core.entry_with_owners(RuleKey::new(policy, cidr), &claim),
                })
            };
            Policy::ALL.into_iter().flat_map(of).collect()
        });
        let panic = self.passes_all();
        let decided_by = if covering.is_empty() || panic {
            None
        } else {
            Some(covering.remove(0))
        };
        let dropped = decided_by
            .as_ref()
            .is_some_and(|rule| rule.policy == Policy::Drop);
        let verdict = if dropped {
            Verdict::Drop
        } else {
            Verdict::Pass
        };
        Lookup {
            ip,
            verdict,
            decided_by,
            also_covered_by: covering,
            panic,
        }
    }

    /// The number of rules, and counters of packets.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let count = |policy| {
            let (v4, v6) = self.change(|core, _| core.table(policy).counts());
            (v4 + v6) as u64
        };
        Stats {
            drop_cidr_count: count(Policy::Drop),
            ignore_cidr_count: count(Policy::Ignore),
            xdp: self.counters.actions(),
            not_inspected: self.counters.not_inspected(),
        }
    }

    /// Counters of a policy's rules, by tag.
    #[must_use]
    pub fn tag_stats(&self, policy: Policy) -> BTreeMap<String, Counter> {
        self.change(|core, _| core.tags(policy).figures(&*self.counters))
    }

    /// How many tags are in use.
    #[must_use]
    pub fn tag_usage(&self) -> Vec<TagUsage> {
        self.change(|core, _| {
            let of = |policy| TagUsage {
                policy,
                tags: core.tags(policy).used(),
                limit: MAX_TAGS - 1,
            };
            Policy::ALL.into_iter().map(of).collect()
        })
    }

    /// How full the tables are.
    #[must_use]
    pub fn usage(&self) -> Vec<Usage> {
        self.change(|core, _| {
            let of = |policy| {
                let (v4, v6) = core.table(policy).counts();
                let limit = core.limits().of(policy);
                let usage = move |is_ipv4, rules| Usage {
                    policy,
                    family: family(is_ipv4),
                    rules,
                    limit,
                };
                [usage(true, v4), usage(false, v6)]
            };
            [Policy::Drop, Policy::Ignore]
                .into_iter()
                .flat_map(of)
                .collect()
        })
    }
}

/// Counts the rules of removals, those of one rule in a row: the last one tells whether the rule is gone.
pub(crate) fn count_rules(
    outcome: &mut RemovedByTag,
    results: impl Iterator<Item = (Cidr, Result<Applied, FirewallError>)>,
) {
    let mut last: Option<(Cidr, Applied)> = None;
    let mut count = |(_, applied)| match applied {
        Applied::Removed => outcome.removed += 1,
        Applied::Released => outcome.released += 1,
        Applied::Added | Applied::Updated | Applied::Unchanged => {}
    };
    for (cidr, result) in results {
        let Ok(applied @ (Applied::Removed | Applied::Released)) = result else {
            continue;
        };
        if let Some(before) = last.filter(|(before, _)| *before != cidr) {
            count(before);
        }
        last = Some((cidr, applied));
    }
    last.into_iter().for_each(count);
}
