//! One POST to one URL, with bounded time and response size.

use std::{
    error::Error,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use couic_common::error_chain;
use couic_plugin_api::{NotifyError, Uuid};
use reqwest::{
    Client, Response, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect,
};
use rustls::{ClientConfig, crypto::ring};
use rustls_platform_verifier::Verifier;
use tokio::time::{Instant, timeout_at};

use crate::USER_AGENT;

/// Most bytes read of a response body.
const MAX_ANSWER: usize = 16 << 10;
/// Most characters of a response shown in an error message.
const MAX_SHOWN: usize = 200;

/// Configuration of an [`Endpoint`].
#[derive(Clone)]
pub struct EndpointConfig {
    /// The URL, `http` or `https`.
    pub url: String,
    /// Timeout of connection, request and response together.
    pub timeout: Duration,
    /// Sent as `Authorization: Bearer …`, if set.
    pub token: Option<String>,
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A successful response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status, 200 to 299.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
}

/// See [`Endpoint::post`].
#[derive(Clone)]
pub struct Endpoint {
    client: Client,
    url: Url,
    timeout: Duration,
    token: Option<HeaderValue>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Prepares the client; does not connect. `key` is the configuration key of the URL, for error messages.
    ///
    /// # Errors
    /// [`NotifyError::BadConfig`].
    pub fn new(key: &str, config: EndpointConfig) -> Result<Self, NotifyError> {
        let bad = |why: &str| NotifyError::bad_config(format!("{key}: {why}"));
        let url: Url = (config.url.parse()).map_err(|_| bad("this is not a URL"))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(bad("a URL that starts with http:// or https:// is needed"));
        }
        let token = config.token.map(|token| {
            let header = HeaderValue::try_from(format!("Bearer {token}"));
            header.map_err(|_| NotifyError::bad_config("token: contains control characters"))
        });
        let token = token.transpose()?.map(|mut header| {
            header.set_sensitive(true);
            header
        });
        let client = Client::builder()
            .tls_backend_preconfigured(tls()?)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .http1_only()
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(1)
            .user_agent(USER_AGENT)
            .build()
            .map_err(|error| NotifyError::bad_config(error_chain(&error.without_url())))?;
        Ok(Self {
            client,
            url,
            timeout: config.timeout,
            token,
        })
    }

    /// Posts JSON, with `id` as `Idempotency-Key`, so that receivers can recognise a retry.
    ///
    /// # Errors
    /// By status, see [`NotifyError::from_http`]; `Retry-After` may be whole or fractional seconds or a date. A refused
    /// or reset connection and an early EOF are [`NotifyError::Retry`], no response is [`NotifyError::Timeout`].
    pub async fn post(&self, body: Vec<u8>, id: Uuid) -> Result<Answer, NotifyError> {
        self.post_with(body, id, HeaderMap::new()).await
    }

    /// As [`post`](Self::post), with additional headers.
    ///
    /// # Errors
    /// As `post`.
    pub async fn post_with(
        &self,
        body: Vec<u8>,
        id: Uuid,
        more: HeaderMap,
    ) -> Result<Answer, NotifyError> {
        let deadline = Instant::now() + self.timeout;
        let mut request = (self.client.post(self.url.clone()))
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/json")
            .header("idempotency-key", id.to_string())
            .headers(more)
            .body(body);
        if let Some(token) = &self.token {
            request = request.header("authorization", token);
        }
        let after = self.timeout;
        let sent = timeout_at(deadline, request.send()).await;
        let sent = sent.map_err(|_| NotifyError::Timeout { after })?;
        let mut response = sent.map_err(|error| NotifyError::retry(why_not_sent(error)))?;
        let status = response.status();
        let headers = response.headers().clone();
        // A short body is read so that the connection can be reused. An error here is ignored: the status decides.
        let body = timeout_at(deadline, read_some(&mut response)).await;
        if status.is_success() {
            let status = status.as_u16();
            return Ok(Answer { status, headers });
        }
        let body = body.unwrap_or_default();
        let wait = retry_after(&headers).max(body_retry_after(&body));
        Err(explain(
            NotifyError::from_http(status.as_u16(), wait),
            &body,
        ))
    }
}

/// TLS 1.2 and 1.3 with the system's trust store. The provider is passed in, not installed process-wide.
fn tls() -> Result<ClientConfig, NotifyError> {
    let failed =
        |error: rustls::Error| NotifyError::bad_config(format!("TLS cannot be used: {error}"));
    let provider = Arc::new(ring::default_provider());
    let verifier = Verifier::new(Arc::clone(&provider)).map_err(failed)?;
    let builder = ClientConfig::builder_with_provider(provider);
    Ok((builder
        .with_safe_default_protocol_versions()
        .map_err(failed)?)
    .dangerous()
    .with_custom_certificate_verifier(Arc::new(verifier))
    .with_no_client_auth())
}

async fn read_some(response: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        let room = MAX_ANSWER - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() >= MAX_ANSWER {
            break;
        }
    }
    body
}

/// Why there is no response, without the URL and without the library's generic outer errors.
fn why_not_sent(error: reqwest::Error) -> String {
    let error = error.without_url();
    let (what, cause) = if error.is_connect() {
        let connector = error.source();
        ("cannot connect", connector.and_then(Error::source))
    } else {
        ("the request broke off", error.source())
    };
    match cause {
        Some(cause) => format!("{what}: {}", error_chain(cause)),
        None => error_chain(&error),
    }
}

/// `Retry-After` in seconds (Discord sends fractions) or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let date = httpdate::parse_http_date(text).ok()?;
    // A date in the past means now.
    Some(date.duration_since(SystemTime::now()).unwrap_or_default())
}

/// `{"retry_after": 1.5}`, as sent by Discord.
fn body_retry_after(body: &[u8]) -> Option<Duration> {
    #[derive(serde::Deserialize)]
    struct Body {
        retry_after: f64,
    }
    let body: Body = couic_plugin_api::serde_json::from_slice(body).ok()?;
    Duration::try_from_secs_f64(body.retry_after).ok()
}

/// Appends the response body to permanent errors, for the operator.
fn explain(error: NotifyError, body: &[u8]) -> NotifyError {
    let said = String::from_utf8_lossy(body);
    let said = crate::text::fit(&crate::text::clean(&said), MAX_SHOWN, crate::text::plain);
    let said = said.trim();
    match error {
        NotifyError::Permanent {
            message,
            http_status,
        } if !said.is_empty() => NotifyError::Permanent {
            message: format!("{message}: {said}"),
            http_status,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests;
