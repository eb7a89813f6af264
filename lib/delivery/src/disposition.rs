//! What the end of an attempt means for the message and for its notifier.

use std::time::Duration;

use couic_plugin_api::{NotifyError, Receipt};

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Disposition {
    /// On to the next, after this pause if the other side asked for one.
    Delivered { pause: Option<Duration> },
    /// Leave the other side alone for so long, then the same again. That was no attempt.
    Hold(Duration),
    /// The same again after a while.
    Retry,
    /// The same again after a while, but not for ever: it may be this message that does it.
    Suspect,
    /// Less at once.
    Split,
    /// This message will never be taken.
    Dead,
    /// This notifier will take none: its queue waits for an operator.
    Fail,
}

/// Classifies the outcome.
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
            // A redirect too: it is the URL that is wrong, not the message.
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
