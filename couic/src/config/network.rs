//! The sections `[reporting]` and `[peering]`.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv6Addr},
    path::PathBuf,
    time::Duration,
};

use couic_common::ClientName;
use couic_peering::Limits;
use couic_settings::{Noted, NotifierConfig, Secret, Section};
use uuid::Uuid;

/// `[reporting]`.
#[derive(Clone, Debug)]
pub struct Reporting {
    /// Whether rule changes are reported.
    pub enabled: bool,
    /// Whether traffic is reported each minute, to webhooks.
    pub traffic: bool,
    /// The name of this server in reports; the host's name by default.
    pub name: Option<String>,
    /// An http or https URL. Its path is a secret.
    pub webhook: Option<Secret<String>>,
    /// More notifiers, as plugins.
    pub notifiers: Vec<NotifierConfig>,
}

/// `[peering]`.
#[derive(Clone, Debug)]
pub struct Peering {
    /// Whether rules are shared.
    pub enabled: bool,
    /// The lifetime of tombstones: after a longer outage of a peer, deleted rules may come back.
    pub tombstones: Duration,
    /// The limits of clients in group peering that are not in `peers`.
    pub limits: Limits,
    /// The peers; hosts with ports are unique, and so are names.
    pub peers: Vec<Peer>,
}

/// Another node.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The name of its client here, so that both directions belong to one peer.
    pub name: ClientName,
    /// A host name or an address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// Whether to use TLS.
    pub tls: bool,
    /// The token of our client there.
    pub token: Secret<Uuid>,
    /// CA certificates to trust in addition to those of the system, PEM.
    pub ca: Option<PathBuf>,
    /// Its limits here. Rules of policy ignore are sent to it only if it may add such rules here.
    pub limits: Limits,
}

/// The name of the notifier defined by `webhook`, and that key.
const WEBHOOK_IS_TAKEN: (&str, &str) = ("webhook", "reporting.webhook");

pub(super) fn reporting(root: &mut Section<'_>) -> Option<Reporting> {
    let mut section = root.table("reporting");
    let enabled = section.bool("enabled", false);
    let traffic = section.bool("traffic", false);
    let name = instance_name(&mut section);
    let webhook = section.url("webhook");
    let taken = webhook.iter().flatten().map(|_| WEBHOOK_IS_TAKEN);
    let taken: Vec<_> = taken.collect();
    let notifiers = NotifierConfig::read_all(&mut section, "notifiers", &taken);
    if let (Some(true), Some(None), Some([])) = (enabled, &webhook, notifiers.as_deref()) {
        let message = "is missing: [reporting] is enabled without a notifier";
        section.mistake::<()>(None, "webhook", message.to_owned());
    }
    section.finish();
    Some(Reporting {
        enabled: enabled?,
        traffic: traffic?,
        name: name?,
        webhook: webhook?,
        notifiers: notifiers?,
    })
}

/// A name that is valid in an HTTP header.
fn instance_name(section: &mut Section<'_>) -> Option<Option<String>> {
    let Some((text, line)) = section.string("name").ok()? else {
        return Some(None);
    };
    let printable = text.bytes().all(|b| (0x20..0x7f).contains(&b));
    if (1..=100).contains(&text.len()) && printable && text.trim() == text {
        return Some(Some(text.to_owned()));
    }
    let message = "must be 1 to 100 letters, digits, signs or blanks (ASCII), no blank at its ends";
    section.mistake(Some(line), "name", message.to_owned())
}

pub(super) fn peering(root: &mut Section<'_>) -> Option<Peering> {
    let mut section = root.table("peering");
    let enabled = section.bool("enabled", false);
    let days = section.int("tombstone_days", 1..=365, Some(7));
    let limits = limits(&mut section, &Limits::default());
    let defaults = limits.clone().unwrap_or_default();
    let mut seen = Seen::default();
    let peers = section.tables("peers").and_then(|tables| {
        let read = tables.into_iter().map(|t| peer(t, &defaults, &mut seen));
        let read: Vec<_> = read.collect();
        read.into_iter().collect::<Option<Vec<_>>>()
    });
    section.finish();
    Some(Peering {
        enabled: enabled?,
        tombstones: Duration::from_secs(days? * 86_400),
        limits: limits?,
        peers: peers?,
    })
}

/// The limits of a peer; `defaults` applies to missing keys.
fn limits(section: &mut Section<'_>, defaults: &Limits) -> Option<Limits> {
    let ignore = section.bool("ignore", defaults.ignore);
    let number = |n: u8| Some(u64::from(n));
    let v4 = section.int("min_prefix_v4", 0..=32, number(defaults.min_prefix_v4));
    let v6 = section.int("min_prefix_v6", 0..=128, number(defaults.min_prefix_v6));
    let total_v4 = section.int("total_prefix_v4", 0..=32, number(defaults.total_prefix_v4));
    let total_v6 = section.int("total_prefix_v6", 0..=128, number(defaults.total_prefix_v6));
    let ends_others = deletions(section, defaults.ends_others);
    let adds = Some(u64::from(defaults.adds_per_second));
    let adds = section.int("adds_per_second", 1..=1_000_000, adds);
    let tags = match section.string("tags") {
        Ok(Some((text, _))) => {
            let Ok(pattern) = text.parse();
            Some(Some(pattern))
        }
        Ok(None) => Some(defaults.tags.clone()),
        Err(Noted) => None,
    };
    Some(Limits {
        ignore: ignore?,
        min_prefix_v4: u8::try_from(v4?).ok()?,
        min_prefix_v6: u8::try_from(v6?).ok()?,
        total_prefix_v4: u8::try_from(total_v4?).ok()?,
        total_prefix_v6: u8::try_from(total_v6?).ok()?,
        ends_others: ends_others?,
        adds_per_second: u32::try_from(adds?).ok()?,
        tags: tags?,
    })
}

/// Whether a deletion for all owners on the peer ends only what came from it, or the rules of all here.
fn deletions(section: &mut Section<'_>, default: bool) -> Option<bool> {
    match section.string("deletions") {
        Ok(Some(("own", _))) => Some(false),
        Ok(Some(("all", _))) => Some(true),
        Ok(Some((text, line))) => {
            let message = format!("{text:?} is neither \"own\" nor \"all\"");
            section.mistake(Some(line), "deletions", message)
        }
        Ok(None) => Some(default),
        Err(Noted) => None,
    }
}

/// Values that must be unique among peers.
#[derive(Default)]
struct Seen {
    places: BTreeSet<(String, u16)>,
    names: BTreeSet<ClientName>,
}

fn peer(mut section: Section<'_>, defaults: &Limits, seen: &mut Seen) -> Option<Peer> {
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
    let ca = match section.get("ca") {
        Some(_) => section.path("ca", "/etc/couic/ca.pem").map(Some),
        None => Some(None),
    };
    let limits = limits(&mut section, defaults);
    let name = peer_name(&mut section, host.as_deref(), port, seen);
    if let (Some(host), Some(port)) = (&host, port)
        && !seen.places.insert((host.to_ascii_lowercase(), port))
    {
        let message = format!("{host} port {port} is named twice");
        section.mistake::<()>(None, "host", message);
    }
    section.finish();
    Some(Peer {
        name: name?,
        host: host?,
        port: port?,
        tls: tls?,
        token: Secret::new(token?),
        ca: ca?,
        limits: limits?,
    })
}

/// The configured name, or one derived from the host, with the port if another peer has the same host.
fn peer_name(
    section: &mut Section<'_>,
    host: Option<&str>,
    port: Option<u16>,
    seen: &mut Seen,
) -> Option<ClientName> {
    let (text, line) = match section.string("name").ok()? {
        Some((text, line)) => (text.to_owned(), Some(line)),
        None => {
            let (made, port) = (name_of(host?), port?);
            let free = made.parse().is_ok_and(|name| !seen.names.contains(&name));
            let with_port = || format!("{}-{port}", made.get(..42).unwrap_or(&made));
            (if free { made.clone() } else { with_port() }, None)
        }
    };
    let name = match text.parse::<ClientName>() {
        Ok(name) => name,
        Err(error) => return section.mistake(line, "name", format!("{text:?}: {error}")),
    };
    if !seen.names.insert(name.clone()) {
        let message = format!("two peers are called {name}: give them names");
        return section.mistake(line, "name", message);
    }
    Some(name)
}

/// A client name from a host: at most 48 letters, digits, - and _.
fn name_of(host: &str) -> String {
    let fits = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' || c == '_' {
            c
        } else {
            '-'
        }
    };
    let bare = host.trim_matches(['[', ']', '.']);
    bare.chars().map(fits).take(48).collect()
}

/// RFC 1123 labels (underscores are accepted, too), or an address, IPv6 also in brackets.
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
