//! A list that came, judged and kept.

use std::io;

use couic_common::{Networks, unix_seconds};

use crate::{
    config::Feed,
    examine::{Examined, baseline, examine, merged as merge},
    fetch::Validators,
    judge::{Baseline, Verdict},
    settings::Shared,
    store::{Head, HeldBack, Which},
};

/// Judges a list, and keeps it as the last good one, or as the one that is held back. The inner error is why it is refused;
/// `in_force` is the set that the daemon has, the measure if the last good list is lost; `once` is how many networks that
/// list had, should the set be lost, too.
pub(super) fn keep(
    shared: &Shared,
    feed: &Feed,
    body: Vec<u8>,
    validators: Validators,
    in_force: Option<Networks>,
    once: u64,
) -> io::Result<Result<Head, String>> {
    let store = &shared.store;
    let (mut is_lost, mut is_measured) = (once > 0, false);
    let last = || {
        if let Some(last) = store.load(&feed.name, Which::Good).ok().flatten() {
            is_lost = false;
            return baseline(feed, last);
        }
        let networks = merge(&in_force?, feed);
        is_measured = true;
        Some(Baseline {
            networks,
            is_terminated: false,
        })
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
    let is_unmeasured = is_lost && !is_measured && verdict == Verdict::Good;
    if is_unmeasured && has_shrunk(feed, once, count) {
        verdict = Verdict::Held(format!(
            "it has {count} networks, the last good list, which is lost, had {once}"
        ));
    }
    drop(merged);
    if is_measured && let Verdict::Held(why) = &mut verdict {
        *why = format!(
            "no last good list is kept to compare it with, and from the set {}/{} that is in force, {why}",
            feed.policy, feed.set
        );
    }
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

#[expect(clippy::cast_precision_loss, reason = "a share")]
fn has_shrunk(feed: &Feed, before: u64, now: u64) -> bool {
    (now as f64) < before as f64 * (1.0 - feed.most_change)
}
