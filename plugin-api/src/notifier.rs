//! The trait of notifiers, and the outcomes of an attempt.

use std::{error::Error, time::Duration};

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use crate::Notification;

/// Delivers notifications to people or machines: built in, loaded, isolated, or a group of them.
///
/// It makes **one** attempt and classifies the outcome. Queues, retries, pacing and the spool are the dispatcher's.
/// Dropping the future cancels the attempt.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// The notifier's name, as configured.
    fn name(&self) -> &str;

    /// Delivers one notification, once.
    ///
    /// # Errors
    /// [`NotifyError`] says whether to retry, and when.
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError>;
}

/// A [`Notifier`] that is created from configuration: exported by a plugin, or linked into a static build.
pub trait Plugin: Notifier + Sized + 'static {
    /// The configuration, `config = { … }`. Derive `Deserialize` with `deny_unknown_fields`.
    type Config: DeserializeOwned;

    /// Creates an instance. Runs inside a tokio runtime. Do not connect here: a receiver that is down is no reason to
    /// fail.
    ///
    /// # Errors
    /// Usually [`NotifyError::BadConfig`], naming the key. Never put secrets into it.
    fn create(config: Self::Config) -> Result<Self, NotifyError>;
}

/// Delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The HTTP status, if any.
    pub http_status: Option<u16>,
    /// How long to wait before the next one, if the receiver asked for it because its rate limit is used up.
    pub pause: Option<Duration>,
}

/// Why an attempt failed. Messages are shown to operators: no URLs, no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// A temporary failure: no connection, 5xx. Retry.
    #[error("{message}")]
    Retry {
        /// What happened.
        message: String,
        /// The HTTP status, if any.
        http_status: Option<u16>,
    },
    /// The receiver limits the rate. Not a failed attempt.
    #[error("rate limited: wait {} s", tenths(*retry_after))]
    RateLimited {
        /// The time to wait.
        retry_after: Duration,
        /// The HTTP status, if any.
        http_status: Option<u16>,
    },
    /// Too large for the receiver: to be split, not to be repeated.
    #[error("{message}")]
    TooLarge {
        /// What happened.
        message: String,
    },
    /// A permanent failure. The status says whether it concerns the notifier as a whole (401, 404).
    #[error("{message}")]
    Permanent {
        /// What happened.
        message: String,
        /// The HTTP status, if any.
        http_status: Option<u16>,
    },
    /// The configuration is invalid.
    #[error("bad configuration: {message}")]
    BadConfig {
        /// The key, and what is wrong with it.
        message: String,
    },
    /// The plugin panicked. It is still usable; three in a row for one notification make that a dead letter.
    #[error("the plugin panicked: {message}")]
    Panic {
        /// The panic message.
        message: String,
    },
    /// The attempt was cancelled.
    #[error("cancelled")]
    Cancelled,
    /// The notifier has the maximum number of attempts in flight. No attempt was made.
    #[error("busy: {message}")]
    Busy {
        /// The attempts in flight.
        message: String,
    },
    /// No answer in time. Whether it was delivered is unknown.
    #[error("no answer within {} s", after.as_secs_f64())]
    Timeout {
        /// The timeout.
        after: Duration,
    },
    /// The plugin's process ended during the attempt. Whether it was delivered is unknown.
    #[error("{message}")]
    Crashed {
        /// How it ended.
        message: String,
    },
    /// The plugin's process is being restarted. No attempt was made.
    #[error("{message}")]
    Unavailable {
        /// Why.
        message: String,
    },
}

/// In seconds, rounded up to a tenth.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).ceil() / 10.0
}

impl NotifyError {
    /// [`NotifyError::Retry`] without an HTTP status.
    pub fn retry(message: impl Into<String>) -> Self {
        Self::Retry {
            message: message.into(),
            http_status: None,
        }
    }

    /// [`NotifyError::Permanent`] without an HTTP status.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent {
            message: message.into(),
            http_status: None,
        }
    }

    /// [`NotifyError::BadConfig`].
    pub fn bad_config(message: impl Into<String>) -> Self {
        Self::BadConfig {
            message: message.into(),
        }
    }

    /// [`NotifyError::BadConfig`] from an error of serde, without the value in it, which may be a secret.
    #[must_use]
    pub fn from_config(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        // `invalid type: string "secret", expected …`: values come in quotes, names of keys in backticks.
        let message = match (text.find('"'), text.rfind('"')) {
            (Some(from), Some(to)) if from < to => format!("{}…{}", &text[..from], &text[to + 1..]),
            _ => text,
        };
        Self::BadConfig { message }
    }

    /// Classifies an HTTP status: 429 and 503 with their `Retry-After`, 408, 425 and 5xx as [`Retry`](Self::Retry), 413 as
    /// [`TooLarge`](Self::TooLarge), anything else as [`Permanent`](Self::Permanent).
    ///
    /// A 429 without a usable `Retry-After` waits 30 seconds.
    #[must_use]
    pub fn from_http(status: u16, retry_after: Option<Duration>) -> Self {
        let message = format!("the server answered {status}");
        let http_status = Some(status);
        match (status, retry_after) {
            (429, wait) => {
                let retry_after = wait.unwrap_or(Duration::from_secs(30));
                Self::RateLimited {
                    retry_after,
                    http_status,
                }
            }
            (503, Some(retry_after)) => Self::RateLimited {
                retry_after,
                http_status,
            },
            (408 | 425 | 500..=599, _) => Self::Retry {
                message,
                http_status,
            },
            (413, _) => Self::TooLarge { message },
            _ => Self::Permanent {
                message,
                http_status,
            },
        }
    }

    /// The name of the error in metrics and the API.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Retry { .. } => "retry",
            Self::RateLimited { .. } => "rate_limited",
            Self::TooLarge { .. } => "too_large",
            Self::Permanent { .. } => "permanent",
            Self::BadConfig { .. } => "bad_config",
            Self::Panic { .. } => "panic",
            Self::Cancelled => "cancelled",
            Self::Busy { .. } => "busy",
            Self::Timeout { .. } => "timeout",
            Self::Crashed { .. } => "crashed",
            Self::Unavailable { .. } => "unavailable",
        }
    }

    /// The HTTP status, if any.
    #[must_use]
    pub fn http_status(&self) -> Option<u16> {
        match self {
            Self::Retry { http_status, .. }
            | Self::RateLimited { http_status, .. }
            | Self::Permanent { http_status, .. } => *http_status,
            Self::TooLarge { .. } => Some(413),
            _ => None,
        }
    }

    /// The causes of an error in one line. For errors whose `Display` omits them, as reqwest's: remove the URL from it
    /// first (`without_url`).
    #[must_use]
    pub fn chain(error: &(dyn Error + 'static)) -> String {
        couic_common::error_chain(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_classified() {
        let wait = Some(Duration::from_millis(1500));
        for (status, wait, expected) in [
            (429, wait, "rate limited: wait 1.5 s"),
            (429, None, "rate limited: wait 30 s"),
            (503, wait, "rate limited: wait 1.5 s"),
        ] {
            assert_eq!(NotifyError::from_http(status, wait).to_string(), expected);
        }
        for status in [408, 425, 500, 502, 503, 504] {
            let error = NotifyError::from_http(status, None);
            assert!(matches!(error, NotifyError::Retry { .. }), "{status}");
        }
        for status in [301, 302, 400, 401, 403, 404, 410] {
            let error = NotifyError::from_http(status, None);
            assert!(matches!(error, NotifyError::Permanent { .. }), "{status}");
            assert_eq!(error.http_status(), Some(status));
        }
        assert_eq!(NotifyError::from_http(413, None).http_status(), Some(413));
    }
}
