//! A feed as the configuration writes it ([`FeedConfig`]), and checked ([`Feed`]), which cannot be wrong.

mod check;

use std::{fmt, path::PathBuf, time::Duration};

use couic_common::{Policy, SetName};
use reqwest::Url;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{asn::Asn, format::Format};

/// The prefix of a feed's set.
pub const SET_PREFIX: &str = "feed-";

/// A URL, which may hold a key: `Debug` and [`FeedUrl::shown`] tell the host only.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct FeedUrl(pub String);

impl FeedUrl {
    /// Scheme and host, for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        let parsed = self.0.parse::<Url>().ok();
        let host = parsed.as_ref().and_then(Url::host_str);
        match (&parsed, host) {
            (Some(url), Some(host)) => format!("{}://{host}", url.scheme()),
            _ => "(not a URL)".to_owned(),
        }
    }
}

impl fmt::Debug for FeedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

/// A column of a CSV list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Column {
    /// Counted from 1.
    Number(usize),
    /// By the name in the first line.
    Name(String),
}

/// One or several texts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

/// A feed as it is written in a configuration; what is absent has a default, or is the preset's.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedConfig {
    /// 1 to 40 of `A-Z a-z 0-9 _ -`; its set is `feed-NAME`.
    pub name: String,
    /// A list that Couic knows: [`crate::PRESETS`]. Other keys override what it says.
    pub preset: Option<String>,
    /// Where the list is fetched from: `https://`, or `http://` with `allow_http`.
    pub url: Option<FeedUrl>,
    /// A file of this host that holds the list; no symbolic link.
    pub file: Option<PathBuf>,
    /// The networks that an autonomous system announces.
    pub asn: Option<u32>,
    /// `text` (the default), `ranges`, `csv`, `json` or `ndjson`.
    pub format: Option<String>,
    /// Of format `csv`: number or name of the column with the networks; 1 is the default.
    pub column: Option<Column>,
    /// Of format `csv`: one character; a comma is the default.
    pub separator: Option<String>,
    /// Of formats `json` and `ndjson`: where the networks stand, as in `/prefixes/*/ip_prefix`.
    pub pointer: Option<OneOrMore>,
    /// `drop` (the default) or `ignore`.
    pub policy: Option<Policy>,
    /// How often it is fetched, as `1h` (the default); 1 min to 30 days.
    pub every: Option<String>,
    /// A list with fewer entries that are taken, before they are merged, is refused; 1 is the default.
    pub min_entries: Option<u64>,
    /// The share of the list that may change at once, 0.5 by default: a larger change is held back.
    pub most_change: Option<f64>,
    /// The shortest IPv4 prefix that is taken: 10 in drop, 16 in ignore by default.
    pub widest_ipv4: Option<u8>,
    /// The shortest IPv6 prefix that is taken: 24 in drop, 32 in ignore by default.
    pub widest_ipv6: Option<u8>,
    /// Whether the list may come over `http://`, where anyone on the way can write it.
    pub allow_http: Option<bool>,
    /// Whether private and reserved networks are taken, for lists of your own.
    pub allow_bogons: Option<bool>,
    /// The largest list in bytes, unpacked; 32 MiB by default, at most 256 MiB.
    pub max_bytes: Option<u64>,
    /// Fetched, judged and counted, but not in force. A feed is in shadow until this is `false`.
    pub shadow: Option<bool>,
    /// Certificates (PEM) that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
    /// A private file with headers of the request, `Name: value` a line.
    pub header_file: Option<PathBuf>,
}

/// Where a list comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A URL.
    Url(FeedUrl),
    /// A file.
    File(PathBuf),
    /// An autonomous system, by the source of the settings.
    Asn(Asn),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(&url.shown()),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Asn(asn) => asn.fmt(f),
        }
    }
}

/// A checked feed.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are those of FeedConfig")]
pub struct Feed {
    pub name: String,
    pub set: SetName,
    pub source: Source,
    pub format: Format,
    pub policy: Policy,
    pub every: Duration,
    pub min_entries: u64,
    pub most_change: f64,
    pub widest_v4: u8,
    pub widest_v6: u8,
    pub allow_http: bool,
    pub allow_bogons: bool,
    pub max_bytes: u64,
    pub shadow: bool,
    pub ca_file: Option<PathBuf>,
    pub header_file: Option<PathBuf>,
}

impl Feed {
    /// What tells lists of another origin from this one's: they are no measure for it, and its validators not theirs.
    pub(crate) fn fingerprint(&self) -> String {
        let source = match &self.source {
            Source::Url(url) => url.0.clone(),
            other => other.to_string(),
        };
        let text = format!("{source}\n{:?}", self.format);
        crate::store::hex(&Sha256::digest(text))
    }
}

/// A mistake: the key, and what is wrong with its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FeedMistake {
    /// The key.
    pub key: &'static str,
    /// What is wrong, and what may stand there.
    pub message: String,
}
