//! The outcome of an attempt in numbers, as it crosses the ABI and the pipe of an isolated plugin. For hosts; a plugin
//! returns a [`Receipt`] or a [`NotifyError`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{NotifyError, Receipt, abi};

/// A `couic_result` that owns its message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// One of the statuses of [`abi`], or an unknown one of a newer plugin.
    pub status: i32,
    /// How long to wait, in milliseconds; 0 for no wait.
    pub retry_after_ms: u64,
    /// The HTTP status; 0 for none.
    pub http_status: u32,
    /// What happened.
    pub message: String,
}

impl Outcome {
    /// An outcome with a status and a message only.
    pub fn new(status: i32, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            ..Self::default()
        }
    }

    /// Whether the status is one of major 1.
    #[must_use]
    pub fn is_known(&self) -> bool {
        (abi::OK..=abi::BUSY).contains(&self.status)
    }

    /// Converts it for the host. An unknown status is retried: losing a message would be worse.
    ///
    /// # Errors
    /// The error that it stands for.
    pub fn into_result(self) -> Result<Receipt, NotifyError> {
        let known = self.is_known();
        let Self {
            status, message, ..
        } = self;
        let http_status = u16::try_from(self.http_status).ok().filter(|&s| s != 0);
        let wait = Duration::from_millis(self.retry_after_ms);
        Err(match status {
            abi::OK => {
                let pause = Some(wait).filter(|wait| !wait.is_zero());
                return Ok(Receipt { http_status, pause });
            }
            abi::RATE_LIMITED => NotifyError::RateLimited {
                retry_after: wait,
                http_status,
            },
            abi::PERMANENT if http_status == Some(413) => NotifyError::TooLarge { message },
            abi::PERMANENT => NotifyError::Permanent {
                message,
                http_status,
            },
            abi::BAD_CONFIG => NotifyError::BadConfig { message },
            abi::PANIC => NotifyError::Panic { message },
            abi::CANCELLED => NotifyError::Cancelled,
            abi::BUSY => NotifyError::Busy { message },
            _ if known => NotifyError::Retry {
                message,
                http_status,
            },
            _ => NotifyError::Retry {
                message: format!("the plugin answered with the unknown status {status}: {message}"),
                http_status,
            },
        })
    }
}

impl From<Result<Receipt, NotifyError>> for Outcome {
    fn from(result: Result<Receipt, NotifyError>) -> Self {
        match result {
            Ok(Receipt { http_status, pause }) => Self {
                status: abi::OK,
                retry_after_ms: pause.map_or(0, millis),
                http_status: http_status.map_or(0, u32::from),
                message: String::new(),
            },
            Err(error) => error.into(),
        }
    }
}

impl From<NotifyError> for Outcome {
    fn from(error: NotifyError) -> Self {
        let http_status = error.http_status().map_or(0, u32::from);
        let retry_after_ms = match &error {
            NotifyError::RateLimited { retry_after, .. } => millis(*retry_after),
            _ => 0,
        };
        let shown = error.to_string();
        let (status, message) = match error {
            NotifyError::Retry { message, .. } => (abi::RETRY, message),
            NotifyError::RateLimited { .. } => (abi::RATE_LIMITED, shown),
            NotifyError::Permanent { message, .. } | NotifyError::TooLarge { message } => {
                (abi::PERMANENT, message)
            }
            NotifyError::BadConfig { message } => (abi::BAD_CONFIG, message),
            NotifyError::Panic { message } => (abi::PANIC, message),
            NotifyError::Cancelled => (abi::CANCELLED, shown),
            NotifyError::Busy { message } => (abi::BUSY, message),
            // From a plugin that is a host itself: such a failure is temporary.
            NotifyError::Timeout { .. }
            | NotifyError::Crashed { .. }
            | NotifyError::Unavailable { .. } => (abi::RETRY, shown),
        };
        Self {
            status,
            retry_after_ms,
            http_status,
            message,
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_of_the_abi_round_trip() {
        let message = || "why".to_owned();
        let second = Duration::from_secs(1);
        let results = [
            Ok(Receipt::default()),
            Ok(Receipt {
                http_status: Some(204),
                pause: Some(second),
            }),
            Err(NotifyError::Retry {
                message: message(),
                http_status: Some(503),
            }),
            Err(NotifyError::RateLimited {
                retry_after: second,
                http_status: Some(429),
            }),
            Err(NotifyError::TooLarge { message: message() }),
            Err(NotifyError::Permanent {
                message: message(),
                http_status: Some(404),
            }),
            Err(NotifyError::bad_config("why")),
            Err(NotifyError::Panic { message: message() }),
            Err(NotifyError::Cancelled),
            Err(NotifyError::Busy { message: message() }),
        ];
        for result in results {
            assert_eq!(Outcome::from(result.clone()).into_result(), result);
        }
    }

    #[test]
    fn errors_of_a_host_become_retry() {
        let error = NotifyError::Timeout {
            after: Duration::from_secs(2),
        };
        let read = Outcome::from(error).into_result();
        assert_eq!(read, Err(NotifyError::retry("no answer within 2 s")));
    }

    #[test]
    fn an_unknown_status_is_tried_again_and_named() {
        let error = Outcome::new(99, "hm").into_result().unwrap_err();
        assert!(matches!(&error, NotifyError::Retry { message, .. } if message.contains("99")));
    }

    #[test]
    fn a_wait_is_never_rounded_down() {
        let retry_after = Duration::from_micros(1_500);
        let limited = NotifyError::RateLimited {
            retry_after,
            http_status: None,
        };
        assert_eq!(Outcome::from(limited).retry_after_ms, 2);
    }
}
