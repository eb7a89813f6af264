//! Which files and ports a configuration needs: what the confinement allows.

use std::{env, path::PathBuf};

use couic_feeds::{Source, asn};
use http::Uri;

use super::Config;

/// Proxies of the environment.
const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

impl Config {
    /// The files that are read while this runs.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = vec![self.token_file.clone()];
        if let Some(crowdsec) = &self.crowdsec {
            let of = [
                &crowdsec.key_file,
                &crowdsec.certificate,
                &crowdsec.private_key,
                &crowdsec.ca,
            ];
            files.extend(of.into_iter().flatten().cloned());
        }
        for feed in self.checked() {
            files.extend([feed.ca_file, feed.header_file].into_iter().flatten());
            if let Source::File(path) = feed.source {
                files.push(path);
            }
        }
        files
    }

    /// The TCP ports that are connected to, without the usual ones.
    pub(crate) fn ports(&self) -> Vec<u16> {
        let mut urls = Vec::new();
        urls.extend(self.crowdsec.as_ref().map(|crowdsec| crowdsec.url.clone()));
        for feed in self.checked() {
            match feed.source {
                Source::Url(url) => urls.push(url.0),
                Source::Asn(_) => urls.push(self.asn_url.replace(asn::PLACEHOLDER, "1")),
                Source::File(_) => {}
            }
        }
        urls.extend(PROXIES.iter().filter_map(|name| env::var(name).ok()));
        let mut ports: Vec<u16> = urls.iter().filter_map(|url| port(url)).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
    }
}

/// The port of a URL; None if it has no host, as a socket.
pub(super) fn port(url: &str) -> Option<u16> {
    let url: Uri = url.parse().ok()?;
    let usual = match url.scheme_str() {
        Some("https") => 443,
        Some(scheme) if scheme.starts_with("socks") => 1080,
        _ => 80,
    };
    url.host()?;
    Some(url.port_u16().unwrap_or(usual))
}
