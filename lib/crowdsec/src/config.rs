//! Settings of a consumer, and their mistakes.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use reqwest::Url;
use serde::{Deserialize, Deserializer, de};

use crate::duration;

/// The kind of target of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Scope {
    /// An address.
    Ip,
    /// A network.
    Range,
}

/// The LAPI, and what is taken of its decisions.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The address of the LAPI: `http://127.0.0.1:8080/`, or `unix:/run/crowdsec.sock`.
    pub url: String,
    /// A file with the API key alone, as `cscli bouncers add NAME -o raw` prints it. It is read at the start, and again
    /// after failures.
    pub key_file: Option<PathBuf>,
    /// The certificate (PEM) of this client, in place of a key.
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM).
    pub private_key: Option<PathBuf>,
    /// Certificate authorities (PEM) of the LAPI, besides those of the system.
    pub ca: Option<PathBuf>,
    /// Allow `http` to other hosts: key and decisions go over the network in clear, where both can be read and changed.
    pub allow_http: bool,
    /// How often the LAPI is asked for what is new.
    #[serde(deserialize_with = "text")]
    pub interval: Duration,
    /// How often it is asked for everything.
    #[serde(deserialize_with = "text")]
    pub full_every: Duration,
    /// Only decisions of these origins, such as `crowdsec`, `cscli`, `CAPI`, `lists`, `lists:NAME`. All if empty.
    pub origins: Vec<String>,
    /// Only decisions whose scenario contains one of these texts. All if empty.
    pub scenarios: Vec<String>,
    /// Only decisions of these scopes.
    pub scopes: Vec<Scope>,
    /// What is banned for one IPv6 address: 128, the address alone, or 64, its network.
    pub ipv6_prefix: u8,
    /// The widest IPv4 network that is banned: 8 allows /8 to /32.
    pub widest_ipv4: u8,
    /// The widest IPv6 network that is banned.
    pub widest_ipv6: u8,
    /// How long a ban outlives its decision unless the LAPI tells its end. None for twice the interval.
    #[serde(deserialize_with = "some_text")]
    pub grace: Option<Duration>,
    /// The most decisions that are held; what comes behind them is not banned, and is told.
    pub most: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            url: "http://127.0.0.1:8080/".to_owned(),
            key_file: None,
            certificate: None,
            private_key: None,
            ca: None,
            allow_http: false,
            interval: Duration::from_secs(10),
            full_every: Duration::from_secs(600),
            origins: Vec::new(),
            scenarios: Vec::new(),
            scopes: vec![Scope::Ip, Scope::Range],
            ipv6_prefix: 128,
            widest_ipv4: 8,
            widest_ipv6: 16,
            grace: None,
            most: 1_000_000,
        }
    }
}

/// Where the LAPI listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Unix(PathBuf),
    Http(Url),
}

impl Config {
    /// Every value that cannot be meant, as key and message.
    #[must_use]
    pub fn mistakes(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if let Err(message) = self.place() {
            found.push(("url", message));
        }
        self.credentials(&mut found);
        let (interval, full) = (self.interval.as_secs(), self.full_every.as_secs());
        if !(1..=3_600).contains(&interval) {
            found.push(("interval", "must be 1s to 1h".to_owned()));
        }
        if full < interval || full > 86_400 {
            let message = "must be at least `interval`, and at most 24h".to_owned();
            found.push(("full_every", message));
        }
        if self
            .grace
            .is_some_and(|grace| grace > Duration::from_secs(86_400))
        {
            found.push(("grace", "must be at most 24h".to_owned()));
        }
        for (key, texts) in [("origins", &self.origins), ("scenarios", &self.scenarios)] {
            let is_bad = |text: &String| text.is_empty() || text.len() > 200 || text.contains(',');
            if texts.len() > 64 || texts.iter().any(is_bad) {
                let message = "must be at most 64 texts of 1 to 200 bytes without commas";
                found.push((key, message.to_owned()));
            }
        }
        if self.scopes.is_empty() {
            found.push(("scopes", "names none: use [\"Ip\", \"Range\"]".to_owned()));
        }
        if ![64, 128].contains(&self.ipv6_prefix) {
            found.push(("ipv6_prefix", "must be 64 or 128".to_owned()));
        }
        for (key, prefix, most) in [
            ("widest_ipv4", self.widest_ipv4, 32),
            ("widest_ipv6", self.widest_ipv6, self.ipv6_prefix.min(128)),
        ] {
            if !(1..=most).contains(&prefix) {
                found.push((key, format!("must be 1 to {most}")));
            }
        }
        if !(1..=4_000_000).contains(&self.most) {
            found.push(("most", "must be 1 to 4000000".to_owned()));
        }
        found
    }

    fn credentials(&self, found: &mut Vec<(&'static str, String)>) {
        if self.certificate.is_some() != self.private_key.is_some() {
            let (here, other) = match self.certificate {
                Some(_) => ("private_key", "certificate"),
                None => ("certificate", "private_key"),
            };
            found.push((here, format!("is missing: `{other}` needs it")));
        }
        let is_tls = matches!(self.place(), Ok(Place::Http(url)) if url.scheme() == "https");
        if self.certificate.is_some() && self.place().is_ok() && !is_tls {
            found.push(("certificate", "needs an `url` with https".to_owned()));
        }
        if self.key_file.is_none() && self.certificate.is_none() {
            let message = "is missing: `cscli bouncers add couic -o raw` prints a key once; write it to a file for this program only, or give `certificate` and `private_key`";
            found.push(("key_file", message.to_owned()));
        }
    }

    pub(crate) fn place(&self) -> Result<Place, String> {
        let path = self.url.strip_prefix("unix://");
        let path = path.or_else(|| self.url.strip_prefix("unix:"));
        let path = path.or_else(|| Some(&*self.url).filter(|url| url.starts_with('/')));
        if let Some(path) = path {
            return if path.starts_with('/') {
                Ok(Place::Unix(path.into()))
            } else {
                Err("the path of the socket must begin with /".to_owned())
            };
        }
        let url: Url = self.url.parse().map_err(|error| {
            format!("is no URL ({error}): http://127.0.0.1:8080/, or unix:/run/crowdsec.sock")
        })?;
        if url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err("must be a scheme, a host, a port and a path, nothing else".to_owned());
        }
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http || is_loopback(&url) => {}
            "http" => {
                return Err("would send the key in clear to another host: use https, or set `allow_http = true` for a network that you trust".to_owned());
            }
            _ => return Err("must begin with http://, https:// or unix:/".to_owned()),
        }
        Ok(Place::Http(url))
    }

    /// The grace in seconds.
    pub(crate) fn grace(&self) -> u64 {
        self.grace
            .map_or(2 * self.interval.as_secs(), |grace| grace.as_secs())
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|addr| addr.is_loopback())
}

/// `10s`, `1h30m`.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let seconds = duration::seconds(&text).and_then(|seconds| u64::try_from(seconds).ok());
    let none = || de::Error::custom("must be a time such as \"10s\" or \"1h30m\"");
    seconds.map(Duration::from_secs).ok_or_else(none)
}

fn some_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    text(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_url(url: &str) -> Config {
        Config {
            url: url.to_owned(),
            key_file: Some("/k".into()),
            ..Config::default()
        }
    }

    #[test]
    fn places() {
        for good in [
            "http://127.0.0.1:8080",
            "http://localhost:8080/",
            "http://[::1]:8080/lapi/",
            "https://crowdsec.example.org:8080",
            "unix:/run/crowdsec.sock",
            "unix:///run/crowdsec.sock",
            "/run/crowdsec.sock",
        ] {
            assert_eq!(with_url(good).mistakes(), [], "{good}");
        }
        let socket = Place::Unix("/run/x".into());
        assert_eq!(with_url("unix:///run/x").place(), Ok(socket));
        for bad in [
            "",
            "127.0.0.1:8080",
            "ftp://127.0.0.1",
            "unix:run/x",
            "http://192.0.2.1:8080/",
            "http://localhost.example.org/",
            "http://user:word@127.0.0.1/",
            "http://127.0.0.1/?startup=true",
        ] {
            let mistakes = with_url(bad).mistakes();
            assert_eq!(mistakes.len(), 1, "{bad}: {mistakes:?}");
            assert!(!mistakes[0].1.contains("word"), "{mistakes:?}");
        }
        let mut config = with_url("http://192.0.2.1:8080/");
        config.allow_http = true;
        assert_eq!(config.mistakes(), []);
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let bad = Config {
            url: "x".to_owned(),
            certificate: Some("/c".into()),
            interval: Duration::ZERO,
            full_every: Duration::from_secs(100_000),
            grace: Some(Duration::from_secs(100_000)),
            origins: vec!["a,b".to_owned()],
            scenarios: vec![String::new()],
            scopes: Vec::new(),
            ipv6_prefix: 56,
            widest_ipv4: 33,
            widest_ipv6: 0,
            most: 0,
            ..Config::default()
        };
        let keys: Vec<&str> = bad.mistakes().iter().map(|(key, _)| *key).collect();
        assert_eq!(
            keys,
            [
                "url",
                "private_key",
                "interval",
                "full_every",
                "grace",
                "origins",
                "scenarios",
                "scopes",
                "ipv6_prefix",
                "widest_ipv4",
                "widest_ipv6",
                "most"
            ]
        );
        let none = Config::default().mistakes();
        assert_eq!(none.len(), 1);
        assert!(none[0].1.contains("cscli bouncers add"));
    }

    #[test]
    fn times_are_texts_and_unknown_keys_are_refused() {
        let read = |json: &str| serde_json::from_str::<Config>(json);
        let config = read(r#"{"key_file":"/k","interval":"1m30s","scopes":["Ip"],"grace":"0s"}"#);
        let config = config.unwrap();
        assert_eq!(config.interval, Duration::from_secs(90));
        assert_eq!((config.grace(), config.scopes.len()), (0, 1));
        assert_eq!(Config::default().grace(), 20);
        for bad in [
            r#"{"interval":10}"#,
            r#"{"interval":"10"}"#,
            r#"{"intervall":"10s"}"#,
            r#"{"scopes":["AS"]}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
