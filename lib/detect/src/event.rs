//! What one log line says, whatever its format: the only thing that jails see.

use std::{borrow::Cow, net::IpAddr};

/// The fields of a log line. A format sets those that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event<'a> {
    /// The time in the line, in Unix milliseconds.
    pub time_ms: Option<i64>,
    /// The address of the connection's other end, as the writer of the log saw it.
    pub peer: Option<IpAddr>,
    /// The value of `X-Forwarded-For`, unescaped; empty without one.
    pub forwarded: Cow<'a, [u8]>,
    /// The request method, any token; empty if the request line is not one of HTTP.
    pub method: &'a [u8],
    /// The path without query, unescaped, percent-decoded and normalised (`//`, `.` and `..` resolved).
    pub path: Cow<'a, [u8]>,
    /// The query without `?`, unescaped but not percent-decoded.
    pub query: Cow<'a, [u8]>,
    /// The status of the response; 0 without one.
    pub status: u16,
    /// The virtual host.
    pub host: Cow<'a, [u8]>,
    /// The value of `User-Agent`.
    pub agent: Cow<'a, [u8]>,
    /// The user that was named.
    pub user: Cow<'a, [u8]>,
    /// The outcome of a login of which the line tells.
    pub login: Option<Login>,
    /// How often it happened besides this once: syslog daemons write `message repeated 5 times`.
    pub repeated: u16,
    /// The text behind the header of syslog; for formats without fields of their own, the whole line.
    pub message: Cow<'a, [u8]>,
}

/// The outcome of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Login {
    /// The user is authenticated.
    Accepted,
    /// A password, key or user was wrong.
    Failed,
    /// The connection ended before anybody was authenticated.
    Abandoned,
}

impl Login {
    /// As it is written in a configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}
