//! Posts every rule change to a URL, complete and in order: for `couic-report`, a SIEM, a script.
//!
//! One POST carries a JSON array of at most 5,000 reports or 1 MiB. A longer list is split over several POSTs, sent in
//! order; on error, a retry of the same notification resumes at the POST that failed.
//!
//! ```
//! use couic_plugin_api::{Kind, Notification, Notifier, Plugin, Severity};
//! use couic_plugin_webhook::Webhook;
//! # use couic_testkit::{Reply, StandIn};
//! # let collector = StandIn::tcp(|_| Reply::status(204));
//! # tokio::runtime::Runtime::new()?.block_on(async {
//!
//! let config = serde_json::json!({ "url": collector.url("/couic"), "token": "secret" });
//! let webhook = Webhook::create(serde_json::from_value(config)?)?;
//! let test = Notification::new(Kind::Test, Severity::Green, "fw1");
//! assert_eq!(webhook.notify(&test).await?.http_status, Some(204));
//! assert_eq!(collector.only().header("couic-instance"), Some("fw1"));
//! # Ok::<(), Box<dyn std::error::Error>>(()) })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod traffic;

use std::time::Duration;

use couic_plugin_api::{
    Kind, Notification, Notifier, NotifyError, Plugin, Receipt, Report, Uuid, async_trait,
    serde::Deserialize,
};
use couic_plugin_shared::{Endpoint, EndpointConfig, HeaderMap, HeaderName, HeaderValue};
use serde_json as json;
use std::sync::{Mutex, PoisonError};

use self::traffic::Receiver;

#[cfg(feature = "export")]
couic_plugin_api::export_notifier!(Webhook, name = "webhook");

/// Most reports in one POST.
pub const MAX_REPORTS: usize = 5_000;
/// Most bytes of JSON in one POST. A single report that is larger is sent alone.
pub const MAX_BYTES: usize = 1 << 20;

/// The body of a POST.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Arrays of reports, as in Couic 1.0. Traffic goes to receivers that announce that they take it; other
    /// notifications are not sent; a test posts an empty array.
    #[default]
    Reports,
    /// Complete notifications of every kind, one per POST.
    Notifications,
}

/// The `config = { … }` of this notifier.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The URL to post to.
    pub url: String,
    /// Timeout of connection, request and response together, in milliseconds.
    #[serde(default = "default_timeout")]
    pub timeout_ms: u64,
    /// Sent as `Authorization: Bearer …`.
    pub token: Option<String>,
    /// The body of a POST.
    #[serde(default)]
    pub format: Format,
}

fn default_timeout() -> u64 {
    2_000
}

/// See the [crate].
pub struct Webhook {
    endpoint: Endpoint,
    format: Format,
    /// The notification that was sent in part, and how many of its reports were.
    partly: Mutex<Option<(Uuid, usize)>>,
    receiver: Receiver,
}

impl Webhook {
    async fn post(
        &self,
        body: json::Result<Vec<u8>>,
        id: Uuid,
        source: &str,
    ) -> Result<Receipt, NotifyError> {
        let body = body.map_err(|error| NotifyError::permanent(error.to_string()))?;
        let answer = self.endpoint.post_with(body, id, instance(source)).await?;
        self.receiver.answered(&answer.headers);
        Ok(Receipt {
            http_status: Some(answer.status),
            pause: None,
        })
    }

    async fn post_reports(
        &self,
        id: Uuid,
        reports: &[Report],
        source: &str,
    ) -> Result<Receipt, NotifyError> {
        let mut done = self.done(id).min(reports.len());
        let mut receipt = Receipt::default();
        while done < reports.len() {
            let (body, count) = part(&reports[done..])?;
            let outcome = self.post(Ok(body), part_id(id, done), source).await;
            self.note(outcome.is_err().then_some((id, done)));
            receipt = outcome?;
            done += count;
        }
        Ok(receipt)
    }

    fn done(&self, id: Uuid) -> usize {
        let partly = self.partly.lock().unwrap_or_else(PoisonError::into_inner);
        partly
            .filter(|(of, _)| *of == id)
            .map_or(0, |(_, done)| done)
    }

    fn note(&self, progress: Option<(Uuid, usize)>) {
        *self.partly.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}

impl Plugin for Webhook {
    type Config = Config;

    fn create(config: Config) -> Result<Self, NotifyError> {
        let endpoint = EndpointConfig {
            url: config.url,
            timeout: Duration::from_millis(config.timeout_ms),
            token: config.token,
        };
        Ok(Self {
            endpoint: Endpoint::new("url", endpoint)?,
            format: config.format,
            partly: Mutex::new(None),
            receiver: Receiver::default(),
        })
    }
}

#[async_trait]
impl Notifier for Webhook {
    fn name(&self) -> &str {
        "webhook"
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let (id, source) = (notification.id, notification.source.as_str());
        match (self.format, &notification.kind) {
            (Format::Notifications, _) => self.post(json::to_vec(notification), id, source).await,
            (Format::Reports, Kind::Reports(reports)) => {
                self.post_reports(id, reports, source).await
            }
            (Format::Reports, Kind::Traffic(traffic)) => {
                self.post_traffic(id, traffic, source).await
            }
            (Format::Reports, Kind::Test) => self.post(Ok(b"[]".to_vec()), id, source).await,
            (Format::Reports, _) => Ok(Receipt::default()),
        }
    }
}

/// The `Couic-Instance` header, for collectors that serve several instances. A name that is not a valid header value is
/// left out; the collector then identifies the sender by its address, as with 1.0.
fn instance(source: &str) -> HeaderMap {
    let fits = !source.is_empty() && source.bytes().all(|b| (0x20..0x7f).contains(&b));
    let value = HeaderValue::from_str(source).ok().filter(|_| fits);
    value
        .map(|value| (HeaderName::from_static("couic-instance"), value))
        .into_iter()
        .collect()
}

/// The JSON array of as many leading reports as fit, at least one, and their number.
fn part(reports: &[Report]) -> Result<(Vec<u8>, usize), NotifyError> {
    let mut body = vec![b'['];
    let mut count = 0;
    for report in reports.iter().take(MAX_REPORTS) {
        let before = body.len();
        if count > 0 {
            body.push(b',');
        }
        json::to_writer(&mut body, report)
            .map_err(|error| NotifyError::permanent(error.to_string()))?;
        if count > 0 && body.len() >= MAX_BYTES {
            body.truncate(before);
            break;
        }
        count += 1;
    }
    body.push(b']');
    Ok((body, count))
}

/// The id of a part: the notification's own for the first, derived from it for the others, so stable across retries.
fn part_id(id: Uuid, done: usize) -> Uuid {
    Uuid::from_u128(id.as_u128() ^ done as u128)
}

#[cfg(test)]
mod tests;
