//! What the end of an attempt means for the message and for its notifier.

use std::time::Duration;

use couic_plugin_api::{NotifyError, Receipt};

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
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

/// Reads the outcome.
pub(super) fn judge(outcome: &Result<Receipt, NotifyError>) -> Verdict {
    let error = match outcome {
        Ok(receipt) => {
            let pause = receipt.pause;
            return Verdict::Delivered { pause };
        }
        Err(error) => error,
    };
    match error {
        NotifyError::RateLimited { retry_after, .. } => Verdict::Hold(*retry_after),
        NotifyError::TooLarge { .. } => Verdict::Split,
        NotifyError::Permanent { http_status, .. } => match http_status {
            // A redirect too: it is the URL that is wrong, not the message.
            Some(300..=399 | 401 | 403 | 404 | 410) => Verdict::Fail,
            _ => Verdict::Dead,
        },
        NotifyError::BadConfig { .. } => Verdict::Fail,
        NotifyError::Panic { .. } | NotifyError::Crashed { .. } => Verdict::Suspect,
        NotifyError::Retry { .. }
        | NotifyError::Cancelled
        | NotifyError::Busy { .. }
        | NotifyError::Timeout { .. }
        | NotifyError::Unavailable { .. } => Verdict::Retry,
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
            (400, None, Verdict::Dead),
            (422, None, Verdict::Dead),
            (401, None, Verdict::Fail),
            (403, None, Verdict::Fail),
            (404, None, Verdict::Fail),
            (410, None, Verdict::Fail),
            (413, None, Verdict::Split),
            (302, None, Verdict::Fail),
            (408, None, Verdict::Retry),
            (500, None, Verdict::Retry),
            (503, None, Verdict::Retry),
            (503, Some(wait), Verdict::Hold(wait)),
            (429, Some(wait), Verdict::Hold(wait)),
        ] {
            let error = NotifyError::from_http(status, retry_after);
            assert_eq!(judge(&Err(error)), expected, "{status}");
        }
        let bad = NotifyError::bad_config("url: missing");
        assert_eq!(judge(&Err(bad)), Verdict::Fail);
        let panic = NotifyError::Panic {
            message: String::new(),
        };
        assert_eq!(judge(&Err(panic)), Verdict::Suspect);
    }
}
