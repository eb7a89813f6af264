//! nginx's variables: which of them clients write, and which mean something here.

use super::super::{clock::CLF, json_keys::Field};

/// Who writes a variable's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writer {
    /// The server, without spaces and other separators; the number of bytes if it is always the same.
    Server(Option<usize>),
    /// The client, or something whose text may have any shape, as that of an upstream.
    Other,
}

/// Those that the server writes, without spaces. Any other may hold what a client likes.
const SERVER: &[&str] = &[
    "body_bytes_sent",
    "bytes_sent",
    "connection",
    "connection_requests",
    "connection_time",
    "gzip_ratio",
    "hostname",
    "http2",
    "http3",
    "https",
    "msec",
    "nginx_version",
    "pid",
    "pipe",
    "proxy_protocol_addr",
    "proxy_protocol_port",
    "proxy_protocol_server_addr",
    "proxy_protocol_server_port",
    "realip_remote_addr",
    "realip_remote_port",
    "remote_addr",
    "remote_port",
    "request_completion",
    "request_id",
    "request_length",
    "request_time",
    "scheme",
    "server_addr",
    "server_name",
    "server_port",
    "ssl_cipher",
    "ssl_protocol",
    "ssl_session_reused",
    "status",
];

pub(super) fn writer(name: &str) -> Writer {
    match name {
        "time_local" => Writer::Server(Some(CLF)),
        // 2026-12-01T06:25:01+00:00
        "time_iso8601" => Writer::Server(Some(25)),
        name if SERVER.contains(&name) => Writer::Server(None),
        _ => Writer::Other,
    }
}

pub(super) fn field(name: &str) -> Option<Field> {
    Some(match name {
        "remote_addr" => Field::Peer,
        "http_x_forwarded_for" | "proxy_add_x_forwarded_for" => Field::Forwarded,
        "time_local" | "time_iso8601" | "msec" => Field::Time,
        "request" => Field::Request,
        "request_method" => Field::Method,
        "request_uri" | "uri" | "document_uri" => Field::Path,
        "args" | "query_string" => Field::Query,
        "status" => Field::Status,
        "host" | "http_host" | "server_name" => Field::Host,
        "http_user_agent" => Field::Agent,
        "remote_user" => Field::User,
        _ => return None,
    })
}
