//! Fields of a query or a form, bounded by the size of what is parsed.

use std::net::IpAddr;

use couic_common::Cidr;

/// The largest body of a form.
pub(super) const LARGEST: usize = 16 * 1024;

/// The most fields that are read.
const MOST_FIELDS: usize = 32;

/// The fields in order; the first of a name counts.
#[derive(Debug, Default)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Parses `application/x-www-form-urlencoded`, which any bytes are.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(bytes).into_owned();
        Self(pairs.take(MOST_FIELDS).collect())
    }

    /// The value without white space around it; None if it is missing or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        let (_, value) = pairs.find(|(key, _)| key == name)?;
        Some(value.trim()).filter(|value| !value.is_empty())
    }
}

/// The address that somebody typed, or what is wrong with it.
pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    match Cidr::parse_address(text) {
        Ok(ip) => Ok(ip.to_canonical()),
        Err(_) if text.parse::<Cidr>().is_ok() => {
            Err("a network: look up an address in it".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}

/// A path with a query. Empty values are left out.
pub(super) fn link(path: &str, pairs: &[(&str, &str)]) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        query.append_pair(name, value);
    }
    match query.finish() {
        query if query.is_empty() => path.to_owned(),
        query => format!("{path}?{query}"),
    }
}

/// A path of this page to go on to after the login; `/` for anything that a browser may take for another host.
pub(super) fn local_path(text: Option<&str>) -> &str {
    text.filter(|path| {
        path.len() <= 512
            && path.starts_with('/')
            && !path.starts_with("//")
            && path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\')
    })
    .unwrap_or("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_typed_in_many_ways() {
        let plain = address("203.0.113.7");
        assert_eq!(plain, Ok([203, 0, 113, 7].into()));
        assert_eq!(address("::ffff:203.0.113.7"), plain);
        assert!(address("203.0.113.0/24").unwrap_err().contains("network"));
        assert!(address("203.0.113.7:22").unwrap_err().contains("port"));
    }

    #[test]
    fn fields_are_decoded_and_bounded() {
        let form = Form::parse(b"ip=+192.0.2.1%20&tag=%3Cb%3E&empty=&ip=second&%ff=x");
        assert_eq!(form.get("ip"), Some("192.0.2.1"));
        assert_eq!(form.get("tag"), Some("<b>"));
        assert_eq!((form.get("empty"), form.get("none")), (None, None));
        let many = "a=b&".repeat(10_000);
        assert_eq!(Form::parse(many.as_bytes()).0.len(), MOST_FIELDS);
    }

    #[test]
    fn links_escape_their_values() {
        let path = link(
            "/changes",
            &[("tag", "a b&c=\"<"), ("firewall", ""), ("q", "ü")],
        );
        assert_eq!(path, "/changes?tag=a+b%26c%3D%22%3C&q=%C3%BC");
        assert_eq!(link("/", &[("a", "")]), "/");
    }

    #[test]
    fn a_login_leads_to_this_page_only() {
        for good in ["/", "/address?ip=::1", "/changes?tag=a%20b"] {
            assert_eq!(local_path(Some(good)), good);
        }
        let long = format!("/{}", "a".repeat(600));
        for bad in [
            "",
            "x",
            "//evil.example",
            "/\\evil.example",
            "https://evil",
            "/a b",
            "/\r\n",
            &long,
        ] {
            assert_eq!(local_path(Some(bad)), "/", "{bad}");
        }
        assert_eq!(local_path(None), "/");
    }
}
