//! Idempotent enqueueing, for producers with a journal of their own.
//!
//! Such a producer enqueues, waits for the disk, and only then records that it did. If it dies in between, it enqueues
//! the same id again after its restart.

use uuid::Uuid;

use super::{NotificationDispatcher, delivery_queue::DeliveryQueue, envelope};
use couic_plugin_api::{Notification, NotifyError};

impl NotificationDispatcher {
    /// As [`enqueue`](Self::enqueue), but skips members that hold this id already, queued or as a dead letter. Scans the
    /// whole queue: for few and important notifications. Not for lists of reports: long ones are split under other ids.
    ///
    /// # Errors
    /// As `enqueue`.
    pub fn enqueue_once(&self, notification: &Notification) -> Result<(), NotifyError> {
        self.enqueue_where(notification, |queue| !holds(queue, notification.id))
    }
}

fn holds(queue: &DeliveryQueue, id: Uuid) -> bool {
    let waits = {
        let inner = queue.inner.lock();
        let mut waiting = inner.waiting.iter();
        waiting.any(|item| envelope::open(&item.payload).is_ok_and(|n| n.id == id))
    };
    waits || queue.dead_letters().iter().any(|dead| dead.id == Some(id))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Member, Policy, testing::*};
    use super::*;
    use couic_plugin_api::Severity;

    #[tokio::test(start_paused = true)]
    async fn a_queued_or_dead_notification_is_not_queued_again() {
        let waits = Scripted::new("waits", []).then(fails(NotifyError::retry("no connection")));
        let dies = Scripted::new("dies", []).then(status(400));
        let members = [&waits, &dies].map(|n| Member::new(Arc::clone(n) as _, Policy::default()));
        let group = NotificationDispatcher::start("all", "here", None, members.into()).unwrap();
        let summary = note("a", Severity::Red);
        for _ in 0..3 {
            group.enqueue_once(&summary).unwrap();
            dies.wait_attempts(1).await;
            while group.list()[1].dead_letters == 0 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(group.list()[0].queue_events, 1);
        assert_eq!(
            (group.list()[1].dead_letters, dies.attempts().len()),
            (1, 1)
        );
        group.enqueue_once(&note("b", Severity::Red)).unwrap();
        assert_eq!(group.list()[0].queue_events, 2);
    }
}
