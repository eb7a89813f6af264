//! What is known of a feed at the moment, and when it is due.

use std::time::Duration;

use couic_common::{Backoff, unix_seconds};

use crate::{
    config::Feed,
    sieve::Dropped,
    status::{FeedState, FeedStatus, Held},
    store::{Head, State},
};

/// The first pause after a failed request.
const FIRST_PAUSE: Duration = Duration::from_secs(60);

/// Intervals without a confirmed list that raise the alarm.
const STALE_INTERVALS: u64 = 3;

/// How often an alarm is repeated in the log.
const REPEATED: u64 = 86_400;

/// Digits of a checksum that are shown.
const SHOWN_DIGITS: usize = 12;

#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) state: State,
    pub(crate) good: Option<Head>,
    pub(crate) held: Option<Head>,
    /// Why the last request brought no list.
    pub(crate) problem: Option<String>,
    /// Why the daemon has not got the last good list.
    pub(crate) unapplied: Option<String>,
    /// That the last good list is lost, while a set is in force.
    pub(crate) lost: Option<String>,
    /// A set is there that no feed is known to have written.
    pub(crate) is_foreign: bool,
    pub(crate) dropped: Dropped,
    /// Networks that are, or in shadow would be, in force.
    pub(crate) networks: u64,
    pub(crate) next_at: u64,
    backoff: Backoff,
    alarmed_at: Option<u64>,
}

impl Live {
    pub(crate) fn new(feed: &Feed, state: State, good: Option<Head>, held: Option<Head>) -> Self {
        let now = unix_seconds();
        let is_current = good.as_ref().is_some_and(|head| {
            head.fingerprint == feed.fingerprint() && head.policy == feed.policy
        });
        let due = state.confirmed_at + jittered(feed.every, 0.9, 1.1).as_secs();
        // A clock that was set back must not put off a feed.
        let is_sane = is_current && state.confirmed_at <= now;
        Self {
            networks: state.in_force.as_ref().map_or(0, |set| set.networks),
            dropped: good.as_ref().map(|head| head.dropped).unwrap_or_default(),
            state,
            good,
            held,
            problem: None,
            unapplied: None,
            lost: None,
            is_foreign: false,
            next_at: if is_sane { due } else { now },
            backoff: Backoff::new(FIRST_PAUSE.min(feed.every), feed.every),
            alarmed_at: None,
        }
    }

    /// The list is the current one.
    pub(crate) fn confirmed(&mut self, feed: &Feed, now: u64) {
        self.state.confirmed_at = now;
        self.came(feed, now);
        if self.problem.take().is_some() {
            tracing::info!("feed {}: the list is there again", feed.name);
        }
    }

    /// The server answered: the next request is due after an interval.
    pub(crate) fn came(&mut self, feed: &Feed, now: u64) {
        self.backoff.succeeded();
        self.next_at = now + jittered(feed.every, 0.9, 1.1).as_secs();
    }

    /// There is no list; `asked` is how long the server asks to wait. The same problem is logged once.
    pub(crate) fn failed(&mut self, feed: &Feed, text: String, asked: Option<Duration>) {
        let pause = jittered(self.backoff.failed(), 0.5, 1.0).max(asked.unwrap_or_default());
        self.next_at = unix_seconds() + pause.as_secs().max(1);
        self.told(feed, text);
    }

    pub(crate) fn told(&mut self, feed: &Feed, text: String) {
        if self.problem.as_ref() != Some(&text) {
            let stays = if self.good.is_some() {
                "; the last good list stays"
            } else {
                ""
            };
            tracing::warn!("feed {} from {}: {text}{stays}", feed.name, feed.source);
        }
        self.problem = Some(text);
    }

    fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.state.confirmed_at.max(self.state.since))
    }

    fn is_stale(&self, feed: &Feed, now: u64) -> bool {
        self.age(now) > STALE_INTERVALS * feed.every.as_secs()
    }

    /// Raises the alarm when a list becomes stale, and each day that it is.
    pub(crate) fn watch(&mut self, feed: &Feed) {
        let now = unix_seconds();
        if !self.is_stale(feed, now) {
            if self.alarmed_at.take().is_some() {
                tracing::info!("feed {} is current again", feed.name);
            }
        } else if self
            .alarmed_at
            .is_none_or(|at| now.saturating_sub(at) >= REPEATED)
        {
            self.alarmed_at = Some(now);
            let age = humantime::format_duration(Duration::from_secs(self.age(now)));
            let why = self.problem.as_deref().unwrap_or("it was not fetched");
            let (name, source) = (&feed.name, &feed.source);
            tracing::error!(
                "ALARM: feed {name} from {source} is stale: no current list for {age}, {why}; the last good list of {} networks stays in force",
                self.networks
            );
        }
    }

    fn trouble(&self) -> Option<String> {
        let all = [&self.lost, &self.problem, &self.unapplied];
        let told: Vec<&str> = all.into_iter().filter_map(Option::as_deref).collect();
        (!told.is_empty()).then(|| told.join("; "))
    }

    pub(crate) fn status(&self, feed: &Feed) -> FeedStatus {
        let now = unix_seconds();
        let is_stale = self.is_stale(feed, now);
        let in_force = self.state.in_force.as_ref();
        let state = if self.held.is_some() {
            FeedState::HeldBack
        } else if is_stale {
            FeedState::Stale
        } else if self.trouble().is_some() {
            FeedState::Failing
        } else if self.good.is_none() {
            FeedState::Waiting
        } else if feed.shadow {
            FeedState::Shadow
        } else {
            FeedState::Ok
        };
        FeedStatus {
            name: feed.name.clone(),
            policy: feed.policy,
            source: feed.source.to_string(),
            state,
            problem: self.trouble(),
            unapplied: self.unapplied.clone(),
            entries: self.good.as_ref().map_or(0, |head| head.entries),
            networks: self.networks,
            in_force: in_force.is_some() || self.lost.is_some(),
            refused: in_force.map_or(0, |set| set.refused),
            dropped: self.dropped,
            fetched_at: self.good.as_ref().map_or(0, |head| head.fetched_at),
            age: self.age(now),
            is_stale,
            next_at: self.next_at,
            failures: self.backoff.failures(),
            held: self.held.as_ref().map(held),
        }
    }
}

fn held(head: &Head) -> Held {
    let reason = head.held.as_ref();
    Held {
        hash: short(&head.sha256).to_owned(),
        networks: head.networks,
        fetched_at: head.fetched_at,
        why: reason.map(|held| held.why.clone()).unwrap_or_default(),
        change: reason.and_then(|held| held.change),
    }
}

/// A checksum as it is shown.
pub(crate) fn short(sha256: &str) -> &str {
    sha256.get(..SHOWN_DIGITS).unwrap_or(sha256)
}

/// A share of a duration, drawn between two, so that hosts do not ask at the same moment.
pub(crate) fn jittered(pause: Duration, from: f64, to: f64) -> Duration {
    pause.mul_f64(from + (to - from) * fastrand::f64())
}
