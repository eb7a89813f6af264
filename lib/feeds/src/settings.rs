//! What holds for all feeds, and what they share.

use std::{collections::BTreeMap, io, net::IpAddr, path::PathBuf, sync::Arc};

use couic_common::{Cidr, Networks, Policy};
use couic_netlink::{default_gateways, own_addresses};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{asn, fetch::Timing, sieve::Needed, sink::SetSink, store::Store};

/// Lists that are fetched at a time. Each takes at most its `max_bytes` of memory.
const FETCHES: usize = 4;

/// The same of one host.
const FETCHES_OF_HOST: usize = 2;

/// What all lists together may take on the disk.
const MOST_DISK: u64 = 1 << 30;

/// What holds for all feeds.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where lists are kept, in a directory `feeds` that is made there.
    pub state_dir: PathBuf,
    /// The source of the networks of autonomous systems: a URL with `{asn}`, in RIPEstat's format.
    pub asn_url: String,
    /// The User-Agent of requests.
    pub agent: String,
    /// How long a request may take.
    pub timing: Timing,
    /// What all lists together may take on the disk, in bytes.
    pub most_disk: u64,
    /// The addresses of this host and its gateways: tests bring their own.
    pub own: fn() -> io::Result<Vec<IpAddr>>,
}

impl Settings {
    /// The usual ones.
    #[must_use]
    pub fn new(state_dir: PathBuf) -> Self {
        Self {
            state_dir,
            asn_url: asn::DEFAULT_URL.to_owned(),
            agent: concat!("couic-bouncer/", env!("CARGO_PKG_VERSION")).to_owned(),
            timing: Timing::default(),
            most_disk: MOST_DISK,
            own: this_host,
        }
    }

    pub(crate) fn own_networks(&self) -> Networks {
        let addresses = (self.own)().unwrap_or_else(|error| {
            // The daemon's guard rails hold all the same.
            tracing::warn!("the addresses of this host cannot be read: {error}");
            Vec::new()
        });
        let mut own: Networks = addresses.into_iter().map(Cidr::host).collect();
        own.merge(0, 0);
        own
    }
}

fn this_host() -> io::Result<Vec<IpAddr>> {
    let own = own_addresses()?.into_iter().map(|(_, address)| address);
    Ok(own.chain(default_gateways()?).collect())
}

/// What feeds share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    pub(crate) sink: Arc<dyn SetSink>,
    pub(crate) fetching: Semaphore,
    hosts: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    /// One list at a time is taken apart or put in force: that takes memory.
    pub(crate) working: Semaphore,
}

impl Shared {
    pub(crate) fn new(settings: Settings, sink: Arc<dyn SetSink>) -> io::Result<Self> {
        Ok(Self {
            store: Store::open(&settings.state_dir, settings.most_disk)?,
            settings,
            sink,
            fetching: Semaphore::new(FETCHES),
            hosts: Mutex::default(),
            working: Semaphore::new(1),
        })
    }

    /// The turns of a host, for all feeds that come from there.
    pub(crate) fn host(&self, name: &str) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock();
        let turns = hosts.entry(name.to_owned());
        Arc::clone(turns.or_insert_with(|| Arc::new(Semaphore::new(FETCHES_OF_HOST))))
    }

    /// What a feed of this policy spares.
    pub(crate) async fn needed(&self, policy: Policy) -> Needed {
        if policy == Policy::Ignore {
            return Needed::default();
        }
        let mut ignored = self.sink.ignored().await.unwrap_or_else(|error| {
            // What is ignored passes whatever is dropped.
            tracing::debug!("the daemon's ignore list cannot be read: {error}");
            Networks::default()
        });
        ignored.merge(0, 0);
        Needed {
            own: self.settings.own_networks(),
            ignored,
        }
    }
}

/// Runs what blocks, and returns its result.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(io::Error::other)?
}
