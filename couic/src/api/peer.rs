//! Adds and removes from a peer, all validated before the first is applied.
//!
//! A peer's changes are its own claims: it renews and removes what it added, and nothing else. Repeating a known change
//! is no error, so a peer may retry after a failure.

use std::sync::Arc;

use couic_common::{Cidr, Group, PeerAction, PeerJob, Policy, RuleKey, Tag, counted};

use super::{
    answer::{Answer, Outcome},
    body::Body,
    call::Call,
    error::Fault,
    guard::{self, Asked},
    validate::{self, Defects},
};
use couic_firewall::{
    guard::{Change, Guard},
    rules::{Actor, ClaimScope, Firewall, FirewallError, Job},
};

/// How many jobs are applied under one hold of the rules lock.
const CHUNK: usize = 4096;

/// `POST /v1/{policy}/peer`.
pub(super) fn apply(call: &Call, body: &Body) -> Outcome {
    let policy = call.policy()?;
    let wanted: Vec<PeerJob> = body.json().map_err(Fault::unprocessable)?;
    let mut jobs = validated(call, policy, &wanted)?;
    within_limits(call, policy, &jobs)?;
    let actor = Actor::Peer(call.who()?.name.clone());
    let firewall = call.firewall();
    has_room(firewall, policy, &jobs)?;
    let mut failures = Defects::default();
    let mut index = 0;
    while !jobs.is_empty() {
        let rest = jobs.split_off(jobs.len().min(CHUNK));
        for result in firewall.apply(policy, jobs, &actor) {
            match result {
                Err(error @ FirewallError::Plane(_)) => return Err(error.into()),
                Err(error) => failures.refused(field(index, "cidr"), error.to_string()),
                Ok(_) => {}
            }
            index += 1;
        }
        jobs = rest;
    }
    failures.none()?;
    Answer::created(&wanted)
}

/// With peering on, the limits for registers apply to plain jobs, too. An admin is no peer.
fn within_limits(call: &Call, policy: Policy, jobs: &[Job]) -> Result<(), Fault> {
    let (Some(engine), who) = (&call.api().peering, call.who()?) else {
        return Ok(());
    };
    if who.group != Group::Peering {
        return Ok(());
    }
    let adds = jobs.iter().filter(|job| !matches!(job, Job::Remove(..)));
    let (limits, admitted) = engine.admit(&who.name, adds.count());
    let mut defects = Defects::default();
    for (index, job) in jobs.iter().enumerate() {
        let checked = match job {
            Job::Add(rule, _) | Job::Extend(rule, _) => limits.validate(
                RuleKey::new(policy, rule.cidr),
                rule.tag.as_ref().map(Tag::as_str),
            ),
            Job::Remove(..) => Ok(()),
        };
        if let Err(refusal) = checked {
            defects.refused(field(index, "cidr"), refusal.to_string());
        }
    }
    defects.none()?;
    let keys: Vec<RuleKey> = jobs
        .iter()
        .filter_map(|job| match job {
            Job::Add(rule, _) | Job::Extend(rule, _) => Some(RuleKey::new(policy, rule.cidr)),
            Job::Remove(..) => None,
        })
        .collect();
    if let Some(refusal) = engine.beyond_share(&who.name, &keys) {
        return Err(Fault::refused("[]", refusal.to_string()));
    }
    if admitted {
        return Ok(());
    }
    let most = limits.adds_per_second;
    let adds = counted(u64::from(most), "add", "adds");
    let message = format!("more than {adds} a second are not accepted from this peer");
    Err(Fault::refused("[]", message))
}

/// Parses the jobs and asks the guard rails, which hold for peers as for set files. A job may ask for all of them; an
/// admin may go over them.
fn validated(call: &Call, policy: Policy, wanted: &[PeerJob]) -> Result<Vec<Job>, Fault> {
    let now = call.firewall().now();
    let rails = call.firewall().guard();
    let standing = rails.map(Guard::for_sets_and_peers);
    // A peer is trusted with bans, not with this host's life line.
    let may_force = call.who()?.group != Group::Peering;
    let actor = Actor::Peer(call.who()?.name.clone());
    let mut defects = Defects::default();
    let mut jobs = Vec::with_capacity(wanted.len());
    for (index, PeerJob { action, entry }) in wanted.iter().enumerate() {
        let metadata = || entry.metadata.clone().map(Arc::new);
        // Tag and expiration of a remove are ignored: the entry may have expired on the way.
        let (tag, expiration) = match action {
            PeerAction::Add => {
                let expiration = validate::expires(entry.expiration, entry.ttl, now);
                (entry.tag.as_deref(), expiration)
            }
            PeerAction::Remove => (None, 0),
        };
        let defect = |name: &'static str, message| defects.invalid(field(index, name), message);
        let Some(rule) = validate::rule(&entry.cidr, tag, expiration, now, defect) else {
            continue;
        };
        let key = RuleKey::new(policy, rule.cidr);
        let change = match action {
            PeerAction::Add => {
                let judged = guard::judged_until(policy, expiration, entry.longer);
                Change::Add(key, &ClaimScope::OWN, &actor, judged)
            }
            PeerAction::Remove => Change::Remove(key, &ClaimScope::OWN, &actor),
        };
        let own = entry
            .guard
            .as_ref()
            .and_then(|_| guard::check(call, Asked::of(entry)));
        let check = own.as_ref().or(standing.as_ref());
        let check = check.filter(|_| !(entry.force && may_force));
        // Applied once all are judged. A peer is not told of a force that does not count for it.
        let judged = check.map(|check| check.judge(call.firewall(), &[change]).map(drop));
        if let Some(Err(refusal)) = judged {
            let message = if may_force {
                refusal.to_string()
            } else {
                refusal.reason_alone()
            };
            defects.guarded(field(index, "cidr"), message, refusal.reason.rail());
        }
        jobs.push(match action {
            PeerAction::Remove => Job::Remove(rule.cidr, ClaimScope::OWN, metadata()),
            PeerAction::Add if entry.longer => Job::Extend(rule, metadata()),
            PeerAction::Add => Job::Add(rule, metadata()),
        });
    }
    defects.none()?;
    Ok(jobs)
}

/// Refuses more new rules than there is room for, before any is added. Concurrent changes may still fill the table;
/// the answer then lists the jobs that failed.
fn has_room(firewall: &Firewall, policy: Policy, jobs: &[Job]) -> Result<(), Fault> {
    let usage = firewall.usage();
    for usage in usage.iter().filter(|usage| usage.policy == policy) {
        let ipv4 = usage.family == "IPv4";
        let room = usage.limit.saturating_sub(usage.rules);
        let added = jobs.iter().filter_map(|job| match job {
            Job::Add(rule, _) | Job::Extend(rule, _) if rule.cidr.is_ipv4() == ipv4 => {
                Some(rule.cidr)
            }
            _ => None,
        });
        if added.clone().count() <= room {
            continue;
        }
        let mut new: Vec<Cidr> = added.collect();
        new.sort_unstable();
        new.dedup();
        new.retain(|cidr| firewall.entry(RuleKey::new(policy, *cidr)).is_none());
        if new.len() > room {
            let (family, limit) = (usage.family, usage.limit);
            return Err(FirewallError::Full {
                policy,
                family,
                limit,
            }
            .into());
        }
    }
    Ok(())
}

fn field(index: usize, name: &str) -> String {
    format!("[{index}].entry.{name}")
}
