//! Entries, one at a time, and their removal by tag.

use std::sync::Arc;

use couic_common::{Entry, EntryRequest, RemovedByTag};
use warp::http::StatusCode;

use super::{
    answer::{Answer, JSON, Outcome},
    body::Body,
    call::Call,
    entry_json,
    error::Fault,
    judge, list,
};
use crate::firewall::Origin;

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
    let entry = firewall.add(policy, &rule, &origin)?;
    Ok(one(StatusCode::CREATED, &entry))
}

/// `GET /v1/{policy}/{ip}/{prefix}`.
pub(super) fn get(call: &Call) -> Outcome {
    let (policy, cidr) = (call.policy()?, call.cidr()?);
    let entry = call.firewall().entry(policy, cidr);
    let entry = entry.ok_or_else(|| Fault::not_found(format!("{policy} {cidr} is not there")))?;
    Ok(one(StatusCode::OK, &entry))
}

/// `DELETE /v1/{policy}/{ip}/{prefix}`.
pub(super) fn delete(call: &Call) -> Outcome {
    let origin = Origin {
        actor: call.actor()?,
        metadata: None,
    };
    call.firewall()
        .remove(call.policy()?, call.cidr()?, &origin)?;
    Ok(Answer::no_content())
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
    let origin = Origin {
        actor: call.actor()?,
        metadata: None,
    };
    let removed = call
        .firewall()
        .remove_by_tag(call.policy()?, &pattern, &origin);
    Answer::ok(&RemovedByTag { removed })
}

fn one(status: StatusCode, entry: &Entry) -> Answer {
    let mut body = Vec::with_capacity(entry_json::ENTRY_MAX);
    entry_json::write(&mut body, entry);
    Answer::whole(status, JSON, body)
}
