//! Changes that wait to be confirmed, and how the other routes make them.
//!
//! A request that changes something may have the header `Couic-Confirm-Within: SECONDS`. Its answer then names the id
//! to confirm. Without the header there is no overhead.

use std::sync::Arc;

use couic_common::{CONFIRM_WITHIN_HEADER, CONFIRM_WITHIN_MAX, ClientName, ConfirmId, Confirmed};
use warp::http::HeaderMap;

use super::{
    answer::{Answer, Outcome},
    call::Call,
    error::Fault,
};
use crate::rbac::Right;
use couic_firewall::confirm::ChangeSession;

/// Parses `Couic-Confirm-Within`, in seconds.
///
/// # Errors
/// 400.
pub(super) fn within(headers: &HeaderMap) -> Result<Option<u64>, Fault> {
    let mut values = headers.get_all(CONFIRM_WITHIN_HEADER).iter();
    let (value, None) = (values.next(), values.next()) else {
        return Err(wrong());
    };
    let Some(value) = value else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let seconds = text
        .parse()
        .ok()
        .filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    match seconds {
        Some(seconds) if (1..=CONFIRM_WITHIN_MAX).contains(&seconds) => Ok(Some(seconds)),
        _ => Err(wrong()),
    }
}

fn wrong() -> Fault {
    Fault::bad_request(format!(
        "{CONFIRM_WITHIN_HEADER} is a number of seconds from 1 to {CONFIRM_WITHIN_MAX}, once"
    ))
}

/// The error on routes that cannot be undone, so that no client relies on the header.
pub(super) fn not_here() -> Fault {
    Fault::bad_request(format!(
        "{CONFIRM_WITHIN_HEADER} is not accepted on this route: its changes cannot be undone"
    ))
}

/// `GET /v1/confirm`.
pub(super) fn list(call: &Call) -> Outcome {
    let all = call.api().confirmations.list(whose(call)?.as_ref());
    Answer::ok(&all)
}

/// `POST /v1/confirm`.
pub(super) fn all(call: &Call) -> Outcome {
    // Other clients' changes are confirmed one by one, by id.
    let who = call.who()?;
    let listed = call.api().confirmations.list(Some(&who.name));
    if listed.pending.is_empty() {
        let last = listed.reverted.last().map(|last| {
            let ago = call.firewall().now().saturating_sub(last.at);
            format!("; {} ({}) was undone {ago} s ago", last.id, last.summary)
        });
        let message = format!(
            "no change of yours waits to be confirmed{}",
            last.unwrap_or_default()
        );
        return Err(Fault::not_found(message));
    }
    let mut confirmed = Vec::new();
    for change in listed.pending {
        call.api()
            .confirmations
            .confirm(change.id, Some(&who.name))?;
        confirmed.push(change.id);
    }
    Answer::ok(&Confirmed { confirmed })
}

/// `POST /v1/confirm/{id}`.
pub(super) fn one(call: &Call) -> Outcome {
    let id = call.confirmation()?;
    call.api()
        .confirmations
        .confirm(id, whose(call)?.as_ref())?;
    let confirmed = vec![id];
    Answer::ok(&Confirmed { confirmed })
}

/// `DELETE /v1/confirm/{id}`.
pub(super) fn undo(call: &Call) -> Outcome {
    let id: ConfirmId = call.confirmation()?;
    Answer::ok(&call.api().confirmations.undo(id, whose(call)?.as_ref())?)
}

/// The client whose changes this one may see: itself, or any (None).
fn whose(call: &Call) -> Result<Option<ClientName>, Fault> {
    let who = call.who()?;
    Ok((!who.may(Right::ConfirmAny)).then(|| who.name.clone()))
}

/// Begins the change of a request, confirmable if the request asks for that.
pub(super) fn begin(call: &Call, summary: impl FnOnce() -> String) -> Result<ChangeSession, Fault> {
    let Some(within) = call.confirm_within else {
        return Ok(ChangeSession::Immediate(Arc::clone(&call.api().firewall)));
    };
    let all = Arc::clone(&call.api().confirmations);
    let change = all.begin(&call.who()?.name, within, summary())?;
    Ok(ChangeSession::Confirmable(change))
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    #[test]
    fn the_header_counts_once() {
        let mut headers = HeaderMap::new();
        assert_eq!(within(&headers).unwrap(), None);
        headers.append(CONFIRM_WITHIN_HEADER, HeaderValue::from_static("60"));
        assert_eq!(within(&headers).unwrap(), Some(60));
        headers.append(CONFIRM_WITHIN_HEADER, HeaderValue::from_static("60"));
        assert!(within(&headers).is_err());
    }
}
