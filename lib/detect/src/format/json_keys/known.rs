//! The keys of the servers that are known by name.

use super::Field;

/// Caddy's `http.log.access` (2.4 and later). `client_ip` is not the peer: Caddy may have it from a header.
pub(super) const CADDY: &[(Field, &str)] = &[
    (Field::Peer, "request.remote_ip"),
    (Field::Peer, "request.remote_addr"),
    (Field::Forwarded, "request.headers.X-Forwarded-For"),
    (Field::Time, "ts"),
    (Field::Method, "request.method"),
    (Field::Path, "request.uri"),
    (Field::Status, "status"),
    (Field::Host, "request.host"),
    (Field::Agent, "request.headers.User-Agent"),
    (Field::User, "user_id"),
];
/// Only the access log: `http.log.error` tells of the same requests.
pub(super) const CADDY_LOGGER: (&str, &[u8]) = ("logger", b"http.log.access");

/// Traefik's access log. `ClientHost` is not the peer: it is `X-Forwarded-For`, if the client sends one.
pub(super) const TRAEFIK: &[(Field, &str)] = &[
    (Field::Peer, "ClientAddr"),
    (Field::Forwarded, "request_X-Forwarded-For"),
    (Field::Time, "StartUTC"),
    (Field::Time, "time"),
    (Field::Method, "RequestMethod"),
    (Field::Path, "RequestPath"),
    (Field::Status, "DownstreamStatus"),
    (Field::Host, "RequestHost"),
    (Field::Host, "RequestAddr"),
    (Field::Agent, "request_User-Agent"),
    (Field::User, "ClientUsername"),
];

/// The names that `log_format … escape=json` usually has: those of nginx's variables.
pub(super) const NGINX: &[(Field, &str)] = &[
    (Field::Peer, "remote_addr"),
    (Field::Forwarded, "http_x_forwarded_for"),
    (Field::Forwarded, "x_forwarded_for"),
    (Field::Time, "time_iso8601"),
    (Field::Time, "time_local"),
    (Field::Time, "msec"),
    (Field::Time, "@timestamp"),
    (Field::Time, "timestamp"),
    (Field::Time, "time"),
    (Field::Request, "request"),
    (Field::Method, "request_method"),
    (Field::Method, "method"),
    (Field::Path, "request_uri"),
    (Field::Path, "uri"),
    (Field::Query, "args"),
    (Field::Query, "query_string"),
    (Field::Status, "status"),
    (Field::Host, "host"),
    (Field::Host, "http_host"),
    (Field::Host, "server_name"),
    (Field::Agent, "http_user_agent"),
    (Field::Agent, "user_agent"),
    (Field::User, "remote_user"),
];
