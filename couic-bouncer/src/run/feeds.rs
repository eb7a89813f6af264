//! The feeds as the service follows them.

use std::sync::Arc;

use couic_common::counted;
use couic_feeds::{FeedState, FeedStatus, Feeds, Refreshed, SET_PREFIX, Settings};
use couic_inject::Injector;
use tokio::sync::watch;

use super::{service::Running, sink::Sink, status::Feed};
use crate::config::Config;

/// All feeds of a configuration, and the sets of those that it does not have any more, which are removed.
pub(super) struct Following(Arc<Feeds>);

/// What a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order<'a> {
    /// Let the list that is held back take effect, if its checksum begins so.
    Accept(Option<&'a str>),
    /// Fetch it now.
    Refresh,
}

impl Following {
    /// Nothing is fetched before it is started.
    pub(super) fn new(config: &Config, injector: &Arc<Injector>) -> Result<Arc<Self>, String> {
        let sink = Arc::new(Sink(Arc::downgrade(injector)));
        let feeds = Feeds::new(&config.feeds, settings(config), sink);
        let feeds = feeds.map_err(|error| error.to_string())?;
        Ok(Arc::new(Self(Arc::new(feeds))))
    }

    pub(super) fn start(this: Arc<Self>) -> Running<Self> {
        let run = |this: Arc<Self>, stop: watch::Receiver<bool>| Arc::clone(&this.0).run(stop);
        Running::start(this, run)
    }

    /// Each of them, for commands and metrics.
    pub(super) fn shown(&self) -> Vec<Feed> {
        self.0.status().into_iter().map(shown).collect()
    }

    /// One sentence for each that is not as it should be.
    pub(super) fn problems(&self) -> Vec<String> {
        let all = self.0.status();
        all.iter().filter_map(problem).collect()
    }

    /// Returns what to tell.
    pub(super) async fn order(&self, name: &str, order: Order<'_>) -> Result<String, String> {
        let failed = |error: couic_feeds::FeedError| error.to_string();
        match order {
            Order::Refresh => {
                let what = match self.0.refresh(name).await.map_err(failed)? {
                    Refreshed::Unchanged => "its list has not changed",
                    Refreshed::Taken => "its new list is taken",
                    Refreshed::HeldBack => "its new list is held back: feeds list tells why",
                };
                let text = format!("feed {name}: {what}");
                let all = self.0.status();
                let status = all.iter().find(|feed| feed.name == name);
                status.map_or(Ok(text.clone()), |status| effect(&text, status))
            }
            Order::Accept(hash) => {
                let accepted = match hash {
                    Some(hash) => self.0.accept_exactly(name, hash).await,
                    None => self.0.accept(name).await,
                };
                let status = accepted.map_err(failed)?;
                effect(&format!("feed {name}: the list is accepted"), &status)
            }
        }
    }
}

/// With whether what the order brought is in force. An error if the daemon did not take it.
fn effect(text: &str, feed: &FeedStatus) -> Result<String, String> {
    if let Some(why) = &feed.unapplied {
        return Err(format!(
            "{text}, but the daemon has not taken it; it is tried again: {why}"
        ));
    }
    let networks = counted(feed.networks, "network", "networks");
    Ok(match (feed.state, feed.in_force) {
        (FeedState::Shadow, _) => format!("{text}; in shadow, not in force"),
        (FeedState::HeldBack, true) => format!("{text}; the last good list stays in force"),
        (_, true) => format!("{text}; in force, {networks}"),
        (_, false) => format!("{text}; not in force"),
    })
}

/// What holds for all feeds.
pub(crate) fn settings(config: &Config) -> Settings {
    Settings {
        asn_url: config.asn_url.clone(),
        ..Settings::new(config.state_dir.clone())
    }
}

fn problem(feed: &FeedStatus) -> Option<String> {
    let name = &feed.name;
    let why = why(feed).unwrap_or_else(|| "its list was not confirmed for three intervals".into());
    match feed.state {
        FeedState::Ok | FeedState::Shadow => None,
        // At the start.
        FeedState::Waiting => None,
        FeedState::Orphan => feed.problem.as_ref().map(|why| {
            format!("feed {name} is not configured any more, and its set cannot be removed: {why}")
        }),
        FeedState::HeldBack => {
            let hash = feed.held.as_ref().map_or("", |held| held.hash.as_str());
            Some(format!(
                "feed {name}: a new list is held back, the last good one stays: {why}; couic-bouncer feeds accept {name} {hash} takes it"
            ))
        }
        FeedState::Stale => Some(format!(
            "feed {name} is stale, the last good list of {} stays in force: {why}",
            counted(feed.networks, "network", "networks")
        )),
        FeedState::Failing => Some(format!("feed {name}: {why}")),
    }
}

fn why(feed: &FeedStatus) -> Option<String> {
    match &feed.held {
        Some(held) => Some(match &feed.problem {
            // The problem is that it is held back, unless a later request failed.
            Some(problem) if !problem.contains(&held.why) => format!("{}; {problem}", held.why),
            _ => held.why.clone(),
        }),
        None => feed.problem.clone(),
    }
}

fn shown(feed: FeedStatus) -> Feed {
    let why = why(&feed);
    let mut dropped: Vec<_> = feed.dropped.by_reason().into();
    dropped.push(("refused", feed.refused));
    let some = dropped.into_iter().filter(|(_, count)| *count > 0);
    Feed {
        set: format!("{SET_PREFIX}{}", feed.name),
        policy: feed.policy.to_string(),
        source: feed.source,
        state: feed.state.as_str().to_owned(),
        why,
        held: feed.held.map(|held| held.hash),
        entries: feed.entries,
        networks: feed.networks,
        in_force: feed.in_force,
        age_seconds: (feed.fetched_at > 0).then_some(feed.age),
        dropped: some.map(|(why, count)| (why.to_owned(), count)).collect(),
        name: feed.name,
    }
}
