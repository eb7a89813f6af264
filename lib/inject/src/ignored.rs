//! A copy of the daemon's ignore list: what must not be banned, and the published ranges of proxies and crawlers.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use couic_client::{
    Client, ClientError, ListQuery,
    common::{Backoff, Entry, OwnerKind, Policy, Tag},
};
use futures_util::TryStreamExt;
use ipnetwork::IpNetwork;

use crate::{daemon::Daemon, state::State};

/// The most entries that are read.
pub const MOST_IGNORED: usize = 1_000_000;

/// How often the list is read.
const INTERVAL: Duration = Duration::from_secs(60);

/// The first and the longest pause after failures in a row.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// After a refusal of the token: soon enough for who writes a new one, and no burden.
const REFUSED_PAUSE: Duration = Duration::from_secs(15);

/// The end of the tag of a set's rules.
const SET_TAG: &str = ".couic";

/// The daemon's ignore list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// All entries, in the order of lists, at most [`MOST_IGNORED`].
    pub nets: Vec<IpNetwork>,
    /// Those of each set, by its name without `.couic`.
    pub sets: BTreeMap<String, Vec<IpNetwork>>,
    /// Whether there were more entries than are read.
    pub cut: bool,
}

impl Ignored {
    fn add(&mut self, entry: &Entry) {
        let net = entry.cidr.into();
        self.nets.push(net);
        let owners = entry.owners.iter();
        let sets = owners.filter(|owner| owner.kind == OwnerKind::Set);
        let mut names: Vec<&str> = sets.filter_map(|owner| owner.name.as_deref()).collect();
        if entry.owners.is_empty() {
            // A daemon that names no owners.
            let tag = entry.tag.as_ref().map(Tag::as_str);
            names.extend(tag.and_then(|tag| tag.strip_suffix(SET_TAG)));
        }
        for name in names {
            match self.sets.get_mut(name) {
                Some(set) => set.push(net),
                None => {
                    self.sets.insert(name.to_owned(), vec![net]);
                }
            }
        }
    }
}

/// Reads the list each minute, and sooner after failures.
pub(crate) async fn watch(state: &State, daemon: &Daemon) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let (client, token) = daemon.client();
        let pause = match read(&client, MOST_IGNORED).await {
            Ok(ignored) => {
                backoff.succeeded();
                let mut counts = state.counts.lock();
                counts.reading.works();
                counts.token.works();
                drop(counts);
                keep(state, ignored);
                state.ignored_answered.store(true, Ordering::Release);
                INTERVAL
            }
            Err(error) if error.status() == Some(401) => match daemon.renew(token) {
                Ok(true) => continue,
                renewed => {
                    state.bad_token(&error.to_string(), daemon, renewed);
                    REFUSED_PAUSE
                }
            },
            Err(error) => {
                state.counts.lock().reading.fails(&problem(&error));
                // Overload, and a daemon that starts, pass.
                let is_answer = error
                    .http_status()
                    .is_some_and(|status| !matches!(status, 429 | 503));
                state.ignored_answered.fetch_or(is_answer, Ordering::AcqRel);
                match error.status() {
                    // That changes when somebody changes it.
                    Some(403) => INTERVAL,
                    _ => backoff.failed(),
                }
            }
        };
        tokio::time::sleep(pause).await;
    }
}

fn problem(error: &ClientError) -> String {
    match error.status() {
        Some(403) => format!(
            "{error}; the token needs the right to read policy ignore, else addresses on that list are found out only when the daemon passes them in spite of the ban"
        ),
        _ => error.to_string(),
    }
}

pub(crate) async fn read(client: &Client, most: usize) -> Result<Ignored, ClientError> {
    let query = ListQuery {
        owners: true,
        ..ListQuery::default()
    };
    let mut entries = client.stream_entries(Policy::Ignore, &query).await?;
    let mut ignored = Ignored::default();
    while let Some(entry) = entries.try_next().await? {
        if ignored.nets.len() == most {
            ignored.cut = true;
            break;
        }
        ignored.add(&entry);
    }
    Ok(ignored)
}

/// An equal list stays the same allocation, so that callers see cheaply that nothing changed.
fn keep(state: &State, ignored: Ignored) {
    let mut current = state.ignored.lock();
    if current.as_deref() == Some(&ignored) {
        return;
    }
    let was_cut = current.as_ref().is_some_and(|old| old.cut);
    if ignored.cut && !was_cut {
        tracing::warn!(
            "the daemon's ignore list has more than {MOST_IGNORED} entries: those behind are not known here, and may be banned in vain"
        );
    }
    *current = Some(Arc::new(ignored));
}
