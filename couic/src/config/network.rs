//! The keys about others: where reports go, and who the peers are.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
};

use couic_settings::{Noted, NotifierConfig, Secret, Section};
use uuid::Uuid;

/// Whom rule changes are reported to.
#[derive(Clone, Debug)]
pub struct Reporting {
    /// Whether at all.
    pub enabled: bool,
    /// An http or https URL. Its path is a secret.
    pub webhook: Option<Secret<String>>,
    /// More notifiers, as plugins.
    pub notifiers: Vec<NotifierConfig>,
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

/// What the notifier that `webhook` makes is called.
const WEBHOOK_IS_TAKEN: (&str, &str) = ("webhook", "reporting.webhook");

pub(super) fn reporting(root: &mut Section<'_>) -> Option<Reporting> {
    let mut section = root.table("reporting");
    let enabled = section.bool("enabled", false);
    let webhook = section.url("webhook");
    let taken = webhook.iter().flatten().map(|_| WEBHOOK_IS_TAKEN);
    let taken: Vec<_> = taken.collect();
    let notifiers = NotifierConfig::read_all(&mut section, "notifiers", &taken);
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
        Err(Noted) => None,
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
        Err(Noted) => None,
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
