//! The work on one feed: fetch, judge, keep, put in force. One piece of work at a time.

mod keep;
mod put;

use std::{
    io,
    sync::{Arc, OnceLock},
};

use couic_common::{Networks, unix_seconds};
use parking_lot::Mutex;
use tokio::{
    sync::{AcquireError, Notify, Semaphore, SemaphorePermit},
    time::timeout,
};

use self::keep::keep;
use crate::{
    config::{Feed, Source},
    error::FeedError,
    fetch::{FetchError, Fetched, Validators},
    live::{Live, short},
    obtain::obtain,
    settings::{Shared, blocking},
    status::FeedStatus,
    store::{Head, Which},
};

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refreshed {
    /// The last good list is the current one.
    Unchanged,
    /// A new list is the last good one.
    Taken,
    /// A new list is held back.
    HeldBack,
}

#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) feed: Arc<Feed>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) live: Mutex<Live>,
    pub(crate) wake: Notify,
    turn: tokio::sync::Mutex<()>,
    host: OnceLock<Arc<Semaphore>>,
}

impl Slot {
    /// Reads what is kept. A list that is damaged is as if it were not there: told, and fetched anew.
    pub(crate) fn new(feed: Feed, shared: Arc<Shared>) -> io::Result<Self> {
        let (store, name) = (&shared.store, feed.name.as_str());
        let mut state = store.state(name);
        if state.since == 0 {
            state.since = unix_seconds();
            store.save_state(name, &state)?;
        }
        let read = |which| {
            store.head(name, which).unwrap_or_else(|error| {
                tracing::error!(
                    "feed {name}: {error}; its set stays in force, and it is fetched anew"
                );
                None
            })
        };
        let fingerprint = feed.fingerprint();
        let held = read(Which::Held).filter(|head| head.fingerprint == fingerprint);
        if held.is_none() {
            store.discard(name)?;
        }
        let live = Live::new(&feed, state, read(Which::Good), held);
        Ok(Self {
            feed: Arc::new(feed),
            shared,
            live: Mutex::new(live),
            wake: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            host: OnceLock::new(),
        })
    }

    pub(crate) fn status(&self) -> FeedStatus {
        self.live.lock().status(&self.feed)
    }

    /// Asks for the list, and puts it in force.
    pub(crate) async fn refresh(&self) -> Result<Refreshed, FeedError> {
        let _turn = self.turn.lock().await;
        let fetched = self.fetch().await;
        let result = match fetched {
            Ok(Fetched::NotModified) => {
                self.confirm()?;
                Ok(Refreshed::Unchanged)
            }
            Ok(Fetched::List(body, validators)) => self.take(body, validators).await,
            Err(error) => Err(self.failed(&error)),
        };
        // Also after a failure: the daemon may have lost the set, or this host got another address.
        self.put().await;
        result
    }

    fn failed(&self, error: &FetchError) -> FeedError {
        let text = error.to_string();
        let mut live = self.live.lock();
        live.failed(&self.feed, text.clone(), error.retry_after);
        FeedError::Failed(text)
    }

    fn confirm(&self) -> io::Result<()> {
        let state = {
            let mut live = self.live.lock();
            live.confirmed(&self.feed, unix_seconds());
            live.state.clone()
        };
        self.shared.store.save_state(&self.feed.name, &state)
    }

    async fn fetch(&self) -> Result<Fetched, FetchError> {
        let _turns = self.turn_to_fetch().await?;
        let (shared, name) = (Arc::clone(&self.shared), self.feed.name.clone());
        // From the disk, not from memory: 304 is an answer only as long as the list is there, whole.
        let head = blocking(move || shared.store.head(&name, Which::Good)).await;
        let is_same = |head: &Head| {
            head.fingerprint == self.feed.fingerprint() && head.policy == self.feed.policy
        };
        let head = head.ok().flatten().filter(is_same);
        obtain(
            &self.feed,
            &self.shared.settings,
            head.map(|head| head.validators),
        )
        .await
    }

    /// Waits for a turn, for as long as a request may take: files of this host need none, and no host has more than two.
    async fn turn_to_fetch(&self) -> Result<Vec<SemaphorePermit<'_>>, FetchError> {
        let shared = &self.shared;
        let host = match &self.feed.source {
            Source::File(_) => return Ok(Vec::new()),
            source => self.host.get_or_init(|| shared.host(&source.to_string())),
        };
        let turns = async {
            Ok(vec![
                host.acquire().await?,
                shared.fetching.acquire().await?,
            ])
        };
        match timeout(shared.settings.timing.total, turns).await {
            Ok(turns) => turns.map_err(|e: AcquireError| e.to_string().into()),
            Err(_) => Err("it was not fetched: other lists, which are slow, were being fetched all the time; couic-bouncer feeds list shows them".into()),
        }
    }

    /// The set that the daemon has, if the last good list is lost: nothing else tells what a new one may replace.
    async fn measure(&self) -> Result<Option<Networks>, FetchError> {
        let (shared, name) = (Arc::clone(&self.shared), self.feed.name.clone());
        let good = blocking(move || shared.store.head(&name, Which::Good)).await;
        if self.feed.shadow || matches!(good, Ok(Some(_))) {
            return Ok(None);
        }
        let read = self
            .shared
            .sink
            .read(self.feed.policy, &self.feed.set)
            .await;
        read.map_err(|error| {
            let text = "no last good list is kept, and the set in force, with which a new one is compared, cannot be read";
            format!("{text}: {error}").into()
        })
    }

    async fn take(&self, body: Vec<u8>, validators: Validators) -> Result<Refreshed, FeedError> {
        let _permit = self.shared.working.acquire().await;
        let (shared, feed) = (Arc::clone(&self.shared), Arc::clone(&self.feed));
        let in_force = self.measure().await.map_err(|e| self.failed(&e))?;
        let once = self.live.lock().state.networks;
        let taken = blocking(move || keep(&shared, &feed, body, validators, in_force, once)).await;
        let now = unix_seconds();
        let head = match taken {
            Ok(Ok(head)) => head,
            Ok(Err(text)) => return Err(self.failed(&text.into())),
            Err(error) => {
                return Err(self.failed(&format!("the list cannot be kept: {error}").into()));
            }
        };
        let state = {
            let mut live = self.live.lock();
            if let Some(held) = &head.held {
                let why = format!(
                    "a new list is held back: {}; to take it, run couic-bouncer feeds accept {} {}",
                    held.why,
                    self.feed.name,
                    short(&head.sha256)
                );
                live.came(&self.feed, now);
                live.told(&self.feed, why);
                live.held = Some(head);
                return Ok(Refreshed::HeldBack);
            }
            live.state.networks = head.networks;
            live.held = None;
            live.lost = None;
            live.good = Some(head);
            live.confirmed(&self.feed, now);
            live.state.clone()
        };
        self.shared.store.save_state(&self.feed.name, &state)?;
        Ok(Refreshed::Taken)
    }

    /// Takes the list that is held back, if its checksum begins so.
    pub(crate) async fn accept(&self, hash: Option<&str>) -> Result<FeedStatus, FeedError> {
        let _turn = self.turn.lock().await;
        let (shared, name) = (Arc::clone(&self.shared), self.feed.name.clone());
        let held = blocking(move || shared.store.head(&name, Which::Held)).await?;
        let Some(mut head) = held else {
            if self.live.lock().is_foreign {
                return self.take_over(hash).await;
            }
            return Err(FeedError::NothingHeld(self.feed.name.clone()));
        };
        if let Some(hash) = hash
            && (hash.is_empty() || !head.sha256.starts_with(hash))
        {
            return Err(FeedError::OtherHeld(short(&head.sha256).to_owned()));
        }
        self.shared.store.accept(&self.feed.name)?;
        tracing::warn!(
            "feed {}: the list {} was accepted",
            self.feed.name,
            short(&head.sha256)
        );
        let state = {
            let mut live = self.live.lock();
            head.held = None;
            live.state.networks = head.networks;
            live.state.confirmed_at = head.fetched_at;
            live.state.takes_over = true;
            live.lost = None;
            live.problem = None;
            live.held = None;
            live.good = Some(head);
            live.state.clone()
        };
        self.shared.store.save_state(&self.feed.name, &state)?;
        self.put().await;
        Ok(self.status())
    }

    /// Replaces a set that no feed is known to have written by the last good list.
    async fn take_over(&self, hash: Option<&str>) -> Result<FeedStatus, FeedError> {
        let state = {
            let mut live = self.live.lock();
            let good = live.good.as_ref().map_or("", |head| &head.sha256);
            if hash.is_some_and(|hash| hash.is_empty() || !good.starts_with(hash)) {
                return Err(FeedError::OtherHeld(short(good).to_owned()));
            }
            live.state.takes_over = true;
            live.state.clone()
        };
        self.shared.store.save_state(&self.feed.name, &state)?;
        self.put().await;
        Ok(self.status())
    }

    /// Puts the last good list in force, as a feed that starts, or whose write failed.
    pub(crate) async fn apply(&self) {
        let _turn = self.turn.lock().await;
        self.put().await;
    }
}
