//! Classifies the outcome of an attempt: its consequence for the message and for the notifier.

use std::time::Duration;

use couic_plugin_api::{NotifyError, Receipt};

/// The next action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// The next message, after this pause if the receiver asked for one.
    Delivered { pause: Option<Duration> },
    /// Retry after this time, which the receiver asked for. Does not count as a failed attempt.
    Hold(Duration),
    /// Retry after a backoff.
    Retry,
    /// Retry after a backoff a few times: the message itself may be the cause.
    Suspect,
    /// Retry with a smaller part.
    Split,
    /// The receiver will never accept this message.
    Dead,
    /// The receiver accepts no message: the queue waits for an operator.
    Fail,
}

pub(super) fn classify(outcome: &Result<Receipt, NotifyError>) -> Disposition {
    let error = match outcome {
        Ok(receipt) => {
            let pause = receipt.pause;
            return Disposition::Delivered { pause };
        }
        Err(error) => error,
    };
    match error {
        NotifyError::RateLimited { retry_after, .. } => Disposition::Hold(*retry_after),
        NotifyError::TooLarge { .. } => Disposition::Split,
        NotifyError::Permanent { http_status, .. } => match http_status {
            // A redirect, too: the URL is wrong, not the message.
            Some(300..=399 | 401 | 403 | 404 | 410) => Disposition::Fail,
            _ => Disposition::Dead,
        },
        NotifyError::BadConfig { .. } => Disposition::Fail,
        NotifyError::Panic { .. } | NotifyError::Crashed { .. } => Disposition::Suspect,
        NotifyError::Retry { .. }
        | NotifyError::Cancelled
        | NotifyError::Busy { .. }
        | NotifyError::Timeout { .. }
        | NotifyError::Unavailable { .. } => Disposition::Retry,
    }
}

/// The outcome's name in metrics.
pub(super) fn label(outcome: &Result<Receipt, NotifyError>) -> &'static str {
    outcome
        .as_ref()
        .map_or_else(NotifyError::kind, |_| "delivered")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_meaning() {
        let wait = Duration::from_secs(7);
        for (status, retry_after, expected) in [
            (400, None, Disposition::Dead),
            (422, None, Disposition::Dead),
            (401, None, Disposition::Fail),
            (403, None, Disposition::Fail),
            (404, None, Disposition::Fail),
            (410, None, Disposition::Fail),
            (413, None, Disposition::Split),
            (302, None, Disposition::Fail),
            (408, None, Disposition::Retry),
            (500, None, Disposition::Retry),
            (503, None, Disposition::Retry),
            (503, Some(wait), Disposition::Hold(wait)),
            (429, Some(wait), Disposition::Hold(wait)),
        ] {
            let error = NotifyError::from_http(status, retry_after);
            assert_eq!(classify(&Err(error)), expected, "{status}");
        }
        let bad = NotifyError::bad_config("url: missing");
        assert_eq!(classify(&Err(bad)), Disposition::Fail);
        let panic = NotifyError::Panic {
            message: String::new(),
        };
        assert_eq!(classify(&Err(panic)), Disposition::Suspect);
    }
}
