//! A request as handlers see it: authenticated, with parsed path variables.

use std::{borrow::Cow, net::IpAddr, sync::Arc};

use couic_common::{Cidr, ClientName, ConfirmId, NotifierName, Policy, SetName};
use couic_httpd::Exposition;
use percent_encoding::percent_decode_str;
use warp::http::{HeaderMap, header};

use super::{Api, answer::NDJSON, error::Fault};
use crate::rbac::{Identity, Right};
use couic_firewall::rules::{Actor, Firewall};

/// One request.
pub(super) struct Call {
    pub(super) api: Arc<Api>,
    /// The client. None on routes without a token.
    pub(super) who: Option<Arc<Identity>>,
    pub(super) params: Params,
    pub(super) query: Vec<(String, String)>,
    /// Whether the client asked for NDJSON instead of an array.
    pub(super) wants_lines: bool,
    /// The format of metrics text that the client prefers.
    pub(super) exposition: Exposition,
    /// The header `Last-Event-ID`.
    pub(super) last_event_id: Option<String>,
    /// Seconds after which the change is undone unless it is confirmed.
    pub(super) confirm_within: Option<u64>,
}

/// The variables of a path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Params {
    pub(super) policy: Option<Policy>,
    pub(super) ip: Option<IpAddr>,
    pub(super) cidr: Option<Cidr>,
    pub(super) set: Option<SetName>,
    pub(super) client: Option<ClientName>,
    pub(super) notifier: Option<NotifierName>,
    pub(super) confirmation: Option<ConfirmId>,
}

impl Call {
    pub(super) fn api(&self) -> &Api {
        &self.api
    }

    pub(super) fn firewall(&self) -> &Firewall {
        &self.api.firewall
    }

    pub(super) fn who(&self) -> Result<&Identity, Fault> {
        self.who
            .as_deref()
            .ok_or_else(|| missing("a route that needs to know the client wants no token"))
    }

    /// The client, as the author of a rule change.
    pub(super) fn actor(&self) -> Result<Actor, Fault> {
        Ok(Actor::Client(self.who()?.name.clone()))
    }

    pub(super) fn policy(&self) -> Result<Policy, Fault> {
        self.params.policy.ok_or_else(|| missing("no {policy}"))
    }

    pub(super) fn ip(&self) -> Result<IpAddr, Fault> {
        self.params.ip.ok_or_else(|| missing("no {ip}"))
    }

    pub(super) fn cidr(&self) -> Result<Cidr, Fault> {
        self.params.cidr.ok_or_else(|| missing("no {ip}/{prefix}"))
    }

    pub(super) fn set(&self) -> Result<&SetName, Fault> {
        self.params.set.as_ref().ok_or_else(|| missing("no {set}"))
    }

    pub(super) fn client(&self) -> Result<&ClientName, Fault> {
        self.params
            .client
            .as_ref()
            .ok_or_else(|| missing("no {client}"))
    }

    pub(super) fn notifier(&self) -> Result<&NotifierName, Fault> {
        self.params
            .notifier
            .as_ref()
            .ok_or_else(|| missing("no {notifier}"))
    }

    pub(super) fn confirmation(&self) -> Result<ConfirmId, Fault> {
        self.params
            .confirmation
            .ok_or_else(|| missing("no {confirmation}"))
    }

    /// A query parameter that is `true` or `false`; false if it is missing.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Fault> {
        match self.query(name) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(Fault::bad_request(format!("?{name}= is true or false"))),
        }
    }

    /// `?policy=`.
    pub(super) fn policy_query(&self) -> Result<Option<Policy>, Fault> {
        let parsed = self.query("policy").map(str::parse).transpose();
        parsed.map_err(|_| Fault::bad_request("?policy= is drop or ignore"))
    }

    /// Whether the request is about the claims of all clients and peers.
    ///
    /// # Errors
    /// 401 for a client that may not release those of others.
    pub(super) fn all_owners(&self) -> Result<bool, Fault> {
        let all = self.flag("all_owners")?;
        if all && !self.who()?.may(Right::PolicyDeleteAll) {
            let message = "only a client of group admin may end the claims of all owners";
            return Err(Fault::unauthorized(message));
        }
        Ok(all)
    }

    /// The first value of a query parameter.
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        let mut pairs = self.query.iter();
        pairs.find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// The route table and a handler disagree. No request can cause this; a test drives every route.
fn missing(what: &str) -> Fault {
    tracing::error!("a route's pattern does not fit its handler: {what}");
    Fault::internal_logged()
}

/// The values of `Accept`.
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(header::ACCEPT).iter();
    values.filter_map(|value| value.to_str().ok())
}

/// `Last-Event-ID`, which readers of event streams send after a break.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<String> {
    let value = headers.get("last-event-id")?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// The format of metrics text that `Accept` prefers.
pub(crate) fn exposition(headers: &HeaderMap, default: Exposition) -> Exposition {
    Exposition::accepted(accepted(headers), default)
}

/// Whether `Accept` names NDJSON.
pub(super) fn wants_lines(headers: &HeaderMap) -> bool {
    accepted(headers)
        .flat_map(|value| value.split(','))
        .any(|range| {
            let kind = range.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case(NDJSON)
        })
}

/// A path segment with its `%xx` decoded. One that is not UTF-8 matches no route.
pub(super) fn decoded(part: &str) -> Cow<'_, str> {
    if part.contains('%') {
        percent_decode_str(part).decode_utf8_lossy()
    } else {
        Cow::Borrowed(part)
    }
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    #[test]
    fn accept_is_read_as_a_list() {
        for (value, expected) in [
            ("application/x-ndjson", true),
            ("application/json, Application/X-NDJSON;q=0.5", true),
            ("application/json", false),
            ("*/*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(value));
            assert_eq!(wants_lines(&headers), expected, "{value}");
        }
    }

    #[test]
    fn parts_are_decoded_once() {
        assert_eq!(decoded("2001%3adb8%3A%3A"), "2001:db8::");
        assert_eq!(decoded("%2564rop"), "%64rop");
        assert_eq!(decoded("a%2Fb"), "a/b");
        assert_eq!(decoded("%ff%"), "\u{fffd}%");
    }
}
