//! Prefixes announced by an autonomous system, fetched from an online source in the format of RIPEstat's
//! `announced-prefixes` call (<https://stat.ripe.net/docs/02.data-api/announced-prefixes.html>).
//!
//! The source is `asn_url` of the configuration. Unlike requests to the daemon, these carry no token and use the
//! proxies of the environment.

use std::{collections::BTreeSet, fmt, str::FromStr, time::Duration};

use couic_client::tls;
use couic_common::{Cidr, error_chain};
use reqwest::Url;
use serde::Deserialize;

use crate::failure::Failure;

/// Default source of prefixes.
pub(crate) const DEFAULT_URL: &str =
    "https://stat.ripe.net/data/announced-prefixes/data.json?resource=AS{asn}";

/// Placeholder for the number in the URL.
pub(crate) const PLACEHOLDER: &str = "{asn}";

const TIMEOUT: Duration = Duration::from_secs(60);

/// Far more than the largest AS needs: some 10,000 prefixes, a response of 2 MB.
const MAX_ANSWER: usize = 64 << 20;

/// The number of an autonomous system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asn(u32);

impl FromStr for Asn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text
            .strip_prefix("AS")
            .or_else(|| text.strip_prefix("as"))
            .unwrap_or(text);
        digits
            .parse()
            .ok()
            .filter(|n| *n > 0 && digits.bytes().all(|b| b.is_ascii_digit()))
            .map(Self)
            .ok_or_else(|| "not the number of an autonomous system, such as AS64496".into())
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.0)
    }
}

#[derive(Deserialize)]
struct Answer {
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    prefixes: Vec<Announced>,
}

#[derive(Deserialize)]
struct Announced {
    prefix: String,
}

/// The prefixes that `asn` announces, at least one.
pub(crate) async fn prefixes(template: &str, asn: Asn) -> Result<BTreeSet<Cidr>, Failure> {
    let url: Url = template
        .replace(PLACEHOLDER, &asn.0.to_string())
        .parse()
        .map_err(|_| Failure::Config("asn_url is not a URL".into()))?;
    // The URL may contain a key, so messages name only the host.
    let host = url.host_str().unwrap_or("?").to_owned();
    let failed = |what: String| {
        Failure::Failed(format!(
            "the prefixes of {asn} cannot be fetched from {host}: {what}; nothing was changed\nhint: set another source as asn_url in couicctl.toml, or give the prefixes with --from-file"
        ))
    };
    let body = fetch(url).await.map_err(&failed)?;
    parse(&body).map_err(failed)
}

async fn fetch(url: Url) -> Result<Vec<u8>, String> {
    let tls = if url.scheme() == "https" {
        tls::client_config(None)
    } else {
        tls::untrusting_config()
    };
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls.map_err(|e| e.to_string())?)
        .timeout(TIMEOUT)
        .user_agent(concat!("couicctl/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|e| error_chain(&e.without_url()))?;
    let mut response = client
        .get(url)
        .send()
        .await
        .map_err(|e| error_chain(&e.without_url()))?;
    if !response.status().is_success() {
        return Err(format!("it responded with {}", response.status()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|e| error_chain(&e.without_url()))?
    {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(format!(
                "its response is larger than {} MiB",
                MAX_ANSWER >> 20
            ));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse(body: &[u8]) -> Result<BTreeSet<Cidr>, String> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|e| format!("its response is not in RIPEstat's format: {e}"))?;
    let read = |announced: &Announced| {
        announced
            .prefix
            .parse()
            .map_err(|e| format!("its prefix {:?} is not a CIDR: {e}", announced.prefix))
    };
    let prefixes: BTreeSet<Cidr> = answer
        .data
        .prefixes
        .iter()
        .map(read)
        .collect::<Result<_, _>>()?;
    if prefixes.is_empty() {
        return Err("it lists no prefixes of this AS".into());
    }
    Ok(prefixes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!("AS64496".parse::<Asn>().unwrap().to_string(), "AS64496");
        assert_eq!("as1".parse(), Ok(Asn(1)));
        assert_eq!("4294967295".parse(), Ok(Asn(u32::MAX)));
        for bad in [
            "",
            "AS",
            "AS0",
            "AS-1",
            "AS+1",
            "4294967296",
            "ASAS1",
            "AS1 ",
        ] {
            assert!(bad.parse::<Asn>().is_err(), "{bad}");
        }
    }

    #[test]
    fn answers() {
        let body = br#"{"messages":[],"status":"ok","data":{"resource":"64496","prefixes":[
            {"prefix":"2001:db8::/32","timelines":[]},{"prefix":"192.0.2.0/24"},{"prefix":"192.0.2.0/24"}]}}"#;
        let prefixes = parse(body).unwrap();
        let shown: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.0/24", "2001:db8::/32"]);
        for (bad, text) in [
            (&b"<html>"[..], "RIPEstat's format"),
            (b"{\"data\":{}}", "RIPEstat's format"),
            (b"{\"data\":{\"prefixes\":[]}}", "no prefixes"),
            (
                b"{\"data\":{\"prefixes\":[{\"prefix\":\"x\"}]}}",
                "not a CIDR",
            ),
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }
}
