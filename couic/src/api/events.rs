//! `GET /v1/events`: changes of rules as they happen.

use std::sync::Arc;

use couic_common::{ErrorCode, EventId};
use warp::http::{HeaderValue, StatusCode, header};

use super::{
    answer::{Answer, EVENT_STREAM, Outcome},
    call::Call,
    error::Fault,
    list,
};
use crate::events::{NoPlace, Reader, Start, Wanted};

pub(super) fn stream(call: &Call) -> Outcome {
    let wanted = Wanted {
        policy: call.policy_query()?,
        tag: call.query("tag").map(list::pattern).transpose()?,
        follow: follow(call)?,
    };
    let start = match after(call)? {
        Some(id) => Start::After(id),
        None if wanted.follow => Start::Now,
        None => Start::Oldest,
    };
    let missing = || Fault::internal_logged();
    let who = call.who.clone().ok_or_else(missing)?;
    let place = call.api.events.place(&who.name, who.group)?;
    let api = Arc::clone(&call.api);
    let admitted = move || api.clients.admits(&who, api.firewall.now());
    let reader = Reader::new(place, start, wanted, admitted);
    let answer = Answer::endless(EVENT_STREAM, Box::pin(reader.into_stream()));
    let fresh = HeaderValue::from_static("no-store");
    Ok(answer.header(header::CACHE_CONTROL, fresh))
}

/// The header is newer than the query, which programs keep when they connect again.
fn after(call: &Call) -> Result<Option<EventId>, Fault> {
    let given = [
        ("Last-Event-ID", call.last_event_id.as_deref()),
        ("?after=", call.query("after")),
    ];
    let given = given.into_iter().find_map(|(name, id)| Some((name, id?)));
    let parsed = given.map(|(name, id)| {
        let wrong = |e| Fault::bad_request(format!("{name}: {e}"));
        id.parse().map_err(wrong)
    });
    parsed.transpose()
}

fn follow(call: &Call) -> Result<bool, Fault> {
    match call.query("follow") {
        None => Ok(true),
        Some(_) => call.flag("follow"),
    }
}

impl From<NoPlace> for Fault {
    fn from(no: NoPlace) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            ErrorCode::Internal,
            no.to_string(),
        )
    }
}
