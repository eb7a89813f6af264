//! The last good list, as this host and this configuration take it, put in force.

use std::{io, sync::Arc};

use bytes::Bytes;
use couic_common::{Networks, list_entries, list_networks};

use super::Slot;
use crate::{
    config::Feed,
    format,
    judge::Change,
    live::short,
    settings::{Shared, blocking},
    sieve::{Dropped, Needed, clean},
    store::{InForce, Which, checksum, rendered},
};

/// A list as it goes to the daemon.
struct Rendered {
    text: String,
    sha256: String,
    networks: u64,
    dropped: Dropped,
}

impl Slot {
    pub(super) async fn put(&self) {
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
        if !matches!(rendered, Ok(Some(_))) {
            self.look().await?;
        }
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
        if was.as_ref().is_none_or(|set| set.policy != feed.policy) {
            self.may_write(&list.text).await?;
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

    /// Tells the loss of the last good list while its set is in force.
    async fn look(&self) -> Result<(), String> {
        let feed = &self.feed;
        if feed.shadow || self.live.lock().good.is_some() {
            return Ok(());
        }
        let set = self.shared.sink.read(feed.policy, &feed.set).await;
        let set = set.map_err(|e| e.text)?;
        let mut live = self.live.lock();
        let Some(set) = set else {
            live.lost = None;
            return Ok(());
        };
        live.networks = set.len() as u64;
        let text = format!(
            "the last good list was lost, or the set {}/{} is not of this feed; it stays in force, and a new list is compared with it",
            feed.policy, feed.set
        );
        if live.lost.as_ref() != Some(&text) {
            tracing::warn!("feed {}: {text}", feed.name);
        }
        live.lost = Some(text);
        Ok(())
    }

    /// Whether the first write of this feed to a set may be done: one that is there already may be the operator's, or the
    /// feed's own whose state was lost.
    async fn may_write(&self, list: &str) -> Result<(), String> {
        let feed = &self.feed;
        if self.live.lock().state.takes_over {
            return Ok(());
        }
        let set = self.shared.sink.read(feed.policy, &feed.set).await;
        let Some(mut set) = set.map_err(|e| e.text)? else {
            return Ok(());
        };
        set.merge(feed.widest_v4, feed.widest_v6);
        let mut new = Networks::default();
        for (_, entry) in list_entries(list.as_bytes()) {
            list_networks(entry, |cidr| new.push(cidr)).map_err(|e| e.to_string())?;
        }
        if Change::between(&set, &new).0.share <= feed.most_change {
            return Ok(());
        }
        self.live.lock().is_foreign = true;
        Err(format!(
            "the set {}/{} exists, this feed has not written it, and it is not the feed's list; couic-bouncer feeds accept {} replaces it",
            feed.policy, feed.set, feed.name
        ))
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
            live.state.takes_over &= set.is_none();
            live.is_foreign = false;
            live.state.in_force = set;
            live.state.clone()
        };
        let saved = self.shared.store.save_state(&self.feed.name, &state);
        saved.map_err(|e| format!("its state cannot be kept: {e}"))
    }
}

/// The last good list as this host and this configuration take it; `None` if there is none of this policy.
fn render(shared: &Shared, feed: &Feed, needed: &Needed) -> io::Result<Option<Rendered>> {
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
