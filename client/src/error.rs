//! Errors of calls to the daemon.
//!
//! The kinds are those that callers handle differently: no response ([`ClientError::Unreachable`],
//! [`ClientError::Timeout`]), an error response of the daemon ([`ClientError::Refused`]), or a response that is not
//! Couic's ([`ClientError::Protocol`]). None contains tokens or URLs. Every text states the cause, the endpoint, and
//! what to do.

use std::{error::Error, io, time::Duration};

use couic_common::ApiError;

use crate::Endpoint;

/// A call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The connection failed, or broke before the response. If it broke, a change may or may not have been made.
    #[error("cannot reach couic at {endpoint}: {problem}\n  {advice}")]
    Unreachable {
        /// The address of the daemon.
        endpoint: Endpoint,
        /// The error of the operating system or the TLS library.
        problem: String,
        /// Advice to the user.
        advice: String,
    },
    /// No response in time. A change may or may not have been made.
    #[error("couic at {endpoint} did not answer within {} s\n  a change may have been made nevertheless: check before you repeat it", waited.as_secs_f32())]
    Timeout {
        /// The address of the daemon.
        endpoint: Endpoint,
        /// The time without data.
        waited: Duration,
    },
    /// The daemon responded with an error.
    #[error("{error}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The error body of the daemon.
        error: ApiError,
    },
    /// The response is not one of Couic's API.
    #[error("invalid response from {endpoint}: {problem}")]
    Protocol {
        /// The address that responded.
        endpoint: Endpoint,
        /// What is wrong with the response.
        problem: String,
        /// The HTTP status, if the status is unexpected.
        status: Option<u16>,
    },
}

/// The client cannot be built from its settings.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// Not a host name or address.
    #[error("{0:?} is not a host name or an IP address")]
    Host(String),
    /// The additional CA certificates are not usable.
    #[error("the CA certificates cannot be read: {0}")]
    Ca(String),
    /// TLS cannot be set up.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
    /// The HTTP library cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Http(String),
}

impl ClientError {
    /// The HTTP status, if the daemon responded with an error.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The HTTP status of the daemon, or of a proxy in front of it.
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

    /// An error status without Couic's error body.
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

/// The way out when rules of a daemon that is gone still filter: the panic switch needs a daemon.
const WITHOUT_DAEMON: &str = "packets may still be filtered by the rules it left: couic detach, as root, lets all of them pass";

/// The root cause of a failed request; the outer errors of the chain only paraphrase it.
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
            // `io::Error::source` skips the wrapped error, and the libraries nest I/O errors.
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
            return "the connection broke: a change may have been made nevertheless, check before you repeat it".into();
        }
        match endpoint {
            Endpoint::Unix(path) => self.unix_advice(&path.display().to_string()),
            Endpoint::Tcp { tls, .. } => self.tcp_advice(*tls),
        }
    }

    fn unix_advice(&self, path: &str) -> String {
        match self.kind {
            Some(io::ErrorKind::PermissionDenied) => {
                "run this as root, or as a member of the daemon's group (couic)"
                    .into()
            }
            Some(io::ErrorKind::NotFound) => format!(
                "is the daemon running (systemctl status couic), and is {path} the `socket` of its [server] settings?\n  {WITHOUT_DAEMON}"
            ),
            Some(io::ErrorKind::ConnectionRefused) => format!(
                "the daemon is not running: see systemctl status couic, start it with systemctl start couic\n  {WITHOUT_DAEMON}"
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
            _ if tls => "check host and port, the firewalls in between, and that this is a TLS port".into(),
            _ => "check host and port, and the firewalls in between".into(),
        }
    }
}
