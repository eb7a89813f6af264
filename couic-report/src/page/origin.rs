//! Where a request comes from: the client behind a trusted proxy, and whether the page itself sent it.
//!
//! The Host header must be an address, `localhost` or a configured name: a name that an attacker's DNS points here is
//! none of them (DNS rebinding). A POST must come from a page of this origin.

use std::net::IpAddr;

use warp::http::{HeaderMap, header};

use crate::{config, http::connection::forwarded_for};

/// A request's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    /// The browser's address.
    pub(super) ip: IpAddr,
    /// Whether the browser speaks TLS, to a proxy.
    pub(super) secure: bool,
}

impl Peer {
    /// The client at the other end of a connection, or behind it if that is a trusted proxy.
    pub(super) fn of(connected: IpAddr, headers: &HeaderMap, settings: &config::Page) -> Self {
        let connected = connected.to_canonical();
        let direct = Self {
            ip: connected,
            secure: false,
        };
        if !settings.proxies.contains(&connected) {
            return direct;
        }
        let secure = text(headers, "x-forwarded-proto").is_some_and(|p| p == "https");
        Self {
            ip: forwarded_for(headers).unwrap_or(connected),
            secure,
        }
    }
}

/// Whether the Host header is one of this page.
pub(super) fn is_our_host(headers: &HeaderMap, settings: &config::Page) -> bool {
    let mut all = headers.get_all(header::HOST).iter();
    let (Some(one), None) = (all.next(), all.next()) else {
        return false;
    };
    let host = one.to_str().ok().map(without_port);
    host.is_some_and(|host| {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare.parse::<IpAddr>().is_ok()
            || host.eq_ignore_ascii_case("localhost")
            || settings
                .hosts
                .iter()
                .any(|name| name.eq_ignore_ascii_case(host))
    })
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
            // An IPv6 address without brackets has no port.
            if name.contains(':') && !name.ends_with(']') {
                host
            } else {
                name
            }
        }
        _ => host,
    }
}

/// Whether a page of this origin sent the request. Browsers say so in `Origin`, which scripts cannot change.
pub(super) fn is_own(headers: &HeaderMap, secure: bool) -> bool {
    let scheme = if secure { "https" } else { "http" };
    match (text(headers, "origin"), text(headers, "host")) {
        (Some(origin), Some(host)) => origin
            .strip_prefix(scheme)
            .and_then(|rest| rest.strip_prefix("://"))
            .is_some_and(|named| named.eq_ignore_ascii_case(host)),
        (None, _) => text(headers, "sec-fetch-site").is_some_and(|site| site == "same-origin"),
        (Some(_), None) => false,
    }
}

/// Whether the browser follows a link from elsewhere, and therefore leaves out the session's cookie.
pub(super) fn is_followed_link(headers: &HeaderMap) -> bool {
    text(headers, "sec-fetch-site").is_some_and(|site| matches!(site, "cross-site" | "same-site"))
        && text(headers, "sec-fetch-mode").is_some_and(|mode| mode == "navigate")
}

pub(super) fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings() -> config::Page {
        config::Page {
            addr: ([127, 0, 0, 1], 8001).into(),
            users: Vec::new(),
            hosts: vec!["couic.example.org".to_owned()],
            proxies: vec![[127, 0, 0, 1].into()],
            session: Duration::from_secs(60),
            mmdb: Vec::new(),
            firewalls: Vec::new(),
        }
    }

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = all.iter().map(|(name, value)| {
            (
                header::HeaderName::from_static(name),
                value.parse().unwrap(),
            )
        });
        pairs.collect()
    }

    #[test]
    fn only_names_of_the_page_are_hosts() {
        let settings = settings();
        let ours = |host: &str| is_our_host(&headers(&[("host", host)]), &settings);
        for good in [
            "localhost:8001",
            "127.0.0.1",
            "127.0.0.1:8001",
            "[::1]:8001",
            "[::1]",
            "10.1.2.3:1",
            "couic.example.org",
            "COUIC.example.org:443",
        ] {
            assert!(ours(good), "{good}");
        }
        for bad in [
            "",
            "evil.example",
            "couic.example.org.evil.example",
            "localhost.evil",
            "a:b:c",
        ] {
            assert!(!ours(bad), "{bad}");
        }
        assert!(!is_our_host(&headers(&[]), &settings));
        let mut two = headers(&[("host", "localhost")]);
        two.append("host", "evil.example".parse().unwrap());
        assert!(!is_our_host(&two, &settings));
    }

    #[test]
    fn proxies_are_believed_only_if_they_are_configured() {
        let given = headers(&[
            ("x-forwarded-for", "6.6.6.6, 192.0.2.7"),
            ("x-forwarded-proto", "https"),
        ]);
        let of = |ip: [u8; 4]| Peer::of(ip.into(), &given, &settings());
        let (ip, secure) = (IpAddr::from([192, 0, 2, 7]), true);
        assert_eq!(of([127, 0, 0, 1]), Peer { ip, secure });
        let ip = IpAddr::from([192, 0, 2, 9]);
        assert_eq!(of([192, 0, 2, 9]), Peer { ip, secure: false });
    }

    #[test]
    fn a_post_of_another_site_is_recognised() {
        let own = |all: &[(&'static str, &str)], secure| is_own(&headers(all), secure);
        let host = ("host", "localhost:8001");
        assert!(own(&[host, ("origin", "http://localhost:8001")], false));
        assert!(own(&[host, ("sec-fetch-site", "same-origin")], false));
        for bad in [
            vec![host],
            vec![host, ("origin", "null")],
            vec![host, ("origin", "http://localhost:8002")],
            vec![host, ("origin", "http://evil.example")],
            vec![host, ("origin", "https://localhost:8001")],
            vec![host, ("origin", "null"), ("sec-fetch-site", "same-origin")],
            vec![host, ("sec-fetch-site", "cross-site")],
        ] {
            assert!(!own(&bad, false), "{bad:?}");
        }
        assert!(!own(&[host, ("origin", "http://localhost:8001")], true));
    }
}
