//! Prefixes announced by an autonomous system, fetched from an online source in the format of RIPEstat's
//! `announced-prefixes` call (<https://stat.ripe.net/docs/02.data-api/announced-prefixes.html>).
//!
//! For feeds and for couicctl. These requests carry no token and use the proxies of the environment.

use std::{collections::BTreeSet, fmt, str::FromStr};

use couic_common::Cidr;
use reqwest::Url;

use crate::{
    fetch::{Request, Timing, fetch_whole},
    format::{Format, parse},
};

/// Default source of prefixes.
pub const DEFAULT_URL: &str =
    "https://stat.ripe.net/data/announced-prefixes/data.json?resource=AS{asn}";

/// Placeholder for the number in the URL.
pub const PLACEHOLDER: &str = "{asn}";

/// Far more than the largest AS needs: some 10,000 prefixes, a response of 2 MB.
const MAX_ANSWER: u64 = 64 << 20;

/// The number of an autonomous system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asn(u32);

impl Asn {
    /// `None` for 0, which no system has.
    #[must_use]
    pub fn new(number: u32) -> Option<Self> {
        (number > 0).then_some(Self(number))
    }

    /// The URL of its prefixes.
    pub(crate) fn url(self, template: &str) -> String {
        template.replace(PLACEHOLDER, &self.0.to_string())
    }
}

impl FromStr for Asn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text
            .strip_prefix("AS")
            .or_else(|| text.strip_prefix("as"))
            .unwrap_or(text);
        let number = digits.parse().ok();
        number
            .filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(Self::new)
            .ok_or_else(|| "not the number of an autonomous system, such as AS64496".into())
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AS{}", self.0)
    }
}

/// RIPEstat's format.
pub(crate) fn format() -> Format {
    let steps = ["data", "prefixes", "*", "prefix"];
    Format::Json(vec![steps.map(str::to_owned).to_vec()])
}

/// The prefixes that `asn` announces, at least one. `template` is a URL with [`PLACEHOLDER`], and may contain a key:
/// messages name its host alone.
///
/// # Errors
/// Why there are none, for the operator.
pub async fn prefixes(template: &str, asn: Asn, agent: &str) -> Result<BTreeSet<Cidr>, String> {
    let url: Url = asn
        .url(template)
        .parse()
        .map_err(|_| "the URL of the source is not a URL".to_owned())?;
    let host = url.host_str().unwrap_or("?").to_owned();
    let failed =
        |what: String| format!("the prefixes of {asn} cannot be fetched from {host}: {what}");
    let request = Request {
        // It was configured so.
        allow_http: url.scheme() == "http",
        most: MAX_ANSWER,
        ..Request::of(url, agent, Timing::default())
    };
    let body = fetch_whole(request)
        .await
        .map_err(|e| failed(e.to_string()))?;
    read(&body).map_err(failed)
}

fn read(body: &[u8]) -> Result<BTreeSet<Cidr>, String> {
    let parsed = parse(body, &format())
        .map_err(|e| format!("its response is not in RIPEstat's format: {e}"))?;
    if let Some(bad) = parsed.first_unreadable {
        return Err(format!("its prefix {bad}"));
    }
    if parsed.networks.is_empty() {
        return Err("it lists no prefixes of this AS".into());
    }
    Ok(parsed.networks.iter().collect())
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
        let prefixes = read(body).unwrap();
        let shown: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["192.0.2.0/24", "2001:db8::/32"]);
        for (bad, text) in [
            (&b"<html>"[..], "RIPEstat's format"),
            (b"{\"data\":{", "RIPEstat's format"),
            (b"{\"data\":{\"prefixes\":[]}}", "no prefixes"),
            (
                b"{\"data\":{\"prefixes\":[{\"prefix\":\"x\"}]}}",
                "not an IPv4",
            ),
        ] {
            let error = read(bad).unwrap_err();
            assert!(error.contains(text), "{error}");
        }
    }
}
