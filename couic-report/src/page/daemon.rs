//! The daemons that the page may ask.
//!
//! A daemon that is slow or gone delays a page by [`PATIENCE`] at most, and is asked at most every [`FRESH`] however many
//! people look. Its answers are bounded in size.

use std::{
    future::Future,
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use couic_client::{Client, ClientError};
use couic_common::{ALL_OWNERS_HINT, Confirmations, FORCE_HINT, Health, Lookup, PendingChange};
use tokio::{sync::Mutex, task::JoinSet, time};

use super::{
    PageError,
    access::{read_file, secret},
};
use crate::config::{self, daemon_token};

/// The longest wait for an answer to a question.
const PATIENCE: Duration = Duration::from_secs(3);

/// The longest wait for the answer to a change.
const CHANGE_PATIENCE: Duration = Duration::from_secs(10);

/// How old the shown state of a daemon may be.
const FRESH: Duration = Duration::from_secs(4);

/// Why a daemon does not say what it does with an address.
const TOO_OLD: &str = "it has no look-up of addresses, so it is older than Couic 2.0";

/// The largest answer.
const LARGEST: usize = 4 << 20;

/// The largest file of certificates.
const LARGEST_CA: u64 = 1 << 20;

/// What a daemon says about itself.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) name: String,
    /// Its health, or why it is not known.
    pub(super) health: Result<Health, String>,
    /// Changes of this page that wait for their confirmation.
    pub(super) pending: Vec<PendingChange>,
    /// When it was asked.
    pub(super) at: Instant,
}

#[derive(Debug)]
pub(super) struct Daemon {
    pub(super) name: String,
    reading: Client,
    changing: Client,
    seen: Mutex<Option<Seen>>,
}

/// All daemons of the configuration.
#[derive(Clone, Debug)]
pub(super) struct Fleet(Vec<Arc<Daemon>>);

impl Fleet {
    pub(super) fn build(all: &[config::Firewall]) -> Result<Self, PageError> {
        let all: Result<Vec<_>, _> = all.iter().map(Daemon::build).collect();
        Ok(Self(all?))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Daemon> {
        self.0
            .iter()
            .map(AsRef::as_ref)
            .find(|daemon: &&Daemon| daemon.name == name)
    }

    /// The state of each, asked at the same time.
    pub(super) async fn seen(&self) -> Vec<Seen> {
        self.each(|daemon| async move { daemon.seen().await }).await
    }

    /// What each says about an address, asked at the same time.
    pub(super) async fn lookup(&self, ip: IpAddr) -> Vec<(String, Result<Lookup, String>)> {
        self.each(move |daemon| async move { (daemon.name.clone(), daemon.lookup(ip).await) })
            .await
    }

    /// Asks every daemon at the same time; the results are in the order of the configuration.
    async fn each<T, F>(&self, ask: impl Fn(Arc<Daemon>) -> F) -> Vec<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let mut tasks = JoinSet::new();
        for (index, daemon) in self.0.iter().enumerate() {
            let asked = ask(Arc::clone(daemon));
            tasks.spawn(async move { (index, asked.await) });
        }
        let mut all = tasks.join_all().await;
        all.sort_by_key(|(index, _)| *index);
        all.into_iter().map(|(_, result)| result).collect()
    }
}

impl Daemon {
    fn build(firewall: &config::Firewall) -> Result<Arc<Self>, PageError> {
        let token = secret(&firewall.token, daemon_token)?;
        let mut builder = Client::builder(firewall.endpoint.clone())
            .token(token)
            .connect_timeout(PATIENCE)
            .max_answer(LARGEST);
        if let Some(path) = &firewall.ca {
            let pem = read_file(path, LARGEST_CA).map_err(|problem| PageError::File {
                path: path.clone(),
                problem,
            })?;
            builder = builder.extra_ca(pem);
        }
        let build = |timeout| {
            let client = builder.clone().timeout(timeout).build();
            client.map_err(|source| PageError::Client {
                name: firewall.name.clone(),
                source,
            })
        };
        Ok(Arc::new(Self {
            name: firewall.name.clone(),
            reading: build(PATIENCE)?,
            changing: build(CHANGE_PATIENCE)?,
            seen: Mutex::default(),
        }))
    }

    /// The client for changes.
    pub(super) fn client(&self) -> &Client {
        &self.changing
    }

    /// Asks anew at the next question: the state was changed.
    pub(super) async fn forget(&self) {
        *self.seen.lock().await = None;
    }

    async fn seen(&self) -> Seen {
        // Whoever comes second waits for the answer to the first.
        let mut kept = self.seen.lock().await;
        if let Some(seen) = kept.as_ref().filter(|seen| seen.at.elapsed() < FRESH) {
            return seen.clone();
        }
        let (health, confirmations) = tokio::join!(
            bounded(self.reading.health()),
            bounded(self.reading.confirmations())
        );
        let seen = Seen {
            name: self.name.clone(),
            health,
            // A token that may only read has none, and one of group monitoring may not ask.
            pending: confirmations.map_or_else(|_| Vec::new(), |c: Confirmations| c.pending),
            at: Instant::now(),
        };
        *kept = Some(seen.clone());
        seen
    }

    async fn lookup(&self, ip: IpAddr) -> Result<Lookup, String> {
        let asked = async {
            match self.reading.lookup(ip).await {
                Err(error) if error.status() == Some(404) => Ok(Err(TOO_OLD.to_owned())),
                other => other.map(Ok),
            }
        };
        bounded(asked).await?
    }
}

/// The answer within [`PATIENCE`], or why there is none, in one line.
async fn bounded<T>(asked: impl Future<Output = Result<T, ClientError>>) -> Result<T, String> {
    match time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(in_words(&error)),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// An error of the client with its advice. A daemon's refusal is in its own words; the page itself goes over no rail.
pub(super) fn in_words(error: &ClientError) -> String {
    /// Longer than any message of ours.
    const LONGEST: usize = 2000;
    let text = error.to_string();
    let text = text.replace(FORCE_HINT, "couicctl with --force can do it");
    let text = text.replace(
        ALL_OWNERS_HINT,
        "tick \"also what others hold\", if the token of this page is of that group. Or allow the address for an hour",
    );
    let mut lines: Vec<&str> = text.lines().map(str::trim).collect();
    // The error of a field repeats the message, with the field before it.
    let first = lines.first().copied().unwrap_or_default();
    lines.retain(|line| *line == first || !line.ends_with(first));
    lines
        .join("; ")
        .replace("?;", "?")
        .chars()
        .take(LONGEST)
        .collect()
}
