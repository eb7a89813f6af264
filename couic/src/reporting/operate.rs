//! Status and operation of notifiers, for the API, health and metrics.

use std::{sync::Arc, time::Duration};

use couic_common::{DeadLetter, NotifierInfo, NotifierName, NotifierProblem, NotifierTest};
use couic_delivery::{AttemptTimes, NotificationDispatcher, OperateError};
use tokio::time::{Instant, timeout};

use super::Counted;

/// How long a test waits for its result: for an attempt in progress and the sample, each with the default timeout.
const TEST_PATIENCE: Duration = Duration::from_secs(90);

/// A handle on the running notifiers. Cheap to clone.
#[derive(Clone)]
pub struct Notifiers {
    dispatcher: Arc<NotificationDispatcher>,
    counted: Arc<Counted>,
}

impl Notifiers {
    /// The notifiers of this dispatcher.
    #[must_use]
    pub fn new(dispatcher: Arc<NotificationDispatcher>, counted: Arc<Counted>) -> Self {
        Self {
            dispatcher,
            counted,
        }
    }

    /// The counters.
    #[must_use]
    pub fn counted(&self) -> &Counted {
        &self.counted
    }

    /// Every notifier, in the order of the configuration.
    #[must_use]
    pub fn list(&self) -> Vec<NotifierInfo> {
        self.dispatcher.list()
    }

    /// How long the attempts of each notifier took.
    #[must_use]
    pub fn attempt_times(&self) -> Vec<(NotifierName, AttemptTimes)> {
        self.dispatcher.attempt_times()
    }

    /// One notifier.
    ///
    /// # Errors
    /// [`OperateError::Unknown`].
    pub fn get(&self, name: &NotifierName) -> Result<NotifierInfo, OperateError> {
        let all = self.list();
        let found = all.into_iter().find(|info| info.name == *name);
        found.ok_or_else(|| OperateError::Unknown {
            name: name.to_string(),
        })
    }

    /// Problems that need an operator.
    #[must_use]
    pub fn problems(&self) -> Vec<NotifierProblem> {
        let of = |info: NotifierInfo| {
            let messages = info.problems.into_iter();
            messages.map(move |message| NotifierProblem {
                notifier: info.name.to_string(),
                message,
            })
        };
        self.list().into_iter().flat_map(of).collect()
    }

    /// Delivers a sample and returns the outcome. A failed delivery is an outcome, too.
    ///
    /// # Errors
    /// [`OperateError`], except [`OperateError::NotDelivered`].
    pub async fn test(&self, name: &NotifierName) -> Result<NotifierTest, OperateError> {
        let begun = Instant::now();
        let ended = timeout(TEST_PATIENCE, self.dispatcher.test(name.as_str())).await;
        let mut test = NotifierTest {
            name: name.clone(),
            delivered: false,
            outcome: "pending".to_owned(),
            http_status: None,
            message: None,
            took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        match ended {
            Ok(Ok(receipt)) => {
                test.delivered = true;
                test.outcome = "delivered".to_owned();
                test.http_status = receipt.http_status;
            }
            Ok(Err(OperateError::NotDelivered(error))) => {
                test.outcome = error.kind().to_owned();
                test.http_status = error.http_status();
                test.message = Some(error.to_string());
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                let seconds = TEST_PATIENCE.as_secs();
                test.message = Some(format!(
                    "no result within {seconds} s: an attempt is still in progress"
                ));
            }
        }
        Ok(test)
    }

    /// At most `limit` dead letters after the one with key `after`, oldest first.
    ///
    /// # Errors
    /// [`OperateError::Unknown`].
    pub fn dead_letters(
        &self,
        name: &NotifierName,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, OperateError> {
        let all = self.dispatcher.dead_letters(name.as_str())?.into_iter();
        let wanted = all.filter(|letter| after.is_none_or(|after| letter.key > after));
        Ok(wanted.take(limit).collect())
    }

    /// Puts one dead letter, or all, back into the queue. Returns how many.
    ///
    /// # Errors
    /// [`OperateError::Unknown`], [`OperateError::NoSuchLetter`].
    pub fn replay(&self, name: &NotifierName, key: Option<u64>) -> Result<u64, OperateError> {
        let count = self.dispatcher.replay(name.as_str(), key)?;
        Ok(count as u64)
    }

    /// Deletes one dead letter, or all. Returns how many.
    ///
    /// # Errors
    /// [`OperateError::Unknown`], [`OperateError::NoSuchLetter`].
    pub fn discard(&self, name: &NotifierName, key: Option<u64>) -> Result<u64, OperateError> {
        let count = self.dispatcher.discard(name.as_str(), key)?;
        Ok(count as u64)
    }

    /// Retries now: a failed notifier, and one that is backing off.
    ///
    /// # Errors
    /// [`OperateError::Unknown`].
    pub fn resume(&self, name: &NotifierName) -> Result<(), OperateError> {
        self.dispatcher.resume(name.as_str())
    }
}
