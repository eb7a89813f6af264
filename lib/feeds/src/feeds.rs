//! All feeds: their schedules, and what the operator asks of them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use couic_common::{Backoff, Policy, SetName, unix_seconds};
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinSet, time::sleep};

use crate::{
    config::{Feed, FeedConfig, SET_PREFIX},
    error::{FeedError, SetupError},
    live::jittered,
    settings::{Settings, Shared},
    sieve::Dropped,
    sink::SetSink,
    slot::{Refreshed, Slot},
    status::{FeedState, FeedStatus},
    store::InForce,
};

/// The most feeds.
pub const MOST_FEEDS: usize = 64;

/// The longest time between looks at a feed: an alarm is not later.
const LOOK: Duration = Duration::from_secs(60);

/// Pauses after the daemon did not take a set.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A feed that is not configured any more.
#[derive(Clone, Debug)]
struct Orphan {
    set: Option<InForce>,
    problem: Option<String>,
}

/// All feeds.
#[derive(Debug)]
pub struct Feeds {
    slots: BTreeMap<String, Arc<Slot>>,
    orphans: Mutex<BTreeMap<String, Orphan>>,
    shared: Arc<Shared>,
}

impl Feeds {
    /// Checks the feeds, and reads what is kept of them. Nothing is fetched or written to the daemon before
    /// [`Feeds::run`].
    ///
    /// # Errors
    /// All mistakes of the configuration, or the system's error.
    pub fn new(
        configs: &[FeedConfig],
        settings: Settings,
        sink: Arc<dyn SetSink>,
    ) -> Result<Self, SetupError> {
        let feeds = checked(configs)?;
        let shared = Arc::new(Shared::new(settings, sink)?);
        let mut slots = BTreeMap::new();
        for feed in feeds {
            let name = feed.name.clone();
            let slot = Slot::new(feed, Arc::clone(&shared))?;
            if slots.insert(name.clone(), Arc::new(slot)).is_some() {
                return Err(SetupError::Twice(name));
            }
        }
        let mut orphans = BTreeMap::new();
        for name in shared.store.names()? {
            if !slots.contains_key(&name) {
                let set = shared.store.state(&name).in_force;
                let orphan = Orphan { set, problem: None };
                orphans.insert(name, orphan);
            }
        }
        Ok(Self {
            slots,
            orphans: Mutex::new(orphans),
            shared,
        })
    }

    /// All feeds, then what is left of those that are not configured any more.
    #[must_use]
    pub fn status(&self) -> Vec<FeedStatus> {
        let mut all: Vec<FeedStatus> = self.slots.values().map(|slot| slot.status()).collect();
        let orphans = self.orphans.lock();
        all.extend(orphans.iter().map(|(name, orphan)| orphan.status(name)));
        all
    }

    /// Asks for a list now.
    ///
    /// # Errors
    /// [`FeedError`]; the last good list stays then.
    pub async fn refresh(&self, name: &str) -> Result<Refreshed, FeedError> {
        let slot = self.slot(name)?;
        let result = slot.refresh().await;
        slot.wake.notify_one();
        result
    }

    /// Takes the list that is held back, exactly that, and puts it in force.
    ///
    /// # Errors
    /// [`FeedError`].
    pub async fn accept(&self, name: &str) -> Result<FeedStatus, FeedError> {
        self.slot(name)?.accept(None).await
    }

    /// The same, if its checksum begins with `hash`: no other that came in the meantime.
    ///
    /// # Errors
    /// [`FeedError`].
    pub async fn accept_exactly(&self, name: &str, hash: &str) -> Result<FeedStatus, FeedError> {
        self.slot(name)?.accept(Some(hash)).await
    }

    fn slot(&self, name: &str) -> Result<&Arc<Slot>, FeedError> {
        let slot = self.slots.get(name);
        slot.ok_or_else(|| FeedError::Unknown(name.chars().take(48).collect()))
    }

    /// Puts the last good lists in force, without the network, and keeps them current until `stop` is true. Sets of feeds
    /// that are not configured any more are removed first.
    /// Without any feed it waits for `stop`, too: its end before that is a bug.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        let feeds = Arc::clone(&self);
        tasks.spawn(until_stop(stop.clone(), async move {
            feeds.remove_orphans().await;
        }));
        for slot in self.slots.values() {
            let slot = Arc::clone(slot);
            tasks.spawn(until_stop(stop.clone(), async move {
                keep_current(&slot).await;
            }));
        }
        let mut is_whole = true;
        while let Some(ended) = tasks.join_next().await {
            is_whole &= ended.is_ok();
        }
        if is_whole {
            // Also when the sender is gone.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    async fn remove_orphans(&self) {
        let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        loop {
            let left = self.orphans.lock().clone();
            if left.is_empty() {
                return;
            }
            for (name, orphan) in left {
                let removed = self.remove_orphan(&name, orphan.set.as_ref()).await;
                let mut orphans = self.orphans.lock();
                match (removed, orphans.get_mut(&name)) {
                    (Err(text), Some(orphan)) => {
                        if orphan.problem.as_ref() != Some(&text) {
                            tracing::warn!(
                                "feed {name} is not configured any more, and its set cannot be removed yet: {text}"
                            );
                        }
                        orphan.problem = Some(text);
                    }
                    _ => {
                        orphans.remove(&name);
                    }
                }
            }
            sleep(jittered(backoff.failed(), 0.5, 1.0)).await;
        }
    }

    async fn remove_orphan(&self, name: &str, set: Option<&InForce>) -> Result<(), String> {
        if let Some(InForce {
            policy, networks, ..
        }) = set
        {
            let set: SetName = format!("{SET_PREFIX}{name}")
                .parse()
                .map_err(|_| "its name is invalid".to_owned())?;
            let removed = self.shared.sink.remove(*policy, &set).await;
            removed.map_err(|e| e.text)?;
            tracing::warn!(
                "feed {name} is not configured any more: its set {policy}/{set} of {networks} networks was removed"
            );
        }
        let removed = self.shared.store.remove(name);
        removed.map_err(|e| format!("its files cannot be removed: {e}"))
    }
}

impl Orphan {
    fn status(&self, name: &str) -> FeedStatus {
        FeedStatus {
            name: name.to_owned(),
            policy: self.set.as_ref().map_or(Policy::Drop, |set| set.policy),
            source: "(not configured)".to_owned(),
            state: FeedState::Orphan,
            problem: self.problem.clone(),
            unapplied: None,
            entries: 0,
            networks: self.set.as_ref().map_or(0, |set| set.networks),
            in_force: self.set.is_some(),
            refused: 0,
            dropped: Dropped::default(),
            fetched_at: 0,
            age: 0,
            is_stale: false,
            next_at: 0,
            failures: 0,
            held: None,
        }
    }
}

fn checked(configs: &[FeedConfig]) -> Result<Vec<Feed>, SetupError> {
    if configs.len() > MOST_FEEDS {
        return Err(SetupError::Many);
    }
    let (mut feeds, mut mistakes) = (Vec::new(), Vec::new());
    for config in configs {
        match config.check() {
            Ok(feed) => feeds.push(feed),
            Err(found) => {
                mistakes.extend(
                    found
                        .into_iter()
                        .map(|mistake| (config.name.clone(), mistake)),
                );
            }
        }
    }
    if mistakes.is_empty() {
        Ok(feeds)
    } else {
        Err(SetupError::Mistakes(mistakes))
    }
}

/// What is interrupted is done again at the next start: files are whole, and the daemon takes sets as a whole.
async fn until_stop(mut stop: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        // Also when the sender is gone.
        _ = stop.wait_for(|stop| *stop) => {}
        () = work => {}
    }
}

async fn keep_current(slot: &Slot) {
    let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    slot.apply().await;
    loop {
        if unix_seconds() >= slot.live.lock().next_at {
            // The status has the error, and the log.
            let _ = slot.refresh().await;
        }
        let (unapplied, next_at) = {
            let mut live = slot.live.lock();
            live.watch(&slot.feed);
            (live.unapplied.is_some(), live.next_at)
        };
        let mut pause =
            Duration::from_secs(next_at.saturating_sub(unix_seconds())).clamp(FIRST_PAUSE, LOOK);
        if unapplied {
            pause = pause.min(jittered(backoff.failed(), 0.5, 1.0));
        } else {
            backoff.succeeded();
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = slot.wake.notified() => {}
        }
        if unapplied {
            slot.apply().await;
        }
    }
}
