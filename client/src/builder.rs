//! From settings to a client that is ready to use.

use std::{fmt, sync::Arc, time::Duration};

use reqwest::header::HeaderValue;

use crate::{Client, Endpoint, SetupError, Token, tls};

/// How long to wait for an answer, unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for a connection: a machine that is up answers far sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Settings of a [`Client`]. `Debug` hides the token.
#[derive(Clone)]
pub struct Builder {
    endpoint: Endpoint,
    token: Option<Token>,
    timeout: Duration,
    connect_timeout: Duration,
    extra_ca: Option<Vec<u8>>,
}

impl Builder {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            token: None,
            timeout: TIMEOUT,
            connect_timeout: CONNECT_TIMEOUT,
            extra_ca: None,
        }
    }

    /// The token to show. Every route save health wants one.
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// How long to wait for an answer, 30 s by default. On streams it is the longest silence.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long to wait for a connection, 10 s by default.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Certificate authorities (PEM) to trust besides those of the machine.
    #[must_use]
    pub fn extra_ca(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.extra_ca = Some(pem.into());
        self
    }

    /// Makes the client. Connects to nothing yet.
    ///
    /// # Errors
    /// [`SetupError`] where the host, the certificates or TLS are not usable.
    pub fn build(self) -> Result<Client, SetupError> {
        let base = self.endpoint.base_url()?;
        let mut http = reqwest::Client::builder()
            .connect_timeout(self.connect_timeout)
            // A redirect or a proxy from the environment would carry the token to somebody else.
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
            confirm_within: None,
            notices: Arc::default(),
        })
    }
}

fn bearer(token: &Token) -> Result<HeaderValue, SetupError> {
    let mut value = HeaderValue::try_from(token.bearer())
        .map_err(|_| SetupError::Http("the token does not fit a header".into()))?;
    // Keeps it out of the Debug of requests.
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
            extra_ca,
        } = self;
        f.debug_struct("Builder")
            .field("endpoint", endpoint)
            .field("timeout", timeout)
            .field("connect_timeout", connect_timeout)
            .field("extra_ca", &extra_ca.is_some())
            .finish_non_exhaustive()
    }
}
