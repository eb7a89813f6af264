//! Entries, one at a time, and their removal by tag.

use std::sync::Arc;

use couic_common::{Entry, EntryRequest, Policy, RemovedByTag, RuleKey, TagPattern};
use warp::http::StatusCode;

use super::{
    answer::{Answer, JSON, Outcome},
    body::Body,
    call::Call,
    confirm, entry_json,
    error::Fault,
    judge, list,
};
use couic_firewall::{
    confirm::{Change, Draft},
    rules::{Applied, Job, Origin},
};

/// `POST /v1/{policy}`.
pub(super) fn create(call: &Call, body: &Body) -> Outcome {
    let policy = call.policy()?;
    let mut request: EntryRequest = body.json()?;
    let firewall = call.firewall();
    let rule = judge::entry(&call.api().guard, policy, &request, firewall.now())?;
    let origin = Origin {
        actor: call.actor()?,
        metadata: request.metadata.take().map(Arc::new),
    };
    let summary = || format!("{policy} add {}", rule.cidr);
    let Some(draft) = confirm::draft(call, summary)? else {
        let entry = firewall.add(policy, &rule, &origin)?;
        return Ok(one(StatusCode::CREATED, &entry));
    };
    let job = Job::Add(rule.clone(), None);
    let foretold = firewall.foretell(policy, &job, &origin.actor);
    let work = || Ok(firewall.add_seen(policy, &rule, &origin)?);
    confirm::making(draft, foretold, work, |entry| {
        Ok(one(StatusCode::CREATED, &entry))
    })
}

/// `GET /v1/{policy}/{ip}/{prefix}`.
pub(super) fn get(call: &Call) -> Outcome {
    let (policy, cidr) = (call.policy()?, call.cidr()?);
    let entry = call.firewall().entry(RuleKey::new(policy, cidr));
    let entry = entry.ok_or_else(|| Fault::not_found(format!("{policy} {cidr} is not there")))?;
    Ok(one(StatusCode::OK, &entry))
}

/// `DELETE /v1/{policy}/{ip}/{prefix}`.
pub(super) fn delete(call: &Call) -> Outcome {
    let origin = Origin {
        actor: call.actor()?,
        metadata: None,
    };
    let (firewall, policy, cidr) = (call.firewall(), call.policy()?, call.cidr()?);
    let Some(draft) = confirm::draft(call, || format!("{policy} delete {cidr}"))? else {
        firewall.remove(RuleKey::new(policy, cidr), &origin)?;
        return Ok(Answer::no_content());
    };
    let job = Job::Remove(cidr, None);
    let foretold = firewall.foretell(policy, &job, &origin.actor);
    let work = || Ok(firewall.remove_seen(RuleKey::new(policy, cidr), &origin)?);
    confirm::making(draft, foretold, work, |_| Ok(Answer::no_content()))
}

/// `DELETE /v1/{policy}?tag=T`.
pub(super) fn delete_by_tag(call: &Call) -> Outcome {
    let Some(tag) = call.query("tag") else {
        let message = "say which entries: ?tag=PATTERN, where * stands for any characters";
        return Err(Fault::bad_request(message));
    };
    // What an unset variable of a script becomes must not mean "all entries without a tag".
    if tag.split(',').any(|part| part.trim().is_empty()) {
        let message = "the tag is empty; for entries without a tag say ?tag=untagged";
        return Err(Fault::bad_request(message));
    }
    let pattern = list::pattern(tag)?;
    let policy = call.policy()?;
    if let Some(draft) = confirm::draft(call, || format!("{policy} delete --tag {tag:.40}"))? {
        return delete_confirmably(call, policy, &pattern, draft);
    }
    let origin = Origin {
        actor: call.actor()?,
        metadata: None,
    };
    let removed = call.firewall().remove_by_tag(policy, &pattern, &origin);
    Answer::ok(&RemovedByTag { removed })
}

/// The same, page by page with the way back of each. What was removed before a page that cannot be kept waits to be
/// confirmed as well.
fn delete_confirmably(
    call: &Call,
    policy: Policy,
    pattern: &TagPattern,
    mut draft: Draft,
) -> Outcome {
    let (firewall, actor) = (call.firewall(), call.actor()?);
    let (mut removed, mut after) = (0, None);
    loop {
        let (found, last) = firewall.removable_by_tag(policy, pattern, &actor, after);
        let jobs = || found.iter().map(|cidr| Job::Remove(*cidr, None));
        let foretold = jobs().flat_map(|job| firewall.foretell(policy, &job, &actor));
        draft.will(foretold.map(Change::Claim).collect())?;
        let mut seen = Vec::new();
        for job in jobs() {
            if let Ok((Applied::Removed, gone)) = firewall.apply_seen(policy, job, &actor) {
                removed += 1;
                seen.extend(gone.into_iter().map(Change::Claim));
            }
        }
        draft.did(seen);
        if last.is_none() {
            break;
        }
        after = last;
    }
    Ok(Answer::ok(&RemovedByTag { removed })?.confirmable(draft.finish()))
}

fn one(status: StatusCode, entry: &Entry) -> Answer {
    let mut body = Vec::with_capacity(entry_json::ENTRY_MAX);
    entry_json::write(&mut body, entry);
    Answer::whole(status, JSON, body)
}
