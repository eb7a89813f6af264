//! The addresses that this host needs, for the guard rails: what the kernel knows, and what the configuration names.
//!
//! Names of peers, webhooks and chats are resolved on a thread of their own, each minute, so that no request waits for a
//! name server. A name that does not resolve keeps the addresses that it had. Until the first answer, addresses alone
//! count. Names and addresses are bounded in number.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    net::{IpAddr, ToSocketAddrs},
    sync::Arc,
    thread,
    time::Duration,
};

use couic_common::Rail;
use parking_lot::Mutex;
use warp::http::Uri;

use crate::config::Config;
use couic_firewall::guard::{HostAddress, HostSource, Kernel};

/// Where name servers are named; the second one is that of systemd-resolved, whose stub the first one names then.
const RESOLVERS: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// How much of them is read.
const LONGEST: u64 = 64 * 1024;

/// How many names are resolved, and how many addresses of each are kept.
const MOST: usize = 64;

/// Between two rounds.
const AGAIN: Duration = Duration::from_secs(60);

/// The addresses that this host needs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Needs {
    names: Arc<[Name]>,
    found: Arc<Mutex<BTreeMap<String, Vec<IpAddr>>>>,
}

/// A host that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    rail: Rail,
    host: String,
    role: String,
}

impl Needs {
    /// Those of a daemon with this configuration. Resolves nothing yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let peers = config.peering.peers.iter();
        let peers = peers.filter(|_| config.peering.enabled).map(|peer| Name {
            rail: Rail::Peer,
            host: peer.host.clone(),
            role: format!("the peer {}", peer.name),
        });
        let reporting = config.reporting.enabled.then_some(&config.reporting);
        let webhook = reporting.and_then(|reporting| reporting.webhook.as_ref());
        let webhook = webhook.map(|url| ("webhook".to_owned(), url.expose().clone()));
        let notifiers = reporting.iter().flat_map(|reporting| &reporting.notifiers);
        let plugins = notifiers.flat_map(|notifier| {
            let mut urls = Vec::new();
            let values = notifier.config.expose().values();
            values.for_each(|value| find_urls(value, &mut urls));
            urls.into_iter()
                .map(|url| (notifier.name().to_owned(), url))
        });
        let notifiers = webhook.into_iter().chain(plugins);
        let notifiers = notifiers.filter_map(|(name, url)| {
            let host = host_of(&url)?;
            let role = format!("where the notifier {name} reports to ({host})");
            Some(Name {
                rail: Rail::Notifier,
                host,
                role,
            })
        });
        Self {
            names: peers.chain(notifiers).take(MOST).collect(),
            found: Arc::default(),
        }
    }

    /// Resolves the names from now on.
    ///
    /// # Errors
    /// No thread.
    pub fn resolve(&self) -> io::Result<()> {
        let is_name = |name: &&Name| bare(&name.host).parse::<IpAddr>().is_err();
        if self.names.iter().find(is_name).is_none() {
            return Ok(());
        }
        let needs = self.clone();
        // It ends with the process: a name server that does not answer is not waited for.
        let thread = thread::Builder::new().name("couic-names".to_owned());
        let resolving = thread.spawn(move || {
            loop {
                needs.resolve_once();
                thread::sleep(AGAIN);
            }
        });
        resolving.map(drop)
    }

    fn resolve_once(&self) {
        for name in self.names.iter() {
            let host = bare(&name.host);
            if host.parse::<IpAddr>().is_ok() {
                continue;
            }
            if let Ok(found) = (host, 0).to_socket_addrs() {
                let found: Vec<IpAddr> = found.map(|addr| addr.ip()).take(MOST).collect();
                self.found.lock().insert(name.host.clone(), found);
            }
        }
    }

    /// What the configuration names, as far as it is known.
    fn configured(&self) -> Vec<HostAddress> {
        let found = self.found.lock();
        let addresses = |name: &Name| match bare(&name.host).parse() {
            Ok(addr) => vec![addr],
            Err(_) => found.get(&name.host).cloned().unwrap_or_default(),
        };
        let all = self.names.iter().flat_map(|name| {
            addresses(name).into_iter().map(|addr| HostAddress {
                rail: name.rail,
                addr,
                role: name.role.clone(),
            })
        });
        all.collect()
    }
}

impl HostSource for Needs {
    fn addresses(&self) -> io::Result<Vec<HostAddress>> {
        let mut all = Kernel.addresses()?;
        let resolvers = RESOLVERS.iter().filter_map(|path| text_of(path).ok());
        let resolvers = resolvers.flat_map(|text| name_servers(&text));
        let resolvers = resolvers.map(|addr| HostAddress {
            rail: Rail::Resolver,
            addr,
            role: "a name server of this host".to_owned(),
        });
        let others = resolvers.chain(self.configured());
        // The loopback addresses are among those of the kernel.
        all.extend(others.filter(|need| !need.addr.is_loopback()));
        Ok(all)
    }
}

fn text_of(path: &str) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The addresses of `nameserver` lines, resolv.conf(5).
fn name_servers(text: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let word = (words.next()? == "nameserver").then(|| words.next())??;
        // fe80::1%eth0: the zone is not part of frames.
        word.split('%').next()?.parse().ok()
    };
    text.lines().filter_map(address).take(MOST).collect()
}

/// Every http and https URL in a plugin's configuration.
fn find_urls(value: &toml::Value, urls: &mut Vec<String>) {
    match value {
        toml::Value::String(text)
            if text.starts_with("http://") || text.starts_with("https://") =>
        {
            urls.push(text.clone());
        }
        toml::Value::Array(values) => values.iter().for_each(|value| find_urls(value, urls)),
        toml::Value::Table(table) => table.values().for_each(|value| find_urls(value, urls)),
        _ => {}
    }
}

/// The host alone: the rest of a URL may be a secret.
fn host_of(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    uri.host().map(str::to_owned)
}

/// Without the brackets of an IPv6 address.
fn bare(host: &str) -> &str {
    host.trim_matches(['[', ']'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_are_read_as_the_c_library_does() {
        let text = "# nameserver 192.0.2.1\nsearch example.org\nnameserver 192.0.2.53\n\
                    nameserver\t2001:db8::53\nnameserver fe80::1%eth0\nnameserver x\nnameserver\n";
        let found: Vec<String> = name_servers(text).iter().map(IpAddr::to_string).collect();
        assert_eq!(found, ["192.0.2.53", "2001:db8::53", "fe80::1"]);
        assert_eq!(
            name_servers(&"nameserver 192.0.2.1\n".repeat(5000)).len(),
            MOST
        );
    }

    #[test]
    fn a_url_gives_its_host_and_no_secret() {
        for (url, host) in [
            (
                "https://hooks.example/services/SECRET",
                Some("hooks.example"),
            ),
            (
                "https://user:pass@hooks.example:8443/x",
                Some("hooks.example"),
            ),
            ("http://[2001:db8::1]:8000/v1", Some("[2001:db8::1]")),
            ("no url", None),
        ] {
            assert_eq!(host_of(url).as_deref(), host, "{url}");
        }
        let config: toml::Value =
            "a = \"https://x.example/1\"\nb = { c = [\"http://y.example\", \"z\"] }"
                .parse::<toml::Table>()
                .map(toml::Value::Table)
                .unwrap();
        let mut urls = Vec::new();
        find_urls(&config, &mut urls);
        assert_eq!(urls, ["https://x.example/1", "http://y.example"]);
    }

    #[test]
    fn configured_names_are_needed_once_they_are_resolved() {
        let name = |rail, host: &str| Name {
            rail,
            host: host.to_owned(),
            role: host.to_owned(),
        };
        let needs = Needs {
            names: [
                name(Rail::Peer, "192.0.2.5"),
                name(Rail::Peer, "[2001:db8::5]"),
                name(Rail::Notifier, "hooks.invalid"),
            ]
            .into(),
            found: Arc::default(),
        };
        let known = |needs: &Needs| -> Vec<String> {
            needs
                .configured()
                .iter()
                .map(|n| n.addr.to_string())
                .collect()
        };
        assert_eq!(known(&needs), ["192.0.2.5", "2001:db8::5"]);
        let address = vec!["198.51.100.9".parse().unwrap()];
        needs
            .found
            .lock()
            .insert("hooks.invalid".to_owned(), address);
        assert_eq!(known(&needs), ["192.0.2.5", "2001:db8::5", "198.51.100.9"]);
    }
}
