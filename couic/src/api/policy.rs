//! Entries, one at a time, and their removal by tag.

use std::sync::Arc;

use couic_common::{Entry, EntryRequest, RuleKey, Tag};
use warp::http::StatusCode;

use super::{
    answer::{Answer, JSON, Outcome},
    body::Body,
    call::Call,
    confirm, entry_json,
    error::Fault,
    list, validate,
};
use couic_firewall::{
    confirm::Ticket,
    rules::{ClaimScope, Job},
};

/// `POST /v1/{policy}`.
pub(super) fn create(call: &Call, body: &Body) -> Outcome {
    let policy = call.policy()?;
    let mut request: EntryRequest = body.json()?;
    let claim = validate::entry(&call.api().guard, policy, &request, call.firewall().now())?;
    let cidr = claim.cidr;
    let job = Job::Add(claim, request.metadata.take().map(Arc::new));
    let (entry, ticket) = commit(call, job, || format!("{policy} add {cidr}"))?;
    Ok(one(StatusCode::CREATED, &entry).confirmable(ticket))
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
    Ok(one(StatusCode::OK, &entry))
}

/// `DELETE /v1/{policy}/{ip}/{prefix}`.
pub(super) fn delete(call: &Call) -> Outcome {
    let (policy, cidr) = (call.policy()?, call.cidr()?);
    let tag = call.query("tag").map(tag_of_claim).transpose()?;
    let all_owners = call.all_owners()?;
    let job = Job::Remove(cidr, ClaimScope { tag, all_owners }, None);
    let (_, ticket) = commit(call, job, || {
        format!("{policy} delete {cidr}{}", whose(all_owners))
    })?;
    let left = call
        .firewall()
        .entry_with_owners(RuleKey::new(policy, cidr));
    let left = left.map(|entry| entry.owners).unwrap_or_default();
    Ok(Answer::no_content().confirmable(ticket).held_by(&left))
}

/// How a summary tells that the claims of others end, too.
const fn whose(all_owners: bool) -> &'static str {
    if all_owners { " --all-owners" } else { "" }
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
    let mut change = confirm::begin(call, || {
        format!("{policy} delete --tag {tag:.40}{}", whose(all_owners))
    })?;
    let removed = change.remove_by_tag(policy, &pattern, all_owners, actor)?;
    Ok(Answer::ok(&removed)?.confirmable(change.finish()))
}

fn one(status: StatusCode, entry: &Entry) -> Answer {
    let mut body = Vec::with_capacity(entry_json::ENTRY_MAX);
    entry_json::write(&mut body, entry);
    Answer::whole(status, JSON, body)
}
