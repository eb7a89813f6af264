//! The bytes of a list, from wherever it is.

use couic_files::read_regular;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    config::{Feed, Source},
    fetch::{FetchError, Fetched, Request, Validators, fetch, unpacked},
    settings::Settings,
};

/// The largest file of certificates or headers.
const MOST_EXTRA: u64 = 1 << 20;

/// Fetches or reads a list; `validators` are those of the one that is there already.
pub(crate) async fn obtain(
    feed: &Feed,
    settings: &Settings,
    validators: Option<Validators>,
) -> Result<Fetched, FetchError> {
    let url = match &feed.source {
        Source::File(path) => {
            let (path, most) = (path.clone(), feed.max_bytes);
            let read = tokio::task::spawn_blocking(move || {
                let bytes =
                    read_regular(&path, most).map_err(|e| format!("it cannot be read: {e}"))?;
                unpacked(bytes, most)
            });
            let bytes = read.await.map_err(|e| e.to_string())??;
            return Ok(Fetched::List(bytes, Validators::default()));
        }
        Source::Url(url) => url.0.clone(),
        Source::Asn(asn) => asn.url(&settings.asn_url),
    };
    let url = url.parse().map_err(|_| "its URL is not a URL".to_owned())?;
    let extra_ca = feed.ca_file.as_deref().map(|path| extra(path, "ca_file"));
    let header_file = feed.header_file.as_deref();
    let headers = header_file.map(|path| extra(path, "header_file").and_then(|b| headers(&b)));
    // A source over http:// was configured so.
    let is_asn = matches!(feed.source, Source::Asn(_));
    let request = Request {
        allow_http: feed.allow_http || (is_asn && settings.asn_url.starts_with("http://")),
        most: feed.max_bytes,
        extra_ca: extra_ca.transpose()?,
        headers: headers.transpose()?.unwrap_or_default(),
        validators,
        ..Request::of(url, &settings.agent, settings.timing)
    };
    fetch(request).await
}

fn extra(path: &std::path::Path, key: &str) -> Result<Vec<u8>, FetchError> {
    let read = read_regular(path, MOST_EXTRA);
    read.map_err(|e| format!("{key} {} cannot be read: {e}", path.display()).into())
}

/// `Name: value` a line; values are secrets.
fn headers(bytes: &[u8]) -> Result<HeaderMap, FetchError> {
    let text = String::from_utf8_lossy(bytes);
    let lines = text.lines().map(str::trim).enumerate();
    let some = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let parsed = some.map(|(at, line)| {
        let bad = || format!("line {} of header_file is not Name: value", at + 1);
        let (name, value) = line.split_once(':').ok_or_else(bad)?;
        let name: HeaderName = name.trim().parse().map_err(|_| bad())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| bad())?;
        value.set_sensitive(true);
        Ok((name, value))
    });
    parsed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_mistakes_do_not_tell_secrets() {
        let map =
            headers(b"# key of the feed\nX-Key: s3cret\r\n\nAuthorization: Bearer t\n").unwrap();
        assert_eq!(map["x-key"], "s3cret");
        assert!(map.values().all(HeaderValue::is_sensitive));
        let error = headers(b"\ns3cret\n").unwrap_err().to_string();
        assert_eq!(error, "line 2 of header_file is not Name: value");
    }
}
