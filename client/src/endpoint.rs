//! The address of the daemon.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    path::{Path, PathBuf},
};

use reqwest::Url;

use crate::SetupError;

/// The address of the daemon. `Display` is for messages, and contains no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix stream socket on this machine.
    Unix(PathBuf),
    /// A TCP port, such as that of a reverse proxy in front of a daemon.
    Tcp {
        /// A name or an address; an IPv6 address with or without brackets.
        host: String,
        /// The port.
        port: u16,
        /// Whether to use TLS. Without it, the token is sent in clear text.
        tls: bool,
    },
}

impl Endpoint {
    /// The Unix socket at `path`.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self::Unix(path.as_ref().to_owned())
    }

    /// A TCP port with TLS.
    pub fn tls(host: impl Into<String>, port: u16) -> Self {
        Self::Tcp {
            host: host.into(),
            port,
            tls: true,
        }
    }

    /// A TCP port without TLS. The token is sent in clear text, so use it for loopback and tunnels only.
    pub fn plain(host: impl Into<String>, port: u16) -> Self {
        Self::Tcp {
            host: host.into(),
            port,
            tls: false,
        }
    }

    /// The base of request URLs. Over a Unix socket, the host is a placeholder.
    pub(crate) fn base_url(&self) -> Result<Url, SetupError> {
        let Self::Tcp { host, port, tls } = self else {
            return Url::parse("http://localhost/")
                .map_err(|_| SetupError::Host("localhost".into()));
        };
        let bad = || SetupError::Host(host.clone());
        let scheme = if *tls { "https" } else { "http" };
        let bare = host
            .strip_prefix('[')
            .and_then(|h| h.strip_suffix(']'))
            .unwrap_or(host);
        let shown = match bare.parse::<Ipv6Addr>() {
            Ok(v6) => format!("[{v6}]"),
            Err(_) if is_host_name(host) || host.parse::<IpAddr>().is_ok() => host.clone(),
            Err(_) => return Err(bad()),
        };
        Url::parse(&format!("{scheme}://{shown}:{port}/")).map_err(|_| bad())
    }
}

/// Accepts only characters of host names: a `/`, `@` or `?` would change the meaning of the URL.
fn is_host_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') && !host.starts_with('[') => {
                write!(f, "[{host}]:{port}")
            }
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (endpoint, url, shown) in [
            (
                Endpoint::unix("/run/x.sock"),
                "http://localhost/",
                "/run/x.sock",
            ),
            (
                Endpoint::tls("couic.tld", 2900),
                "https://couic.tld:2900/",
                "couic.tld:2900",
            ),
            (
                Endpoint::plain("10.0.0.1", 80),
                "http://10.0.0.1/",
                "10.0.0.1:80",
            ),
            (Endpoint::tls("::1", 1), "https://[::1]:1/", "[::1]:1"),
            (Endpoint::tls("[::1]", 1), "https://[::1]:1/", "[::1]:1"),
        ] {
            assert_eq!(endpoint.base_url().unwrap().as_str(), url);
            assert_eq!(endpoint.to_string(), shown);
        }
    }

    #[test]
    fn a_host_cannot_smuggle_a_path_or_a_user() {
        for bad in [
            "", "a/b", "a@b", "a?b", "a#b", "a b", "a:1", "[::1", "é.tld",
        ] {
            let Err(error) = Endpoint::tls(bad, 1).base_url() else {
                panic!("{bad:?} was accepted");
            };
            assert!(error.to_string().contains("host"), "{error}");
        }
    }
}
