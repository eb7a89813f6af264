//! Status and operation of notifiers, for the API, health and metrics.

use std::{sync::Arc, time::Duration};

use couic_common::{
    DeadLetter, NotifierFailure, NotifierInfo, NotifierMode, NotifierName, NotifierProblem,
    NotifierSpool, NotifierState, NotifierTest,
};
use couic_plugin_api::{
    Severity,
    host::dispatcher::{
        self, LaneState, NotificationDispatcher, NotifierStatus, OperateError, SpoolState,
    },
};
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

    /// The dispatcher's status of every notifier.
    #[must_use]
    pub fn status(&self) -> Vec<NotifierStatus> {
        self.dispatcher.list()
    }

    /// Every notifier, in the order of the configuration.
    #[must_use]
    pub fn list(&self) -> Vec<NotifierInfo> {
        self.status().iter().filter_map(info).collect()
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
        let of = |status: NotifierStatus| {
            let messages = status.problems().into_iter();
            messages.map(move |message| NotifierProblem {
                notifier: status.name.clone(),
                message,
            })
        };
        self.status().into_iter().flat_map(of).collect()
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
        let mut all = self.dispatcher.dead_letters(Some(name.as_str()))?;
        all.sort_by_key(|letter| letter.key);
        let wanted = all.into_iter().filter(|l| after.is_none_or(|a| l.key > a));
        Ok(wanted.take(limit).map(dead_letter).collect())
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

/// The wire form. The dispatcher has validated the names, so no notifier is omitted.
fn info(status: &NotifierStatus) -> Option<NotifierInfo> {
    let counters = &status.counters;
    let attempts = counters.attempts.iter();
    let failed = attempts.clone().filter(|(kind, _)| **kind != "delivered");
    let plugin = status.plugin.as_ref();
    Some(NotifierInfo {
        name: status.name.parse().ok()?,
        plugin: plugin.map_or_else(|| status.name.clone(), |plugin| plugin.plugin.clone()),
        mode: plugin.and_then(|plugin| mode(plugin.mode?)),
        state: state(status.state),
        problems: status.problems(),
        last_error: status.last_error.as_ref().map(|error| NotifierFailure {
            message: error.message.clone(),
            at: error.at,
        }),
        last_success: status.last_success,
        next_attempt_secs: status.next_attempt_secs,
        queue_events: status.queue_events as u64,
        queue_bytes: status.queue_bytes as u64,
        oldest_age_secs: status.oldest_age_secs,
        dead_letters: status.dead_letters as u64,
        enqueued: counters.enqueued,
        delivered: counters.delivered,
        failed_attempts: failed.map(|(_, count)| count).sum(),
        attempts: attempts.map(|(kind, n)| ((*kind).to_owned(), *n)).collect(),
        dropped: counters.dropped,
        merged: counters.merged,
        dead: counters.dead,
        restarts: status.restarts,
        spool: status.spool.as_ref().map(spool),
    })
}

fn spool(spool: &SpoolState) -> NotifierSpool {
    NotifierSpool {
        bytes: spool.bytes,
        segments: spool.segments as u64,
        problem: spool.alarm.clone(),
    }
}

fn mode(name: &str) -> Option<NotifierMode> {
    match name {
        "builtin" => Some(NotifierMode::Builtin),
        "loaded" => Some(NotifierMode::Loaded),
        "isolated" => Some(NotifierMode::Isolated),
        _ => None,
    }
}

fn state(state: LaneState) -> NotifierState {
    match state {
        LaneState::Ok => NotifierState::Ok,
        LaneState::Retrying => NotifierState::Retrying,
        LaneState::RateLimited => NotifierState::RateLimited,
        LaneState::Failed => NotifierState::Failed,
        LaneState::Stopped => NotifierState::Stopped,
    }
}

fn dead_letter(letter: dispatcher::DeadLetter) -> DeadLetter {
    let severity = match letter.severity {
        Severity::Green => "green",
        Severity::Orange => "orange",
        Severity::Red => "red",
    };
    DeadLetter {
        key: letter.key,
        id: letter.id,
        text: letter.text,
        severity: severity.to_owned(),
        created: letter.created,
        died: letter.died,
        reason: letter.reason,
    }
}
