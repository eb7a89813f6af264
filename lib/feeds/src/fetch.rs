//! One request for a list.
//!
//! Guarantees: the body is bounded in bytes, packed and unpacked, and the request in time, however slowly a server drips;
//! at most five redirects are followed, none of them to `http://` unless that is allowed, and none to another host if the
//! request has headers of the operator; only a whole 200 is a list. No error tells the path or query of a URL.

use std::{
    io::Read,
    time::{Duration, Instant},
};

use couic_client::tls;
use couic_common::error_chain;
use flate2::read::MultiGzDecoder;
use reqwest::{
    Response, StatusCode, Url,
    header::{
        ACCEPT_ENCODING, CONTENT_ENCODING, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, LAST_MODIFIED, RETRY_AFTER,
    },
    redirect::{Attempt, Policy},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

/// Bytes a second, on average.
const LEAST_RATE: f64 = 1024.0;

const MOST_REDIRECTS: usize = 5;

/// A packed file that is sent packed once more.
const MOST_LAYERS: usize = 2;

const GZIP: &[u8] = &[0x1f, 0x8b];

/// The longest validator that is kept.
const LONGEST_VALIDATOR: usize = 1024;

/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(86_400);

/// How long a request may take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Until the connection stands, with name resolution and TLS.
    pub connect: Duration,
    /// Without a byte.
    pub idle: Duration,
    /// In all.
    pub total: Duration,
    /// From then on, a body that came with less than 1 KiB/s on average is given up.
    pub grace: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            idle: Duration::from_secs(30),
            total: Duration::from_secs(300),
            grace: Duration::from_secs(30),
        }
    }
}

/// What a server says of a list, to be asked whether it is still so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Validators {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) modified: Option<String>,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) url: Url,
    pub(crate) agent: &'a str,
    pub(crate) timing: Timing,
    pub(crate) allow_http: bool,
    pub(crate) most: u64,
    pub(crate) extra_ca: Option<Vec<u8>>,
    pub(crate) headers: HeaderMap,
    /// Those of the list that is there already.
    pub(crate) validators: Option<Validators>,
}

impl<'a> Request<'a> {
    pub(crate) fn of(url: Url, agent: &'a str, timing: Timing) -> Self {
        Self {
            url,
            agent,
            timing,
            allow_http: false,
            most: 0,
            extra_ca: None,
            headers: HeaderMap::new(),
            validators: None,
        }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) enum Fetched {
    /// The list, unpacked.
    List(Vec<u8>, Validators),
    /// It is the one that is there already.
    NotModified,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct FetchError {
    text: String,
    /// How long the server asks to wait.
    pub(crate) retry_after: Option<Duration>,
}

impl<T: Into<String>> From<T> for FetchError {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            retry_after: None,
        }
    }
}

/// A request without a condition.
pub(crate) async fn fetch_whole(request: Request<'_>) -> Result<Vec<u8>, FetchError> {
    match fetch(request).await? {
        Fetched::List(body, _) => Ok(body),
        Fetched::NotModified => {
            Err("it responded with 304 to a request without a condition".into())
        }
    }
}

pub(crate) async fn fetch(request: Request<'_>) -> Result<Fetched, FetchError> {
    let conditions = request.validators.as_ref().map(conditions);
    let conditions = conditions.unwrap_or_default();
    let (is_conditional, most) = (!conditions.is_empty(), request.most);
    let mut headers = request.headers.clone();
    headers.extend(conditions);
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    let timing = request.timing;
    let sent = client(&request)?.get(request.url).headers(headers).send();
    // A head that drips is no better than a body.
    let response = timeout(timing.connect + timing.idle, sent)
        .await
        .map_err(|_| "it is too slow: no response yet")?
        .map_err(transport)?;
    match response.status() {
        StatusCode::OK => {}
        StatusCode::NOT_MODIFIED if is_conditional => return Ok(Fetched::NotModified),
        StatusCode::NOT_MODIFIED => {
            return Err("it responded with 304 to a request without a condition".into());
        }
        _ => return Err(refused(&response)),
    }
    let encoding = text_of(response.headers(), &CONTENT_ENCODING);
    if !matches!(
        encoding.as_deref(),
        None | Some("" | "identity" | "gzip" | "x-gzip")
    ) {
        return Err("its response is packed in a way that was not asked for".into());
    }
    let validators = Validators {
        etag: text_of(response.headers(), &ETAG),
        modified: text_of(response.headers(), &LAST_MODIFIED),
    };
    let body = receive(response, most, timing.grace).await?;
    Ok(Fetched::List(unpacked(body, most)?, validators))
}

fn client(request: &Request<'_>) -> Result<reqwest::Client, FetchError> {
    let needs_tls = request.url.scheme() == "https";
    let tls = if needs_tls || request.extra_ca.is_some() {
        tls::client_config(request.extra_ca.as_deref())
    } else {
        tls::untrusting_config()
    };
    let (allow_http, keeps_host) = (request.allow_http, !request.headers.is_empty());
    let redirects = Policy::custom(move |attempt| redirect(attempt, allow_http, keeps_host));
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls.map_err(|e| e.to_string())?)
        .connect_timeout(request.timing.connect)
        .read_timeout(request.timing.idle)
        .timeout(request.timing.total)
        .redirect(redirects)
        .referer(false)
        .https_only(!allow_http)
        .user_agent(request.agent)
        .build()
        .map_err(transport)
}

fn redirect(attempt: Attempt<'_>, allow_http: bool, keeps_host: bool) -> reqwest::redirect::Action {
    let target = attempt.url();
    let refused = if attempt.previous().len() > MOST_REDIRECTS {
        Some("it redirects more than 5 times")
    } else if target.scheme() != "https" && !allow_http {
        Some("it redirects to http://, where anyone on the way can write the list")
    } else {
        let first = attempt.previous().first();
        let is_elsewhere = first.is_some_and(|first| first.origin() != target.origin());
        let text = "it redirects to another host, which is not to get the headers of header_file";
        (keeps_host && is_elsewhere).then_some(text)
    };
    match refused {
        Some(text) => attempt.error(text),
        None => attempt.follow(),
    }
}

fn transport(error: reqwest::Error) -> FetchError {
    let slow = if error.is_timeout() {
        "it is too slow: "
    } else {
        ""
    };
    format!("{slow}{}", error_chain(&error.without_url())).into()
}

fn refused(response: &Response) -> FetchError {
    let asked = text_of(response.headers(), &RETRY_AFTER).and_then(|text| {
        let seconds = text.parse().ok().map(Duration::from_secs);
        let until = || httpdate::parse_http_date(&text).ok()?.elapsed().err();
        seconds.or_else(|| until().map(|early| early.duration()))
    });
    FetchError {
        text: format!("it responded with {}", response.status()),
        retry_after: asked.map(|pause| pause.min(LONGEST_PAUSE)),
    }
}

fn text_of(headers: &HeaderMap, name: &reqwest::header::HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= LONGEST_VALIDATOR).then(|| text.to_owned())
}

fn conditions(validators: &Validators) -> HeaderMap {
    let pairs = [
        (IF_NONE_MATCH, &validators.etag),
        (IF_MODIFIED_SINCE, &validators.modified),
    ];
    let given = pairs.into_iter().filter_map(|(name, value)| {
        let value = HeaderValue::from_str(value.as_deref()?).ok()?;
        Some((name, value))
    });
    given.collect()
}

async fn receive(
    mut response: Response,
    most: u64,
    grace: Duration,
) -> Result<Vec<u8>, FetchError> {
    let started = Instant::now();
    let announced = response.content_length().unwrap_or(0);
    if announced > most {
        return Err(too_large(most));
    }
    let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(transport)? {
        if (body.len() + chunk.len()) as u64 > most {
            return Err(too_large(most));
        }
        body.extend_from_slice(&chunk);
        let took = started.elapsed();
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        if took > grace && (body.len() as f64) < LEAST_RATE * took.as_secs_f64() {
            let (bytes, seconds) = (body.len(), took.as_secs());
            return Err(format!("it is too slow: {bytes} bytes in {seconds} s").into());
        }
    }
    Ok(body)
}

fn too_large(most: u64) -> FetchError {
    format!("it is larger than max_bytes = {most}").into()
}

/// The content of a packed file or answer, whatever its header says: a list does not begin with these bytes.
pub(crate) fn unpacked(mut body: Vec<u8>, most: u64) -> Result<Vec<u8>, FetchError> {
    for _ in 0..MOST_LAYERS {
        if !body.starts_with(GZIP) {
            break;
        }
        let mut plain = Vec::new();
        let mut bounded = MultiGzDecoder::new(&*body).take(most.saturating_add(1));
        bounded
            .read_to_end(&mut plain)
            .map_err(|e| format!("it is not whole gzip: {e}"))?;
        if plain.len() as u64 > most {
            return Err(too_large(most));
        }
        body = plain;
    }
    Ok(body)
}
