//! The dispatcher's guarantees, in virtual time.

mod delivery;
mod failures;
mod full;
mod restarts;

use std::time::Duration;

use tempfile::TempDir;

use couic_common::{NotifierInfo, NotifierState};
use couic_plugin_api::{Notification, Notifier as _, NotifyError, Receipt, Severity};
use couic_testkit::until_ok;
use tokio::time::Instant;

use super::{spool::Durability, testing::*, *};

const HOUR: Duration = Duration::from_secs(3600);

fn start(members: impl IntoIterator<Item = (Arc<Scripted>, Policy)>) -> NotificationDispatcher {
    start_in(None, members)
}

fn start_in(
    dir: Option<&TempDir>,
    members: impl IntoIterator<Item = (Arc<Scripted>, Policy)>,
) -> NotificationDispatcher {
    let members = members
        .into_iter()
        .map(|(notifier, policy)| Member::new(notifier, policy));
    NotificationDispatcher::start("all", "here", dir.map(TempDir::path), members.collect()).unwrap()
}

fn one(notifier: &Arc<Scripted>) -> NotificationDispatcher {
    start([(Arc::clone(notifier), Policy::default())])
}

fn enqueue(dispatcher: &NotificationDispatcher, text: &str) {
    dispatcher.enqueue(&note(text, Severity::Green)).unwrap();
}

/// Waits until the status of the only member satisfies `holds`: in virtual time, seconds pass meanwhile.
async fn until(
    dispatcher: &NotificationDispatcher,
    holds: impl Fn(&NotifierInfo) -> bool,
) -> NotifierInfo {
    poll(dispatcher, holds, Duration::from_secs(1)).await
}

/// The same for tests with a real disk, whose clock is real.
async fn soon(
    dispatcher: &NotificationDispatcher,
    holds: impl Fn(&NotifierInfo) -> bool,
) -> NotifierInfo {
    poll(dispatcher, holds, Duration::from_millis(1)).await
}

async fn poll(
    dispatcher: &NotificationDispatcher,
    holds: impl Fn(&NotifierInfo) -> bool,
    interval: Duration,
) -> NotifierInfo {
    until_ok(interval, async || {
        let status = dispatcher.list().remove(0);
        if holds(&status) {
            Ok(status)
        } else {
            Err(status)
        }
    })
    .await
}

fn small(merge: Merge) -> Policy {
    Policy {
        max_events: 10,
        merge,
        ..Policy::default()
    }
}
