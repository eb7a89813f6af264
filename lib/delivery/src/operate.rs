//! Operations on notifiers: list, test, replay, discard, resume.

use tokio::{sync::oneshot, time::Instant};

use super::{
    NotificationDispatcher, OperateError, TestOutcome, dispatcher::Running, status::AttemptTimes,
};
use couic_common::{DeadLetter, NotifierInfo, NotifierName, NotifierState};
use couic_plugin_api::{Kind, Notification, Severity};

impl NotificationDispatcher {
    /// The members as they are now, in the order of their configuration.
    #[must_use]
    pub fn list(&self) -> Vec<NotifierInfo> {
        self.members
            .iter()
            .map(|member| member.queue.status())
            .collect()
    }

    /// Delivers a sample through one member, ahead of its queue. On success a failed member works again.
    ///
    /// # Errors
    /// [`OperateError`]; [`OperateError::NotDelivered`] has the outcome of the attempt.
    pub async fn test(&self, name: &str) -> TestOutcome {
        let member = self.member(name)?;
        let sample = Notification::new(Kind::Test, Severity::Green, self.source.clone());
        let (answer, outcome) = oneshot::channel();
        let sent = member.tests.send((sample, answer)).await;
        sent.map_err(|_| OperateError::Stopping)?;
        let outcome = outcome.await.map_err(|_| OperateError::Stopping)?;
        outcome.map_err(OperateError::NotDelivered)
    }

    /// Durations of the attempts of each member.
    #[must_use]
    pub fn attempt_times(&self) -> Vec<(NotifierName, AttemptTimes)> {
        let times = |member: &Running| {
            let times = &member.queue.inner.lock().counters.attempt_seconds;
            (member.queue.name.clone(), times.clone())
        };
        self.members.iter().map(times).collect()
    }

    /// The dead letters of a member, the oldest first.
    ///
    /// # Errors
    /// [`OperateError::Unknown`].
    pub fn dead_letters(&self, name: &str) -> Result<Vec<DeadLetter>, OperateError> {
        Ok(self.member(name)?.queue.dead_letters())
    }

    /// Puts dead letters of a member back into its queue, one or all. Returns how many.
    ///
    /// # Errors
    /// [`OperateError::Unknown`], [`OperateError::NoSuchLetter`].
    pub fn replay(&self, name: &str, key: Option<u64>) -> Result<usize, OperateError> {
        self.member(name)?.queue.replay(key)
    }

    /// Discards dead letters of a member, one or all. Returns how many.
    ///
    /// # Errors
    /// [`OperateError::Unknown`], [`OperateError::NoSuchLetter`].
    pub fn discard(&self, name: &str, key: Option<u64>) -> Result<usize, OperateError> {
        self.member(name)?.queue.discard(key)
    }

    /// Makes a failed member try again, and one that waits try now, also where the receiver asked it to wait.
    ///
    /// # Errors
    /// [`OperateError::Unknown`].
    pub fn resume(&self, name: &str) -> Result<(), OperateError> {
        let queue = &self.member(name)?.queue;
        {
            let mut inner = queue.inner.lock();
            if inner.state != NotifierState::Stopped {
                inner.state = NotifierState::Ok;
                inner.next_attempt = None;
            }
        }
        queue.hold_until(Instant::now());
        queue.changed.notify_one();
        Ok(())
    }

    fn member(&self, name: &str) -> Result<&Running, OperateError> {
        let found = self
            .members
            .iter()
            .find(|member| member.queue.name.as_str() == name);
        found.ok_or_else(|| OperateError::Unknown {
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::super::{Member, Policy, status::problems, testing::*};
    use super::*;
    use couic_plugin_api::NotifyError;

    fn group(notifier: &Arc<Scripted>) -> NotificationDispatcher {
        let member = Member::new(Arc::clone(notifier) as _, Policy::default());
        NotificationDispatcher::start("all", "here", None, vec![member]).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_test_comes_before_a_long_queue() {
        let notifier = Scripted::new("n", []);
        let group = group(&notifier);
        for _ in 0..1_000 {
            group.enqueue(&note("a", Severity::Green)).unwrap();
        }
        group.test("n").await.unwrap();
        let before = notifier.delivered();
        let before = before.iter().position(|n| n.kind == Kind::Test);
        assert!(before.is_some_and(|n| n < 500), "{before:?}");
        let status = group.list().remove(0);
        assert!(status.last_success.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn resume_does_not_wait_for_the_next_attempt() {
        let refused = || fails(NotifyError::retry("refused"));
        let notifier = Scripted::new("n", []).then(refused());
        let group = group(&notifier);
        group.enqueue(&note("a", Severity::Green)).unwrap();
        // By now the pause is up to five minutes.
        notifier.wait_attempts(20).await;
        let asked = Instant::now();
        notifier.set_after(Play::End(Ok(couic_plugin_api::Receipt::default())));
        group.resume("n").unwrap();
        notifier.wait_delivered(1).await;
        assert_eq!(asked.elapsed(), Duration::ZERO);
        let unknown = OperateError::Unknown {
            name: "x".to_owned(),
        };
        assert_eq!(group.resume("x"), Err(unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_over_is_not_shown_for_ever() {
        let minute = Duration::from_secs(60);
        let notifier = Scripted::new("n", [rate_limited(minute)]);
        let group = group(&notifier);
        assert!(group.test("n").await.is_err());
        assert_eq!(group.list()[0].state, NotifierState::RateLimited);
        tokio::time::sleep(minute).await;
        assert_eq!(group.list()[0].state, NotifierState::Ok);
    }

    #[tokio::test(start_paused = true)]
    async fn problems_name_what_has_failed_or_is_late() {
        let refused = || fails(NotifyError::retry("refused"));
        let late = Scripted::new("late", []).then(refused());
        let group = group(&late);
        group.enqueue(&note("a", Severity::Green)).unwrap();
        late.wait_attempts(1).await;
        while group.list()[0].state != NotifierState::Retrying {
            tokio::task::yield_now().await;
        }
        let status = group.list().remove(0);
        assert_eq!(status.problems, [""; 0], "the first attempts may fail");
        let status = NotifierInfo {
            oldest_age_secs: 3_700,
            ..status
        };
        let problem = "has not delivered for 61 minutes: refused";
        assert_eq!(problems(&status, 0, None), [problem]);
        let failed = NotifierInfo {
            state: NotifierState::Failed,
            ..status
        };
        let broken = Some("does not run".to_owned());
        let both = ["has failed: refused", "does not run"];
        assert_eq!(problems(&failed, 0, broken), both);
    }
}
