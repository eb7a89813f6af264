//! Keeps a queue under 80 % by merging neighbours.
//!
//! Works on copies, some at a time, without the lock, so producers are not blocked. Items are not examined again before
//! the queue has shrunk.

use super::{
    delivery_queue::DeliveryQueue,
    envelope,
    merge::{is_mergeable, merge},
    parts,
    policy::{Merge, Policy},
    queue::{Item, Key},
};
use couic_plugin_api::Notification;

/// Items examined, and merged, at once.
const STRIDE: usize = 32;

/// Merges until the queue is under 80 % or nothing is left to merge. `from` is the last item examined.
pub(super) async fn shed(queue: &DeliveryQueue, from: &mut Key) {
    loop {
        let some = {
            let inner = queue.inner.lock();
            if !inner.waiting.is_pressed() {
                *from = (0, 0);
                return;
            }
            inner.waiting.after(*from, STRIDE)
        };
        if some.len() < 2 {
            return;
        }
        match find_run(&some, &queue.policy) {
            Some((items, merged)) => {
                queue.replace(items, &merged);
                // After the new one.
                *from = (items[0].order, u64::MAX);
            }
            // The last one may be merged with later ones.
            None => *from = some[some.len() - 2].key(),
        }
        tokio::task::yield_now().await;
    }
}

/// The first neighbours that can be merged, and what they become.
fn find_run<'a>(items: &'a [Item], policy: &Policy) -> Option<(&'a [Item], Notification)> {
    let mut start = 0;
    let mut run: Vec<Notification> = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let open = may_merge(items, at, policy).then(|| envelope::open(&item.payload).ok());
        let open = open.flatten();
        let open = open.filter(|n| item.done == 0 && is_mergeable(&n.kind, policy.merge));
        let fits = open
            .as_ref()
            .is_some_and(|n| fits(&items[start..at], &run, item, n, policy));
        if !fits && run.len() >= 2 {
            return Some((&items[start..at], merge(run, policy.merge)?));
        }
        if !fits {
            run.clear();
            start = at;
        }
        match open {
            Some(notification) => run.push(notification),
            None => start = at + 1,
        }
    }
    let merged = (run.len() >= 2)
        .then(|| merge(run, policy.merge))
        .flatten()?;
    Some((&items[start..], merged))
}

/// Whether an item could be merged with a neighbour, by size alone: large batches need not be parsed for that.
fn may_merge(items: &[Item], at: usize, policy: &Policy) -> bool {
    let size = |at: usize| items.get(at).map_or(usize::MAX, |item| item.payload.len());
    let smaller = size(at + 1).min(at.checked_sub(1).map_or(usize::MAX, size));
    policy.merge == Merge::Digest || size(at).saturating_add(smaller) <= policy.part_bytes
}

/// A batch must still fit into one part; a digest is always small.
fn fits(
    before: &[Item],
    run: &[Notification],
    item: &Item,
    next: &Notification,
    policy: &Policy,
) -> bool {
    if policy.merge == Merge::Digest {
        return true;
    }
    let bytes: usize = before
        .iter()
        .chain([item])
        .map(|item| item.payload.len())
        .sum();
    let reports: u64 = run.iter().chain([next]).map(parts::total).sum();
    bytes <= policy.part_bytes && reports <= policy.part_reports as u64
}
