//! Builds a client from its settings.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::header::HeaderValue;

use crate::{Client, Endpoint, SetupError, Token, tls, transport::MAX_ANSWER};

/// Default response timeout.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Default connect timeout: a host that is up accepts far sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of a [`Client`]. `Debug` hides the token.
#[derive(Clone)]
pub struct Builder {
    endpoint: Endpoint,
    token: Option<Token>,
    timeout: Duration,
    connect_timeout: Duration,
    max_answer: usize,
    extra_ca: Option<Vec<u8>>,
}

impl Builder {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            token: None,
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            max_answer: MAX_ANSWER,
            extra_ca: None,
        }
    }

    /// The token to authenticate with. Every route except health requires one.
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Response timeout, 30 s by default. On streams it limits the time without data.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Connect timeout, 10 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Maximum size of a response that is read as a whole, 256 MiB by default; a larger one is an error.
    #[must_use]
    pub fn max_answer(mut self, bytes: usize) -> Self {
        self.max_answer = bytes;
        self
    }

    /// Certificate authorities (PEM) to trust in addition to the system trust store.
    #[must_use]
    pub fn extra_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.extra_ca = Some(pem.into());
        self
    }

    /// Builds the client, without connecting.
    ///
    /// # Errors
    /// [`SetupError`] if the host, the certificates or TLS are not usable.
    pub fn build(self) -> Result<Client, SetupError> {
        let base = self.endpoint.base_url()?;
        let mut http = reqwest::Client::builder()
            .connect_timeout(self.connect_timeout)
            // A redirect, or a proxy from the environment, would leak the token to a third party.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("couic-client/", env!("CARGO_PKG_VERSION")));
        http = match &self.endpoint {
            Endpoint::Tcp { tls: true, .. } => {
                http.tls_backend_preconfigured(tls::client_config(self.extra_ca.as_deref())?)
            }
            Endpoint::Tcp { tls: false, .. } => {
                http.tls_backend_preconfigured(tls::untrusting_config()?)
            }
            Endpoint::Unix(path) => http
                .tls_backend_preconfigured(tls::untrusting_config()?)
                .unix_socket(path.as_path()),
        };
        let http = http
            .build()
            .map_err(|e| SetupError::Http(e.without_url().to_string()))?;
        let authorization = self.token.as_ref().map(bearer).transpose()?;
        Ok(Client {
            http,
            base,
            endpoint: self.endpoint,
            authorization,
            timeout: self.timeout,
            max_answer: self.max_answer,
            confirm_within: None,
            notices: Arc::default(),
            guard: None,
        })
    }
}

fn bearer(token: &Token) -> Result<HeaderValue, SetupError> {
    let mut value = HeaderValue::try_from(token.bearer())
        .map_err(|_| SetupError::Http("the token does not fit a header".into()))?;
    // Hides it in the Debug output of requests.
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            endpoint,
            token: _,
            timeout,
            connect_timeout,
            max_answer,
            extra_ca,
        } = self;
        f.debug_struct("Builder")
            .field("endpoint", endpoint)
            .field("timeout", timeout)
            .field("connect_timeout", connect_timeout)
            .field("max_answer", max_answer)
            .field("extra_ca", &extra_ca.is_some())
            .finish_non_exhaustive()
    }
}
