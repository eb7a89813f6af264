//! Traffic for receivers that take it, and nothing but reports for all others.
//!
//! A receiver announces it with the header `Couic-Accepts: traffic` in a successful answer. Before it has, it is asked
//! with an empty array of reports, which every receiver takes, at most once an hour. A receiver that answers traffic with
//! an error of its own is not sent any for an hour. Traffic that is not sent is delivered, as far as the queue is
//! concerned: it never becomes a dead letter and never holds up reports.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use couic_plugin_api::{NotifyError, Receipt, Traffic, Uuid};
use couic_plugin_shared::{HeaderMap, HeaderName, HeaderValue};
use serde_json as json;

use crate::{Webhook, instance};

/// In answers: the kinds that the receiver takes besides reports, separated by commas.
const ACCEPTS: &str = "couic-accepts";
/// In requests: the kind of the body; without it, reports.
const KIND: HeaderName = HeaderName::from_static("couic-kind");
const TRAFFIC: &str = "traffic";

/// How long a receiver that does not take traffic is not asked again.
const ASK_AGAIN: Duration = Duration::from_secs(3600);

/// What is known of the receiver.
#[derive(Debug, Default)]
pub(crate) struct Receiver(Mutex<Known>);

#[derive(Clone, Copy, Debug, Default)]
enum Known {
    /// Not asked yet.
    #[default]
    Nothing,
    Takes,
    /// It does not take traffic: not asked again before this time.
    Refuses(Instant),
}

impl Receiver {
    /// Notes what an answer announces. A refusal is not taken back by it: it ends after an hour.
    pub(crate) fn answered(&self, headers: &HeaderMap) {
        let listed = headers.get(ACCEPTS).and_then(|list| list.to_str().ok());
        let takes = listed.is_some_and(|list| {
            let mut kinds = list.split(',').map(str::trim);
            kinds.any(|kind| kind.eq_ignore_ascii_case(TRAFFIC))
        });
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (*known, takes) {
            (Known::Nothing, true) => *known = Known::Takes,
            (Known::Takes, false) => *known = Known::Nothing,
            _ => {}
        }
    }

    fn get(&self) -> Known {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Known::Refuses(until) = *known
            && until <= Instant::now()
        {
            *known = Known::Nothing;
        }
        *known
    }

    /// Notes that it does not take traffic.
    fn refuses(&self) {
        let until = Instant::now() + ASK_AGAIN;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Known::Refuses(until);
    }
}

impl Webhook {
    /// # Errors
    /// Those after which the same attempt may succeed.
    pub(crate) async fn post_traffic(
        &self,
        id: Uuid,
        traffic: &Traffic,
        source: &str,
    ) -> Result<Receipt, NotifyError> {
        if matches!(self.receiver.get(), Known::Nothing) {
            // The answer says whether traffic is taken.
            match self.post(Ok(b"[]".to_vec()), Uuid::new_v4(), source).await {
                Err(error) if !is_refusal(&error) => return Err(error),
                _ => {}
            }
        }
        match self.receiver.get() {
            Known::Takes => {}
            Known::Refuses(_) => return Ok(Receipt::default()),
            Known::Nothing => {
                self.receiver.refuses();
                note("does not announce that it takes traffic (Couic-Accepts: traffic)");
                return Ok(Receipt::default());
            }
        }
        let body = json::to_vec(traffic);
        let body = body.map_err(|error| NotifyError::permanent(error.to_string()))?;
        let mut headers = instance(source);
        headers.insert(KIND, HeaderValue::from_static(TRAFFIC));
        match self.endpoint.post_with(body, id, headers).await {
            Ok(answer) => Ok(Receipt {
                http_status: Some(answer.status),
                pause: None,
            }),
            Err(error) if is_refusal(&error) => {
                self.receiver.refuses();
                note(&format!("refuses traffic: {error}"));
                Ok(Receipt::default())
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether it is the receiver's answer to traffic. Without an answer, with 429 and 503, it is worth another attempt.
fn is_refusal(error: &NotifyError) -> bool {
    match error {
        NotifyError::TooLarge { .. } => true,
        NotifyError::RateLimited { .. } => false,
        error => error.http_status().is_some_and(|status| status != 503),
    }
}

fn note(what: &str) {
    let message =
        format!("the receiver {what}: it is sent reports only, and asked again in an hour");
    couic_plugin_api::log(couic_plugin_api::Level::Info, &message);
}
