//! From the bytes of a list to a verdict on it.

use couic_common::Networks;

use crate::{
    config::Feed,
    format::{FormatError, parse},
    judge::{Baseline, Change, Verdict, judge},
    sieve::{Dropped, clean},
    store::Kept,
};

/// A list that was read and judged.
#[derive(Debug)]
pub(crate) struct Examined {
    /// What is taken of it, as the feed lists it.
    pub(crate) networks: Networks,
    /// The same, merged.
    pub(crate) merged: Networks,
    pub(crate) entries: u64,
    pub(crate) dropped: Dropped,
    pub(crate) first_unreadable: Option<String>,
    pub(crate) is_terminated: bool,
    pub(crate) verdict: Verdict,
    pub(crate) change: Option<Change>,
}

pub(crate) fn merged(networks: &Networks, feed: &Feed) -> Networks {
    let mut merged = networks.clone();
    merged.merge(feed.widest_v4, feed.widest_v6);
    merged
}

/// The last good list as a measure, if it is one of the same origin and policy.
pub(crate) fn baseline(feed: &Feed, last: Kept) -> Option<Baseline> {
    let Kept { head, mut networks } = last;
    let is_same = head.fingerprint == feed.fingerprint() && head.policy == feed.policy;
    // By the widths and bogons of today, so that these are not taken for a change of the list.
    clean(&mut networks, feed);
    networks.merge(feed.widest_v4, feed.widest_v6);
    let is_terminated = head.is_terminated;
    is_same.then_some(Baseline {
        networks,
        is_terminated,
    })
}

/// Takes a list apart. Its bytes are gone before anything else is made of it.
pub(crate) fn examine(
    feed: &Feed,
    body: Vec<u8>,
    last: impl FnOnce() -> Option<Baseline>,
) -> Result<Examined, FormatError> {
    let parsed = parse(&body, &feed.format)?;
    drop(body);
    let mut networks = parsed.networks;
    let mut dropped = clean(&mut networks, feed);
    dropped.unreadable = parsed.unreadable;
    let merged = merged(&networks, feed);
    let last = last();
    // Neither the parts of a range nor what merges makes another number of entries.
    let taken = parsed.entries.min(networks.len() as u64);
    let (verdict, change) = judge(feed, &merged, taken, parsed.is_terminated, last.as_ref());
    Ok(Examined {
        networks,
        merged,
        entries: parsed.entries,
        dropped,
        first_unreadable: parsed.first_unreadable,
        is_terminated: parsed.is_terminated,
        verdict,
        change,
    })
}
