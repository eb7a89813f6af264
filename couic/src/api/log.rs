//! The audit log.

use couic_common::{Cidr, LOG_READ_DOWN_TO_HEADER};
use warp::http::{HeaderName, HeaderValue, StatusCode};

use super::{
    answer::{Answer, Outcome},
    call::Call,
    error::Fault,
    list,
};
use crate::logging::{AuditFilter, SearchError};

/// Entries in an answer by default.
const PAGE: usize = 100;

/// Entries in an answer at most.
const MAX_PAGE: usize = 1_000;

/// The longest name or action to search for, in bytes.
const LONGEST: usize = 200;

/// `GET /v1/log`.
pub(super) fn list(call: &Call) -> Outcome {
    let limit = match number(call, "limit")? {
        None => PAGE,
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=MAX_PAGE).contains(limit))
            .ok_or_else(|| {
                Fault::bad_request(format!("?limit= is a number from 1 to {MAX_PAGE}"))
            })?,
    };
    let filter = AuditFilter {
        since: number(call, "since")?,
        until: number(call, "until")?,
        address: call.query("address").map(network).transpose()?,
        tag: call.query("tag").map(list::pattern).transpose()?,
        actor: text(call, "actor")?,
        action: text(call, "action")?,
        policy: call.policy_query()?,
    };
    let off = || Fault::not_found("there is no audit log: [logging] audit is false");
    let files = call.api().audit.as_ref().ok_or_else(off)?;
    let found = files.search(&filter, limit)?;
    let answer = Answer::ok(&found.entries)?;
    Ok(match found.read_down_to {
        Some(time) => answer.header(
            HeaderName::from_static(LOG_READ_DOWN_TO_HEADER),
            HeaderValue::from(time),
        ),
        None => answer,
    })
}

fn number(call: &Call, name: &str) -> Result<Option<u64>, Fault> {
    let parsed = call.query(name).map(str::parse).transpose();
    parsed.map_err(|_| Fault::bad_request(format!("?{name}= is a number")))
}

fn text(call: &Call, name: &str) -> Result<Option<String>, Fault> {
    match call.query(name) {
        Some(text) if text.len() > LONGEST => {
            let message = format!("?{name}= is longer than {LONGEST} bytes");
            Err(Fault::bad_request(message))
        }
        text => Ok(text.map(str::to_owned)),
    }
}

/// An address, or a network.
fn network(text: &str) -> Result<Cidr, Fault> {
    let host = |_| Cidr::parse_address(text).map(Cidr::host);
    let parsed = text.parse().or_else(host);
    parsed.map_err(|error| Fault::bad_request(format!("?address=: {error}")))
}

impl From<SearchError> for Fault {
    fn from(error: SearchError) -> Self {
        match &error {
            SearchError::Busy => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                couic_common::ErrorCode::Internal,
                error.to_string(),
            ),
            SearchError::Io(_) => Self::internal("searching the audit log", &error),
        }
    }
}
