//! One request to the daemon: URL, token, timeout, and parsing of the response.
//!
//! An error status becomes a [`ClientError::Refused`] if the body is Couic's error body, and otherwise a
//! [`ClientError::Protocol`]: then something else responded, such as a proxy. Memory is bounded.

use std::{fmt, sync::Arc, time::Duration};

use couic_common::{ApiError, CONFIRM_WITHIN_HEADER, GuardRequest, Rail};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode, Url,
    header::{AUTHORIZATION, HeaderValue},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Builder, ClientError, Endpoint, SetupError, ToConfirm, Token, notices::Notices};

/// Default maximum size of a response that is read as a whole: a list of two million entries fits.
pub(crate) const MAX_ANSWER: usize = 256 << 20;

/// Maximum size of an error body.
const MAX_ERROR: usize = 256 << 10;

/// A client of one daemon. Cheap to clone; clones share their connections. `Debug` hides the token.
#[derive(Clone)]
pub struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) base: Url,
    pub(crate) endpoint: Endpoint,
    pub(crate) authorization: Option<HeaderValue>,
    pub(crate) timeout: Duration,
    pub(crate) max_answer: usize,
    pub(crate) confirm_within: Option<u64>,
    pub(crate) notices: Arc<Notices>,
    /// The guard rails of DELETE requests and of lists, and whether to go over them.
    pub(crate) guard: Option<(GuardRequest, bool)>,
}

impl Client {
    /// Settings for a client of the daemon at `endpoint`.
    ///
    /// # Examples
    /// ```
    /// use couic_client::{Client, Endpoint, Token};
    ///
    /// let token: Token = "00000000-0000-0000-0000-000000000000".parse()?;
    /// let client = Client::builder(Endpoint::tls("couic.tld", 2900))
    ///     .token(token)
    ///     .timeout(std::time::Duration::from_secs(5))
    ///     .build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn builder(endpoint: Endpoint) -> Builder {
        Builder::new(endpoint)
    }

    /// A client of the daemon on this machine, with default settings.
    ///
    /// # Errors
    /// [`SetupError`] if the HTTP library cannot be set up.
    pub fn unix(socket: impl AsRef<std::path::Path>, token: Token) -> Result<Self, SetupError> {
        Self::builder(Endpoint::unix(socket)).token(token).build()
    }

    /// The address of the daemon.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A client whose changes are undone after this many seconds, 1 to 86,400, unless they are confirmed:
    /// [`Client::to_confirm`] returns their ids, [`Client::confirm`] of the original client confirms them. Only changes
    /// of entries and sets can be undone; others are refused with 400.
    ///
    /// # Examples
    /// ```no_run
    /// # async fn run(client: couic_client::Client) -> Result<(), couic_client::ClientError> {
    /// let careful = client.confirm_within(60);
    /// careful.reload_sets().await?;
    /// // This line is reached only if the connection still works.
    /// for change in careful.to_confirm() {
    ///     client.confirm(change.id).await?;
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn confirm_within(&self, seconds: u64) -> Self {
        Self {
            confirm_within: Some(seconds),
            notices: Arc::default(),
            ..self.clone()
        }
    }

    /// A client whose DELETE requests and lists ([`Client::put_set_list`]) ask for the guard rails, or go over them: the
    /// bodies of these requests do not say so.
    #[must_use]
    pub fn guarded(&self, guard: GuardRequest, force: bool) -> Self {
        Self {
            guard: Some((guard, force)),
            ..self.clone()
        }
    }

    /// The guard rails that forced changes of this client went over, by the responses; each is returned once.
    #[must_use]
    pub fn lifted(&self) -> Vec<Rail> {
        self.notices.drain_lifted()
    }

    /// Changes to confirm, from the responses to this client; each is returned once.
    #[must_use]
    pub fn to_confirm(&self) -> Vec<ToConfirm> {
        self.notices.drain_to_confirm()
    }

    /// Whether, by the last response, the panic switch is on: nothing is filtered.
    #[must_use]
    pub fn panic_seen(&self) -> bool {
        self.notices.panic()
    }

    /// Seconds by which the daemon's clock was ahead of this machine's at the last response; 0 if they are about the same,
    /// or not known yet. Times in responses are by the daemon's clock.
    #[must_use]
    pub fn clock_ahead(&self) -> i64 {
        self.notices.clock_ahead()
    }

    /// How long the last response asked to wait before the next request (`Retry-After` in seconds).
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.notices.retry_after()
    }

    pub(crate) fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.base.clone();
        // Both schemes of a base URL support path segments.
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().push("v1").extend(segments);
        }
        url
    }

    pub(crate) fn request(&self, method: Method, mut url: Url) -> RequestBuilder {
        let reads = method == Method::GET;
        if let Some((guard, force)) = self.guard.as_ref().filter(|_| method == Method::DELETE) {
            append(&mut url, guard, *force);
        }
        let mut request = self.http.request(method, url);
        if let Some(seconds) = self.confirm_within.filter(|_| !reads) {
            request = request.header(CONFIRM_WITHIN_HEADER, seconds);
        }
        match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value),
            None => request,
        }
    }

    /// Sends the request, and returns the response if it is a success.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|e| self.transport(&e))?;
        self.notices.read(response.headers());
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    /// Sends the request, and parses the response as JSON.
    pub(crate) async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, ClientError> {
        let response = self.send(request.timeout(self.timeout)).await?;
        self.decode(response).await
    }

    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        segments: &[&str],
    ) -> Result<T, ClientError> {
        self.json(self.request(Method::GET, self.url(segments)))
            .await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        segments: &[&str],
        body: &(impl Serialize + ?Sized),
    ) -> Result<T, ClientError> {
        self.json(self.request(Method::POST, self.url(segments)).json(body))
            .await
    }

    /// Sends a DELETE whose successful response has no body.
    pub(crate) async fn remove(&self, segments: &[&str]) -> Result<(), ClientError> {
        let request = self
            .request(Method::DELETE, self.url(segments))
            .timeout(self.timeout);
        self.send(request).await.map(drop)
    }

    pub(crate) async fn decode<T: DeserializeOwned>(
        &self,
        response: Response,
    ) -> Result<T, ClientError> {
        let body = self.body(response, self.max_answer).await?;
        serde_json::from_slice(&body).map_err(|e| {
            ClientError::protocol(&self.endpoint, format!("its JSON does not match the API: {e}\n  do daemon and client have the same version?"))
        })
    }

    pub(crate) async fn text(&self, request: RequestBuilder) -> Result<String, ClientError> {
        let response = self.send(request.timeout(self.timeout)).await?;
        let body = self.body(response, self.max_answer).await?;
        String::from_utf8(body)
            .map_err(|_| ClientError::protocol(&self.endpoint, "the text is not UTF-8"))
    }

    pub(crate) async fn body(
        &self,
        mut response: Response,
        limit: usize,
    ) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|e| self.transport(&e))? {
            if body.len() + chunk.len() > limit {
                return Err(ClientError::protocol(
                    &self.endpoint,
                    format!("the response is larger than {} MiB", limit >> 20),
                ));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    pub(crate) async fn refusal(&self, response: Response) -> ClientError {
        let status = response.status();
        // If the body cannot be read, the status is still known.
        let body = self.body(response, MAX_ERROR).await.unwrap_or_default();
        self.refused(status, &body)
    }

    pub(crate) fn refused(&self, status: StatusCode, body: &[u8]) -> ClientError {
        match serde_json::from_slice::<ApiError>(body) {
            Ok(error) => ClientError::Refused {
                status: status.as_u16(),
                error,
            },
            Err(_) => ClientError::foreign(&self.endpoint, status.as_u16(), foreign(status)),
        }
    }

    pub(crate) fn transport(&self, error: &reqwest::Error) -> ClientError {
        ClientError::from_transport(error, &self.endpoint, self.timeout)
    }
}

fn foreign(status: StatusCode) -> String {
    let advice = match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            "a proxy responded: is the daemon behind it running?"
        }
        s if s.is_redirection() => "redirects are not followed: check host, port and tls",
        _ => "something else listens there: check the address",
    };
    format!("status {status} without Couic's error body\n  {advice}")
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("endpoint", &self.endpoint)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// The guard rails as a query, for requests whose body does not name them.
pub(crate) fn append(url: &mut Url, guard: &GuardRequest, force: bool) {
    let protect: Vec<String> = guard.protect.iter().map(ToString::to_string).collect();
    let lift: Vec<&str> = guard.lift.iter().map(|rail| rail.as_str()).collect();
    let mut pairs = url.query_pairs_mut();
    pairs.append_pair("guard", &protect.join(","));
    if !lift.is_empty() {
        pairs.append_pair("lift", &lift.join(","));
    }
    if force {
        pairs.append_pair("force", "true");
    }
}
