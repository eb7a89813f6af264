//! A list that came, judged and kept.

use std::io;

use couic_common::unix_seconds;

use crate::{
    config::Feed,
    examine::{Examined, baseline, examine},
    fetch::Validators,
    judge::Verdict,
    settings::Shared,
    store::{Head, HeldBack, Which},
};

/// Judges a list, and keeps it as the last good one, or as the one that is held back. The inner error is why it is refused;
/// `once` is how many networks the last good list had, should it be lost.
pub(super) fn keep(
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
