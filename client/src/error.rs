//! What can go wrong between a client and the daemon.
//!
//! The kinds are what callers act upon: nobody there ([`ClientError::Unreachable`], [`ClientError::Timeout`]), the
//! daemon said no ([`ClientError::Refused`]), or what answered is not Couic ([`ClientError::Protocol`]). Tokens and
//! URLs are in none of them. Every text says what happened, where, and what to do.

use std::{error::Error, io, time::Duration};

use couic_common::ApiError;

use crate::Endpoint;

/// A call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No connection, or it broke before there was an answer. A change may or may not have been made where it broke.
    #[error("cannot reach couic at {endpoint}: {problem}\n  {advice}")]
    Unreachable {
        /// Where the daemon should be.
        endpoint: Endpoint,
        /// What the operating system or the TLS library says.
        problem: String,
        /// What to do.
        advice: String,
    },
    /// No answer in time. A change may or may not have been made.
    #[error("couic at {endpoint} did not answer within {} s\n  a change may have been made all the same: look before you repeat it", waited.as_secs_f32())]
    Timeout {
        /// Where the daemon is.
        endpoint: Endpoint,
        /// For how long nothing came.
        waited: Duration,
    },
    /// The daemon answered, and its answer is no.
    #[error("{error}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The daemon's words.
        error: ApiError,
    },
    /// What came back is not an answer of Couic's API.
    #[error("no sensible answer from {endpoint}: {problem}")]
    Protocol {
        /// Who answered.
        endpoint: Endpoint,
        /// What was not understood.
        problem: String,
        /// The HTTP status, where that is what was not understood.
        status: Option<u16>,
    },
}

/// A client cannot be made from these settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Not a host name or address.
    #[error("{0:?} is not a host name or an IP address")]
    Host(String),
    /// The file of additional authorities is not usable.
    #[error("the CA certificates cannot be read: {0}")]
    Ca(String),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The HTTP library refuses.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(String),
}

impl ClientError {
    /// The HTTP status, where the daemon refused.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The HTTP status of whoever answered, be it the daemon or a proxy before it.
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            Self::Protocol { status, .. } => *status,
            _ => None,
        }
    }

    pub(crate) fn protocol(endpoint: &Endpoint, problem: impl Into<String>) -> Self {
        Self::Protocol {
            endpoint: endpoint.clone(),
            problem: problem.into(),
            status: None,
        }
    }

    /// A status without Couic's error body.
    pub(crate) fn foreign(endpoint: &Endpoint, status: u16, problem: String) -> Self {
        Self::Protocol {
            endpoint: endpoint.clone(),
            problem,
            status: Some(status),
        }
    }

    pub(crate) fn from_transport(
        error: &reqwest::Error,
        endpoint: &Endpoint,
        waited: Duration,
    ) -> Self {
        if error.is_timeout() && !error.is_connect() {
            return Self::Timeout {
                endpoint: endpoint.clone(),
                waited,
            };
        }
        let cause = Cause::of(error);
        Self::Unreachable {
            endpoint: endpoint.clone(),
            advice: cause.advice(endpoint, error.is_connect()),
            problem: cause.text,
        }
    }
}

/// The innermost reason of a failed exchange: what lies above it in the chain is the libraries' paraphrase.
struct Cause {
    text: String,
    kind: Option<io::ErrorKind>,
    tls: bool,
}

impl Cause {
    fn of(error: &reqwest::Error) -> Self {
        let mut cause = Self {
            text: "the connection failed".into(),
            kind: None,
            tls: false,
        };
        let mut next = error.source();
        while let Some(inner) = next {
            cause.text = inner.to_string();
            let mut io = inner.downcast_ref::<io::Error>();
            // An I/O error hides what it wraps from `source`, and the libraries wrap one in the other.
            while let Some(error) = io {
                cause.kind = Some(error.kind());
                let wrapped = error.get_ref();
                if let Some(tls) = wrapped.and_then(|e| e.downcast_ref::<rustls::Error>()) {
                    cause.tls = true;
                    cause.text = tls.to_string();
                    return cause;
                }
                io = wrapped.and_then(|e| e.downcast_ref::<io::Error>());
            }
            next = inner.source();
        }
        cause
    }

    fn advice(&self, endpoint: &Endpoint, connecting: bool) -> String {
        if !connecting {
            return "the connection broke: a change may have been made all the same, look before you repeat it".into();
        }
        match endpoint {
            Endpoint::Unix(path) => self.unix_advice(&path.display().to_string()),
            Endpoint::Tcp { tls, .. } => self.tcp_advice(*tls),
        }
    }

    fn unix_advice(&self, path: &str) -> String {
        match self.kind {
            Some(io::ErrorKind::PermissionDenied) => {
                "run this as root, or as a member of the group that the daemon runs under (couic)"
                    .into()
            }
            Some(io::ErrorKind::NotFound) => format!(
                "is the daemon running (systemctl status couic), and is {path} the `socket` of its [server] settings?"
            ),
            _ => "the daemon is not running: see systemctl status couic, start it with systemctl start couic".into(),
        }
    }

    fn tcp_advice(&self, tls: bool) -> String {
        if self.tls {
            return "TLS failed: is the certificate valid for this host, its authority trusted by this machine, and is this a TLS port?".into();
        }
        match self.kind {
            Some(io::ErrorKind::ConnectionRefused) => {
                "nothing listens there: check host and port, and the reverse proxy in front of the daemon".into()
            }
            _ if tls => "check host and port, the firewalls between, and that this is a TLS port".into(),
            _ => "check host and port, and the firewalls between".into(),
        }
    }
}
