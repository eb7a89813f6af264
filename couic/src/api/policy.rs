//! Entries, one at a time, and their removal by tag.

use std::{net::IpAddr, sync::Arc};

use couic_common::{Entry, EntryRequest, Metadata, RuleKey, Tag};
use warp::http::StatusCode;

use super::{
    answer::{Answer, JSON, Outcome},
    body::Body,
    call::Call,
    confirm, entry_json,
    error::Fault,
    guard::{self, Asked},
    list, scope, validate,
};
use couic_firewall::{
    confirm::Ticket,
    guard::Change,
    rules::{ClaimScope, Job, Origin},
};

/// `POST /v1/{policy}`.
pub(super) fn create(call: &Call, body: &Body) -> Outcome {
    let policy = call.policy()?;
    let mut request: EntryRequest = body.json()?;
    let now = call.firewall().now();
    let claim = validate::entry(&request, now)?;
    scope::rails(call, Asked::of(&request))?;
    scope::add(call, std::slice::from_ref(&claim), now)?;
    let cidr = claim.cidr;
    let mapped = is_mapped(&request.cidr);
    let (check, actor) = (guard::check(call, Asked::of(&request)), call.actor()?);
    let scope = ClaimScope {
        tag: Some(claim.tag.clone()),
        all_owners: false,
    };
    let until = guard::judged_until(policy, claim.expiration, request.longer);
    let change = Change::Add(RuleKey::new(policy, cidr), &scope, &actor, until);
    let (permit, lifted) = guard::judge(call, check.as_ref(), &[change], Some(&request.cidr))?;
    let metadata = request.metadata.take().map(Arc::new);
    let job = if request.longer {
        Job::Extend(claim, metadata)
    } else {
        Job::Add(claim, metadata)
    };
    let (entry, ticket) = commit(call, job, || format!("{policy} add {cidr}"))?;
    drop(permit);
    let answer = one(StatusCode::CREATED, &entry, mapped)?;
    Ok(answer.confirmable(ticket).over(lifted))
}

/// `GET /v1/{policy}/{ip}/{prefix}`.
pub(super) fn get(call: &Call) -> Outcome {
    let (policy, cidr) = (call.policy()?, call.cidr()?);
    let key = RuleKey::new(policy, cidr);
    let entry = if call.flag("owners")? {
        call.firewall().entry_with_owners(key)
    } else {
        call.firewall().entry(key)
    };
    let entry = entry.ok_or_else(|| Fault::not_found(format!("{policy} {cidr} is not there")))?;
    let mapped = call.ip()?.to_canonical() != call.ip()?;
    one(StatusCode::OK, &entry, mapped)
}

/// `DELETE /v1/{policy}/{ip}/{prefix}`.
pub(super) fn delete(call: &Call) -> Outcome {
    let (policy, cidr) = (call.policy()?, call.cidr()?);
    let key = RuleKey::new(policy, cidr);
    let tag = call.query("tag").map(tag_of_claim).transpose()?;
    let all_owners = call.all_owners()?;
    let (asked, actor) = (guard::in_query(call)?, call.actor()?);
    scope::rails(call, Asked::from(&asked))?;
    scope::remove(call, key, tag.as_ref())?;
    let scope = ClaimScope { tag, all_owners };
    let check = guard::check(call, Asked::from(&asked));
    let change = Change::Remove(key, &scope, &actor);
    let (permit, lifted) = guard::judge(call, check.as_ref(), &[change], None)?;
    let job = Job::Remove(cidr, scope.clone(), reason(call));
    let (_, ticket) = commit(call, job, || {
        format!("{policy} delete {cidr}{}", whose(all_owners))
    })?;
    drop(permit);
    let left = call.firewall().entry_with_owners(key);
    let left = left.map(|entry| entry.owners).unwrap_or_default();
    let answer = Answer::no_content().confirmable(ticket);
    Ok(answer.held_by(&left).over(lifted))
}

/// How a summary tells that the claims of others end, too.
const fn whose(all_owners: bool) -> &'static str {
    if all_owners { " --all-owners" } else { "" }
}

/// Why entries are removed, as `?reason=` says, for reports.
fn reason(call: &Call) -> Option<Arc<Metadata>> {
    let text = call.query("reason").filter(|text| !text.trim().is_empty());
    text.map(|text| {
        Arc::new(Metadata {
            kind: "reason".to_owned(),
            detail: text.to_owned(),
            extra: None,
        })
    })
}

/// The tag of the claim to release: one tag, no pattern.
fn tag_of_claim(text: &str) -> Result<Option<Tag>, Fault> {
    match validate::tag_of_claim(text) {
        Ok(Some(tag)) => Ok(tag),
        Ok(None) => Err(Fault::bad_request(NO_TAG)),
        Err(error) => Err(Fault::bad_request(format!("?tag=: {error}"))),
    }
}

/// The answer to an empty `?tag=`: an unset variable of a script must not mean "all claims", nor "those without a tag".
const NO_TAG: &str = "the tag is empty; for entries without a tag say ?tag=untagged";

/// Commits a change of one rule, confirmable if the request asks for that.
fn commit(
    call: &Call,
    job: Job,
    summary: impl FnOnce() -> String,
) -> Result<(Entry, Option<Ticket>), Fault> {
    let (policy, actor) = (call.policy()?, call.actor()?);
    let mut change = confirm::begin(call, summary)?;
    let entry = change.execute(policy, job, actor)??;
    Ok((entry, change.finish()))
}

/// `DELETE /v1/{policy}?tag=T`.
pub(super) fn delete_by_tag(call: &Call) -> Outcome {
    let Some(tag) = call.query("tag") else {
        let message = "say which entries: ?tag=PATTERN, where * stands for any characters";
        return Err(Fault::bad_request(message));
    };
    if tag.split(',').any(|part| part.trim().is_empty()) {
        return Err(Fault::bad_request(NO_TAG));
    }
    let pattern = list::pattern(tag)?;
    let (policy, actor) = (call.policy()?, call.actor()?);
    let all_owners = call.all_owners()?;
    let asked = guard::in_query(call)?;
    scope::rails(call, Asked::from(&asked))?;
    let pattern = scope::within(call, pattern)?;
    let check = guard::check(call, Asked::from(&asked));
    let judged = Change::RemoveByTag(policy, &pattern, all_owners, &actor);
    let (permit, lifted) = guard::judge(call, check.as_ref(), &[judged], None)?;
    let origin = Origin {
        actor: actor.clone(),
        metadata: reason(call),
    };
    let mut change = confirm::begin(call, || {
        format!("{policy} delete --tag {tag:.40}{}", whose(all_owners))
    })?;
    let removed = change.remove_by_tag(policy, &pattern, all_owners, &origin)?;
    drop(permit);
    let answer = Answer::ok(&removed)?;
    Ok(answer.confirmable(change.finish()).over(lifted))
}

/// Whether a CIDR is written in the IPv4-mapped form.
fn is_mapped(cidr: &str) -> bool {
    let ip = cidr.split('/').next().map(str::parse::<IpAddr>);
    ip.is_some_and(|ip| ip.is_ok_and(|ip| ip.to_canonical() != ip))
}

/// An answer of one entry. One who asks for it in the IPv4-mapped form gets it in that form, as from Couic 1.0.
fn one(status: StatusCode, entry: &Entry, mapped: bool) -> Outcome {
    if let Some(cidr) = entry.cidr.as_mapped().filter(|_| mapped) {
        let mut value = serde_json::to_value(entry)
            .map_err(|error| Fault::internal("writing an entry", &error))?;
        value["cidr"] = cidr.into();
        return Answer::json(status, &value);
    }
    let mut body = Vec::with_capacity(entry_json::ENTRY_MAX);
    entry_json::write(&mut body, entry);
    Ok(Answer::whole(status, JSON, body))
}
