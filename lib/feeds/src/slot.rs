//! The work on one feed: fetch, judge, keep, put in force. One piece of work at a time.

use std::{io, sync::Arc};

use bytes::Bytes;
use couic_common::unix_seconds;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    FeedError,
    config::Feed,
    examine::{Examined, baseline, examine},
    fetch::{FetchError, Fetched, Validators},
    format,
    judge::Verdict,
    live::{Live, short},
    obtain::obtain,
    settings::{Shared, blocking},
    sieve::{Dropped, clean},
    status::FeedStatus,
    store::{Head, HeldBack, InForce, Which, checksum, rendered},
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
}

/// A list as it goes to the daemon.
struct Rendered {
    text: String,
    sha256: String,
    networks: u64,
    dropped: Dropped,
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
        let _permit = self.shared.fetching.acquire().await;
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

    async fn take(&self, body: Vec<u8>, validators: Validators) -> Result<Refreshed, FeedError> {
        let _permit = self.shared.working.acquire().await;
        let (shared, feed) = (Arc::clone(&self.shared), Arc::clone(&self.feed));
        let once = self.live.lock().state.networks;
        let taken = blocking(move || keep(&shared, &feed, body, validators, once)).await;
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
                    "a new list is held back: {}; to take it, run couic-bouncer feeds accept {} (its checksum is {})",
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
            live.problem = None;
            live.held = None;
            live.good = Some(head);
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

    async fn put(&self) {
        let result = self.put_in_force().await;
        let mut live = self.live.lock();
        let feed = &self.feed;
        match result {
            Ok(()) => {
                if live.unapplied.take().is_some() {
                    tracing::info!("feed {}: its set is in force again", feed.name);
                }
            }
            Err(text) => {
                if live.unapplied.as_ref() != Some(&text) {
                    tracing::warn!("feed {}: its set is not up to date: {text}", feed.name);
                }
                live.unapplied = Some(text);
            }
        }
    }

    async fn put_in_force(&self) -> Result<(), String> {
        let _permit = self.shared.working.acquire().await;
        let (feed, shared) = (&self.feed, &self.shared);
        let needed = shared.needed(feed.policy).await;
        let (of, store) = (Arc::clone(feed), Arc::clone(shared));
        let rendered = blocking(move || render(&store, &of, &needed)).await;
        let was = self.live.lock().state.in_force.clone();
        let Some(list) = rendered.map_err(|e| e.to_string())? else {
            return self
                .withdraw(was.filter(|set| set.policy != feed.policy))
                .await;
        };
        {
            let mut live = self.live.lock();
            live.dropped = list.dropped;
            live.networks = list.networks;
        }
        if feed.shadow {
            return self.withdraw(was).await;
        }
        if list.networks == 0 {
            let text = "nothing is left of the list: this host or the ignore list needs all of it";
            return Err(text.to_owned());
        }
        self.put_list(list, was).await
    }

    async fn put_list(&self, list: Rendered, was: Option<InForce>) -> Result<(), String> {
        let (feed, sink) = (&self.feed, &self.shared.sink);
        let is_same = was
            .as_ref()
            .is_some_and(|set| set.policy == feed.policy && set.sha256 == list.sha256);
        if is_same && sink.has(feed.policy, &feed.set).await.map_err(|e| e.text)? {
            return Ok(());
        }
        let (sha256, networks) = (list.sha256, list.networks);
        let put = sink
            .put(feed.policy, &feed.set, Bytes::from(list.text))
            .await;
        let refused = put.map_err(|e| e.text)?.refused;
        tracing::info!(
            "feed {}: {} in force as {}/{}, list {}{}",
            feed.name,
            format::networks(networks),
            feed.policy,
            feed.set,
            short(&sha256),
            match list.dropped.told() {
                told if told.is_empty() => String::new(),
                told => format!(", without {told}"),
            }
        );
        let policy = feed.policy;
        self.in_force(Some(InForce {
            policy,
            sha256,
            networks,
            refused,
        }))?;
        // The new one first: in between, both hold.
        match was.filter(|set| set.policy != policy) {
            Some(old) => sink.remove(old.policy, &feed.set).await.map_err(|e| e.text),
            None => Ok(()),
        }
    }

    /// Removes the set of a feed that went to shadow, or whose policy changed.
    async fn withdraw(&self, set: Option<InForce>) -> Result<(), String> {
        let Some(InForce {
            policy, networks, ..
        }) = set
        else {
            return Ok(());
        };
        let (feed, sink) = (&self.feed, &self.shared.sink);
        sink.remove(policy, &feed.set).await.map_err(|e| e.text)?;
        tracing::warn!(
            "feed {}: its set {policy}/{} of {} was removed, as the configuration says",
            feed.name,
            feed.set,
            format::networks(networks)
        );
        self.in_force(None)
    }

    fn in_force(&self, set: Option<InForce>) -> Result<(), String> {
        let state = {
            let mut live = self.live.lock();
            live.state.in_force = set;
            live.state.clone()
        };
        let saved = self.shared.store.save_state(&self.feed.name, &state);
        saved.map_err(|e| format!("its state cannot be kept: {e}"))
    }
}

/// Judges a list, and keeps it as the last good one, or as the one that is held back. The inner error is why it is refused;
/// `once` is how many networks the last good list had, should it be lost.
fn keep(
    shared: &Shared,
    feed: &Feed,
    body: Vec<u8>,
    validators: Validators,
    once: u64,
) -> io::Result<Result<Head, String>> {
    let store = &shared.store;
    let mut is_lost = once > 0;
    let last = || {
        let last = store.load(&feed.name, Which::Good).ok().flatten()?;
        is_lost = false;
        baseline(feed, last)
    };
    let Examined {
        networks,
        merged,
        entries,
        dropped,
        is_terminated,
        mut verdict,
        change,
        ..
    } = match examine(feed, body, last) {
        Ok(examined) => examined,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let count = merged.len() as u64;
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    let least = once as f64 * (1.0 - feed.most_change);
    #[expect(clippy::cast_precision_loss, reason = "a share")]
    if is_lost && verdict == Verdict::Good && (count as f64) < least {
        verdict = Verdict::Held(format!(
            "it has {count} networks, the last good list, which is lost, had {once}"
        ));
    }
    drop(merged);
    let (which, held) = match verdict {
        Verdict::Refused(text) => return Ok(Err(text)),
        Verdict::Good => (Which::Good, None),
        Verdict::Held(why) => (Which::Held, Some(HeldBack { why, change })),
    };
    let head = Head {
        sha256: String::new(),
        fetched_at: unix_seconds(),
        policy: feed.policy,
        fingerprint: feed.fingerprint(),
        validators,
        entries,
        networks: count,
        is_terminated,
        dropped,
        held,
    };
    store.save(&feed.name, which, head, &networks).map(Ok)
}

/// The last good list as this host and this configuration take it; `None` if there is none of this policy.
fn render(
    shared: &Shared,
    feed: &Feed,
    needed: &crate::sieve::Needed,
) -> io::Result<Option<Rendered>> {
    let Some(mut kept) = shared.store.load(&feed.name, Which::Good)? else {
        return Ok(None);
    };
    if kept.head.policy != feed.policy {
        return Ok(None);
    }
    let again = clean(&mut kept.networks, feed);
    let mut dropped = kept.head.dropped;
    dropped.bogon += again.bogon;
    dropped.wide += again.wide;
    needed.spare(&mut kept.networks, feed.policy, &mut dropped);
    kept.networks.merge(feed.widest_v4, feed.widest_v6);
    let text = rendered(&kept.networks);
    let (sha256, networks) = (checksum(&text), kept.networks.len() as u64);
    Ok(Some(Rendered {
        text,
        sha256,
        networks,
        dropped,
    }))
}
