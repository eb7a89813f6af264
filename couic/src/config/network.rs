//! The keys about others: where reports go, and who the peers are.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use hyper::Uri;
use serde::Deserialize;
use toml::{Spanned, de::ValueDeserializer};
use uuid::Uuid;

use super::{Secret, reader::Section};

/// Whom rule changes are reported to.
#[derive(Clone, Debug)]
pub struct Reporting {
    /// Whether at all.
    pub enabled: bool,
    /// An http or https URL. Its path is a secret.
    pub webhook: Option<Secret<String>>,
    /// More notifiers, as plugins.
    pub notifiers: Vec<Notifier>,
}

/// A notifier that a plugin provides.
#[derive(Clone, Debug)]
pub struct Notifier {
    /// A name in `[plugins] dir`, or a path.
    pub plugin: String,
    /// Handed to the plugin; may hold secrets.
    pub config: Secret<toml::Table>,
}

/// Whom rule changes are shared with.
#[derive(Clone, Debug)]
pub struct Peering {
    /// Whether at all.
    pub enabled: bool,
    /// Each host and port once.
    pub peers: Vec<Peer>,
}

/// Another node.
#[derive(Clone, Debug)]
pub struct Peer {
    /// A host name or an address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether to speak TLS.
    pub tls: bool,
    /// The token of our client there.
    pub token: Secret<Uuid>,
}

pub(super) fn reporting(root: &mut Section<'_>) -> Option<Reporting> {
    let mut section = root.table("reporting");
    let enabled = section.bool("enabled", false);
    let webhook = webhook(&mut section);
    let notifiers = section.tables("notifiers").and_then(|tables| {
        let read: Vec<_> = tables.into_iter().map(notifier).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    if let (Some(true), Some(None), Some([])) = (enabled, &webhook, notifiers.as_deref()) {
        let message = "is missing: [reporting] is enabled and has nobody to report to";
        section.mistake::<()>(None, "webhook", message.to_owned());
    }
    section.finish();
    Some(Reporting {
        enabled: enabled?,
        webhook: webhook?,
        notifiers: notifiers?,
    })
}

/// The URL is not quoted in messages: it is a secret. An empty one counts as none.
fn webhook(section: &mut Section<'_>) -> Option<Option<Secret<String>>> {
    let Some((text, line)) = section.string("webhook").ok()? else {
        return Some(None);
    };
    if text.is_empty() {
        return Some(None);
    }
    let uri: Option<Uri> = text.parse().ok();
    let fine = uri.is_some_and(|u| {
        matches!(u.scheme_str(), Some("http" | "https")) && u.host().is_some_and(|h| !h.is_empty())
    });
    if fine {
        return Some(Some(Secret::new(text.to_owned())));
    }
    let message = "is not an http or https URL (not shown here: it may hold a secret)";
    section.mistake(Some(line), "webhook", message.to_owned())
}

fn notifier(mut section: Section<'_>) -> Option<Notifier> {
    let plugin = match section.string("plugin") {
        Ok(Some((name, _))) if !name.is_empty() => Some(name.to_owned()),
        Ok(Some((_, line))) => section.mistake(Some(line), "plugin", "is empty".to_owned()),
        Ok(None) => section.mistake(None, "plugin", "is missing".to_owned()),
        Err(()) => None,
    };
    let config = match section.get("config") {
        None => Some(toml::Table::new()),
        Some(found) if !found.value.is_table() => {
            let message = "must be a table".to_owned();
            section.mistake(Some(found.line), "config", message)
        }
        Some(found) => toml::Table::deserialize(ValueDeserializer::from(Spanned::new(
            0..0,
            found.value.clone(),
        )))
        .ok()
        .or_else(|| {
            let message = "holds a value that cannot be read".to_owned();
            section.mistake(Some(found.line), "config", message)
        }),
    };
    section.finish();
    Some(Notifier {
        plugin: plugin?,
        config: Secret::new(config?),
    })
}

pub(super) fn peering(root: &mut Section<'_>) -> Option<Peering> {
    let mut section = root.table("peering");
    let enabled = section.bool("enabled", false);
    let mut seen = BTreeSet::new();
    let peers = section.tables("peers").and_then(|tables| {
        let read: Vec<_> = tables.into_iter().map(|t| peer(t, &mut seen)).collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    section.finish();
    Some(Peering {
        enabled: enabled?,
        peers: peers?,
    })
}

fn peer(mut section: Section<'_>, seen: &mut BTreeSet<(String, u16)>) -> Option<Peer> {
    let host = match section.string("host") {
        Ok(Some((host, _))) if host_name(host) => Some(host.to_owned()),
        Ok(Some((host, line))) => {
            let message = format!("{host:?} is neither a host name nor an address");
            section.mistake(Some(line), "host", message)
        }
        Ok(None) => section.mistake(None, "host", "is missing".to_owned()),
        Err(()) => None,
    };
    let port = section.int("port", 1..=65_535, None);
    let port = port.and_then(|p| u16::try_from(p).ok());
    let tls = section.bool("tls", true);
    let token = match section.string("token") {
        Ok(Some((text, line))) => Uuid::parse_str(text).ok().or_else(|| {
            let message = "is not a UUID (not shown here: it is a secret)";
            section.mistake(Some(line), "token", message.to_owned())
        }),
        Ok(None) => section.mistake(None, "token", "is missing".to_owned()),
        Err(()) => None,
    };
    if let (Some(host), Some(port)) = (&host, port)
        && !seen.insert((host.to_ascii_lowercase(), port))
    {
        let message = format!("{host} port {port} is named twice");
        section.mistake::<()>(None, "host", message);
    }
    section.finish();
    Some(Peer {
        host: host?,
        port: port?,
        tls: tls?,
        token: Secret::new(token?),
    })
}

/// RFC 1123 labels (with the underscore that people use), or an address, IPv6 also in brackets.
fn host_name(text: &str) -> bool {
    let bracketed = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    if text.parse::<IpAddr>().is_ok() || bracketed.is_some_and(|t| t.parse::<Ipv6Addr>().is_ok()) {
        return true;
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    name.len() <= 253 && name.split('.').all(label)
}
