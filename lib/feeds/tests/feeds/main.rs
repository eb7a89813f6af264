//! Feeds against servers that misbehave, and a daemon that is away.

#![expect(clippy::unwrap_used, reason = "a failing test says so by panicking")]

mod conditional;
mod guards;
mod misbehaviour;
mod mutilated;
mod restart;

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use couic_common::{Cidr, Networks, Policy, SetName};
use couic_feeds::{FeedConfig, FeedStatus, Feeds, Put, SetSink, Settings, SinkError, Timing};
use couic_testkit::{Reply, StandIn};

/// What the daemon has.
#[derive(Debug, Default)]
struct Daemon {
    sets: Mutex<BTreeMap<(Policy, String), String>>,
    puts: Mutex<u32>,
    is_away: Mutex<bool>,
    ignored: Mutex<Networks>,
}

impl Daemon {
    fn set(&self, name: &str) -> Option<String> {
        let sets = self.sets.lock().unwrap();
        sets.get(&(Policy::Drop, format!("feed-{name}"))).cloned()
    }

    fn away(&self, is_away: bool) {
        *self.is_away.lock().unwrap() = is_away;
    }

    fn puts(&self) -> u32 {
        *self.puts.lock().unwrap()
    }

    fn there(&self) -> Result<(), SinkError> {
        let text = "the daemon is away".to_owned();
        if *self.is_away.lock().unwrap() {
            Err(SinkError { text })
        } else {
            Ok(())
        }
    }
}

#[async_trait::async_trait]
impl SetSink for Daemon {
    async fn put(&self, policy: Policy, set: &SetName, list: Bytes) -> Result<Put, SinkError> {
        self.there()?;
        *self.puts.lock().unwrap() += 1;
        let text = String::from_utf8(list.to_vec()).unwrap();
        self.sets
            .lock()
            .unwrap()
            .insert((policy, set.to_string()), text);
        Ok(Put::default())
    }

    async fn remove(&self, policy: Policy, set: &SetName) -> Result<(), SinkError> {
        self.there()?;
        self.sets.lock().unwrap().remove(&(policy, set.to_string()));
        Ok(())
    }

    async fn has(&self, policy: Policy, set: &SetName) -> Result<bool, SinkError> {
        self.there()?;
        Ok(self
            .sets
            .lock()
            .unwrap()
            .contains_key(&(policy, set.to_string())))
    }

    async fn read(&self, policy: Policy, set: &SetName) -> Result<Option<Networks>, SinkError> {
        self.there()?;
        let sets = self.sets.lock().unwrap();
        let text = sets.get(&(policy, set.to_string()));
        Ok(text.map(|text| text.lines().map(|l| l.parse::<Cidr>().unwrap()).collect()))
    }

    async fn ignored(&self) -> Result<Networks, SinkError> {
        self.there()?;
        Ok(self.ignored.lock().unwrap().clone())
    }
}

fn own() -> io::Result<Vec<IpAddr>> {
    Ok(vec!["9.9.9.9".parse().unwrap()])
}

fn settings(dir: &Path) -> Settings {
    Settings {
        own,
        timing: Timing {
            connect: Duration::from_secs(20),
            idle: Duration::from_secs(20),
            total: Duration::from_secs(20),
            grace: Duration::from_secs(20),
        },
        ..Settings::new(dir.to_owned())
    }
}

fn config(name: &str, url: &str) -> FeedConfig {
    let json = serde_json::json!({
        "name": name, "url": url, "allow_http": true, "shadow": false, "every": "1h",
    });
    serde_json::from_value(json).unwrap()
}

/// A list of so many hosts.
fn list(count: u32) -> String {
    let host = |n: u32| format!("{}\n", std::net::Ipv4Addr::from(0x0901_0000 + 3 * n));
    (0..count).map(host).collect()
}

/// The same as it is in force.
fn in_force(count: u32) -> String {
    list(count).replace('\n', "/32\n")
}

fn ok(body: impl Into<String>) -> Reply {
    Reply::text(200, "text/plain", body)
}

struct Setup {
    dir: tempfile::TempDir,
    daemon: Arc<Daemon>,
    feeds: Arc<Feeds>,
}

impl Setup {
    fn new(config: FeedConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let daemon = Arc::new(Daemon::default());
        let feeds = feeds(&[config], dir.path(), &daemon);
        Self { dir, daemon, feeds }
    }

    fn of(server: &StandIn) -> Self {
        Self::new(config("x", &server.url("/list?key=s3cret")))
    }

    /// As after a restart with this configuration.
    fn again(&mut self, configs: &[FeedConfig]) {
        self.feeds = feeds(configs, self.dir.path(), &self.daemon);
    }

    fn status(&self) -> FeedStatus {
        self.feeds.status().remove(0)
    }
}

fn feeds(configs: &[FeedConfig], dir: &Path, daemon: &Arc<Daemon>) -> Arc<Feeds> {
    let daemon: Arc<dyn SetSink> = Arc::clone(daemon) as _;
    Arc::new(Feeds::new(configs, settings(dir), daemon).unwrap())
}
