//! Authenticates and authorizes requests: once, for all routes, before anything but method and path is validated.
//!
//! Every refusal is a 401: a token without the right looks like no token. The token is used for the comparison alone. What
//! a client's group may do and its limits refuse is a 403, from [`super::scope`].

use std::sync::Arc;

use couic_firewall::rules::Request;
use uuid::Uuid;
use warp::http::{HeaderMap, header};

use super::{error::Fault, table::Access};
use crate::rbac::{ClientStore, Identity};

/// The client that sent a request at `now`, Unix seconds; None on routes without a token.
///
/// # Errors
/// 401.
pub(super) fn authorize(
    (clients, now): (&ClientStore, u64),
    headers: &HeaderMap,
    access: Access,
    request: &Request,
) -> Result<Option<Arc<Identity>>, Fault> {
    let rights = match access {
        Access::Open => return Ok(None),
        Access::Any => &[],
        Access::Rights(rights) => rights,
    };
    let token = bearer(headers).ok_or_else(|| {
        Fault::unauthorized("send Authorization: Bearer with your client's token")
    })?;
    let who = clients
        .authenticate(&token, now)
        .map_err(|refused| Fault::unauthorized(&refused.to_string()))?;
    let _ = request.client.set(who.name.clone());
    if rights.iter().all(|right| who.may(*right)) {
        Ok(Some(who))
    } else {
        let Identity { name, group, .. } = &*who;
        let message = format!("the client {name} is in group {group}, which may not do this");
        Err(Fault::unauthorized(&message))
    }
}

/// The token of the only `Authorization` header. The case of the scheme does not matter (RFC 9110, 11.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<Uuid> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let (scheme, token) = value.as_bytes().split_at_checked(b"Bearer ".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"Bearer ");
    is_bearer.then(|| Uuid::try_parse_ascii(token).ok())?
}

#[cfg(test)]
mod tests {
    use warp::http::HeaderValue;

    use super::*;

    #[test]
    fn only_one_bearer_uuid_will_do() {
        let token = "bbfa1388-3218-463c-9722-6805507c14bb";
        let read = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append(header::AUTHORIZATION, value);
            }
            bearer(&headers).map(|t| t.to_string())
        };
        let good = format!("Bearer {token}");
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let value = format!("{scheme} {token}");
            assert_eq!(read(&[&value]).as_deref(), Some(token), "{scheme}");
        }
        for bad in [
            token.to_owned(),
            format!("Bearer\t{token}"),
            format!("bearerx {token}"),
            format!("Bearer  {token}"),
            format!("Bearer {token} "),
            format!("Basic {token}"),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            "Bearer x".to_owned(),
            "Bearer é".to_owned(),
        ] {
            assert_eq!(read(&[&bad]), None, "{bad}");
        }
        assert_eq!(read(&[&good, &good]), None);
        assert_eq!(read(&[]), None);
    }
}
