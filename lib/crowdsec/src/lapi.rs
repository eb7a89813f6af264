//! One pull from the LAPI: its address, the credentials, and the answer read in bounded memory.
//!
//! An answer is told as a whole or not at all. The LAPI keeps for each key what it has told already, so one that is lost is
//! not told again: after any error the caller has to pull everything.

use std::time::Duration;

use couic_common::{error_chain, unix_seconds};
use reqwest::{Client, Response, Url, header::HeaderMap};

use crate::{
    Config, CrowdSecError,
    answer::{Pulled, Reader},
    config::Place,
    credentials::{read_key, tls_config},
    names::Names,
    splitter::{SplitError, Splitter},
};

/// What the LAPI shows in `cscli bouncers list`.
const USER_AGENT: &str = concat!("couic-bouncer/", env!("CARGO_PKG_VERSION"));

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may arrive: the LAPI makes a long answer whole before it sends the first byte.
const READ_TIMEOUT: Duration = Duration::from_secs(120);
const TIMEOUT: Duration = Duration::from_secs(900);

/// The largest answer for each decision that may be held; they have some 150 bytes.
const BYTES_EACH: usize = 1024;

/// The least that an answer may have.
const LEAST_BYTES: usize = 16 << 20;

/// Why a pull failed. The texts have no secrets.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    #[error("the LAPI at {0} cannot be asked: {1}")]
    Transport(String, String),
    #[error(
        "the LAPI at {0} refuses the key or certificate ({1}): `cscli bouncers list` shows whether it is known; `cscli bouncers add` makes a key"
    )]
    Refused(String, u16),
    #[error("the LAPI at {0} answered with status {1}{2}")]
    Status(String, u16, String),
    #[error("the answer of the LAPI at {0} cannot be used: {1}")]
    Answer(String, #[source] SplitError),
    #[error("the answer of the LAPI at {0} has more than {1} MiB")]
    Large(String, usize),
}

/// A connection to the LAPI.
#[derive(Debug)]
pub(crate) struct Lapi {
    http: Client,
    url: Url,
    /// As the operator wrote it.
    shown: String,
}

impl Lapi {
    /// Reads the credentials; does not connect.
    pub(crate) fn new(config: &Config) -> Result<Self, CrowdSecError> {
        let place = config
            .place()
            .map_err(|problem| CrowdSecError::Setup(format!("url: {problem}")))?;
        let mut headers = HeaderMap::new();
        if let Some(path) = &config.key_file {
            headers.insert("x-api-key", read_key(path)?);
        }
        let mut http = Client::builder()
            .default_headers(headers)
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(1)
            // A redirect, or a proxy from the environment, would give the key to others.
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_backend_preconfigured(tls_config(config, &place)?);
        let mut url = match place {
            Place::Http(url) => url,
            Place::Unix(path) => {
                http = http.unix_socket(path);
                Url::parse("http://lapi/")
                    .map_err(|error| CrowdSecError::Setup(error.to_string()))?
            }
        };
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1", "decisions", "stream"]);
        }
        let http = http
            .build()
            .map_err(|error| CrowdSecError::Setup(error_chain(&error.without_url())))?;
        Ok(Self {
            http,
            url: with_query(url, config),
            shown: config.url.clone(),
        })
    }

    /// Asks for everything, or for what is new since the last time.
    pub(crate) async fn pull(
        &self,
        full: bool,
        config: &Config,
        names: &mut Names,
    ) -> Result<Pulled, PullError> {
        let mut url = self.url.clone();
        url.query_pairs_mut()
            .append_pair("startup", if full { "true" } else { "false" });
        let response = self
            .http
            .get(url)
            .send()
            .await
            .map_err(|error| self.failed(error))?;
        let response = self.checked(response).await?;
        self.read(response, config, names).await
    }

    async fn checked(&self, mut response: Response) -> Result<Response, PullError> {
        let status = response.status().as_u16();
        if status == 200 {
            return Ok(response);
        }
        if status == 401 || status == 403 {
            return Err(PullError::Refused(self.shown.clone(), status));
        }
        let chunk = response.chunk().await.ok().flatten().unwrap_or_default();
        let text = String::from_utf8_lossy(&chunk[..chunk.len().min(200)]).into_owned();
        let text: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let text = if text.trim().is_empty() {
            text
        } else {
            format!(": {}", text.trim())
        };
        Err(PullError::Status(self.shown.clone(), status, text))
    }

    async fn read(
        &self,
        mut response: Response,
        config: &Config,
        names: &mut Names,
    ) -> Result<Pulled, PullError> {
        let most = config.most.saturating_mul(BYTES_EACH).max(LEAST_BYTES);
        let (mut splitter, mut bytes) = (Splitter::default(), 0_usize);
        let mut reader = Reader {
            config,
            names,
            pulled: Pulled::default(),
            now: unix_seconds(),
        };
        let bad = |error: SplitError| PullError::Answer(self.shown.clone(), error);
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failed(error))? {
            bytes += chunk.len();
            if bytes > most {
                return Err(PullError::Large(self.shown.clone(), most >> 20));
            }
            splitter
                .push(&chunk, |list, item| reader.take(list, item))
                .map_err(bad)?;
        }
        reader.odd(splitter.finish().map_err(bad)?);
        Ok(reader.pulled)
    }

    fn failed(&self, error: reqwest::Error) -> PullError {
        PullError::Transport(self.shown.clone(), error_chain(&error.without_url()))
    }
}

/// What the answer shall have: every decision, not only the longest for each value.
fn with_query(mut url: Url, config: &Config) -> Url {
    let mut query = url.query_pairs_mut();
    query.append_pair("dedup", "false");
    if !config.origins.is_empty() {
        let mut origins = config.origins.clone();
        if origins.iter().any(|origin| origin.starts_with("lists:")) {
            origins.push("lists".to_owned());
        }
        query.append_pair("origins", &origins.join(","));
    }
    if !config.scenarios.is_empty() {
        query.append_pair("scenarios_containing", &config.scenarios.join(","));
    }
    drop(query);
    url
}
