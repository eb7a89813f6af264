//! The trait that every notifier is, and how an attempt can end.

use std::{error::Error, time::Duration};

use async_trait::async_trait;
use serde::de::DeserializeOwned;

use crate::Notification;

/// Something that tells people or machines: built in, loaded, isolated, or a group of them.
///
/// It makes **one** attempt and classifies the outcome. Queues, retries, pacing and the spool are the dispatcher's.
/// Dropping the future cancels the attempt.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// The name that operators know it by.
    fn name(&self) -> &str;

    /// Delivers one notification, once.
    ///
    /// # Errors
    /// [`NotifyError`] says whether it is worth another attempt, and when.
    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError>;
}

/// A [`Notifier`] that is made from configuration: what a plugin exports, and what a static build links in.
pub trait Plugin: Notifier + Sized + 'static {
    /// What the operator writes as `config = { … }`. Derive `Deserialize` with `deny_unknown_fields`.
    type Config: DeserializeOwned;

    /// Makes an instance. Runs inside a tokio runtime. Do not connect here: that the other side is down now is no
    /// reason to fail.
    ///
    /// # Errors
    /// Usually [`NotifyError::BadConfig`], naming the key. Never put secrets into it.
    fn create(config: Self::Config) -> Result<Self, NotifyError>;
}

/// Delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The HTTP status, where there was one.
    pub http_status: Option<u16>,
    /// How long to wait before the next one, where the other side said so: its limit is used up.
    pub pause: Option<Duration>,
}

/// Why an attempt did not deliver. Messages are shown to operators: no URLs, no tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotifyError {
    /// A failure that may pass: no connection, 5xx. Try again.
    #[error("{message}")]
    Retry {
        /// What happened.
        message: String,
        /// The HTTP status, where there was one.
        http_status: Option<u16>,
    },
    /// The other side wants to be left alone for a while. That is no failed attempt.
    #[error("rate limited: wait {} s", tenths(*retry_after))]
    RateLimited {
        /// Not before this has passed.
        retry_after: Duration,
        /// The HTTP status, where there was one.
        http_status: Option<u16>,
    },
    /// Too large for the other side: worth splitting, not worth repeating.
    #[error("{message}")]
    TooLarge {
        /// What happened.
        message: String,
    },
    /// Will not work, however often it is tried. What that means for the notifier as a whole (401, 404) the status
    /// tells.
    #[error("{message}")]
    Permanent {
        /// What happened.
        message: String,
        /// The HTTP status, where there was one.
        http_status: Option<u16>,
    },
    /// Cannot work as it is configured.
    #[error("bad configuration: {message}")]
    BadConfig {
        /// Which key, and what is wrong with it.
        message: String,
    },
    /// The plugin panicked. It is still usable; three in a row for one notification make that a dead letter.
    #[error("the plugin panicked: {message}")]
    Panic {
        /// What it said.
        message: String,
    },
    /// The attempt was called off.
    #[error("cancelled")]
    Cancelled,
    /// The notifier has as much in flight as it takes. No attempt was made.
    #[error("busy: {message}")]
    Busy {
        /// With what.
        message: String,
    },
    /// No answer in time. Whether it was delivered is unknown.
    #[error("no answer within {} s", after.as_secs_f64())]
    Timeout {
        /// How long was waited.
        after: Duration,
    },
    /// The plugin's process ended during the attempt. Whether it was delivered is unknown.
    #[error("{message}")]
    Crashed {
        /// How it ended.
        message: String,
    },
    /// The plugin's process is not there: it is being restarted. No attempt was made.
    #[error("{message}")]
    Unavailable {
        /// Since when or why.
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

    /// [`NotifyError::BadConfig`] from what serde says, without the value that stands there: it may be a secret.
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

    /// Reads an HTTP status: 429 and 503 with their `Retry-After`, 408, 425 and 5xx as [`Retry`](Self::Retry), 413 as
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

    /// The kind of failure in a word, as metrics and the API name it.
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

    /// The HTTP status, where there was one.
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

    /// An error and its causes on one line. For errors whose `Display` hides the cause, such as reqwest's: strip the URL
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
