//! Shared by the tests of the dispatcher.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use couic_common::{Entry, PeerAction, Policy as RulePolicy, Tag};
use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

pub(crate) use couic_plugin_api::Kind;
use couic_plugin_api::{
    Notice, Notification, Notifier, NotifyError, Receipt, Report, Severity, async_trait,
};

/// A rule that was added.
pub(crate) fn report(tag: &str) -> Report {
    Report {
        action: PeerAction::Add,
        policy: Some(RulePolicy::Drop),
        entry: Entry {
            creation: 1,
            cidr: "192.0.2.0/24".parse().unwrap(),
            tag: Tag::parse(tag).unwrap(),
            expiration: 0,
            hits: None,
            last_seen: None,
            reason: None,
            owners: Vec::new(),
        },
        metadata: None,
        timestamp: 1,
        owner: None,
    }
}

/// A notification that is recognized by its text.
pub(crate) fn note(text: &str, severity: Severity) -> Notification {
    let notice = Notice {
        code: "test".to_owned(),
        message: text.to_owned(),
    };
    Notification::new(Kind::Notice(notice), severity, "here")
}

pub(crate) fn batch(len: usize) -> Notification {
    let reports = vec![report("ssh"); len];
    Notification::new(Kind::Reports(reports), Severity::Green, "here")
}

/// The behavior of the double in one attempt.
#[derive(Clone)]
pub(crate) enum Play {
    End(Result<Receipt, NotifyError>),
    Panic,
    Hang,
}

pub(crate) fn fails(error: NotifyError) -> Play {
    Play::End(Err(error))
}

pub(crate) fn status(status: u16) -> Play {
    fails(NotifyError::from_http(status, None))
}

pub(crate) fn rate_limited(wait: Duration) -> Play {
    fails(NotifyError::from_http(429, Some(wait)))
}

/// A double: plays its script, then `after`, and records every attempt.
pub(crate) struct Scripted {
    name: String,
    script: Mutex<VecDeque<Play>>,
    after: Mutex<Play>,
    attempts: watch::Sender<Vec<(Instant, Notification)>>,
    delivered: watch::Sender<Vec<Notification>>,
}

impl Scripted {
    pub(crate) fn new(name: &str, script: impl IntoIterator<Item = Play>) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            script: Mutex::new(script.into_iter().collect()),
            after: Mutex::new(Play::End(Ok(Receipt::default()))),
            attempts: watch::Sender::default(),
            delivered: watch::Sender::default(),
        })
    }

    pub(crate) fn then(self: Arc<Self>, after: Play) -> Arc<Self> {
        *self.after.lock() = after;
        self
    }

    pub(crate) fn set_after(&self, after: Play) {
        *self.after.lock() = after;
    }

    pub(crate) fn attempts(&self) -> Vec<(Instant, Notification)> {
        self.attempts.borrow().clone()
    }

    pub(crate) fn delivered(&self) -> Vec<Notification> {
        self.delivered.borrow().clone()
    }

    pub(crate) fn texts(&self) -> Vec<String> {
        self.delivered().iter().map(Notification::text).collect()
    }

    /// Waits for that many deliveries.
    pub(crate) async fn wait_delivered(&self, count: usize) {
        let mut seen = self.delivered.subscribe();
        seen.wait_for(|all| all.len() >= count).await.unwrap();
    }

    /// Waits for that many attempts.
    pub(crate) async fn wait_attempts(&self, count: usize) {
        let mut seen = self.attempts.subscribe();
        seen.wait_for(|all| all.len() >= count).await.unwrap();
    }
}

#[async_trait]
impl Notifier for Scripted {
    fn name(&self) -> &str {
        &self.name
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let attempt = (Instant::now(), notification.clone());
        self.attempts.send_modify(|all| all.push(attempt));
        let play = self.script.lock().pop_front();
        let play = play.unwrap_or_else(|| self.after.lock().clone());
        let result = match play {
            Play::End(result) => result,
            Play::Panic => panic!("scripted"),
            Play::Hang => std::future::pending().await,
        };
        if result.is_ok() {
            self.delivered
                .send_modify(|all| all.push(notification.clone()));
        }
        result
    }
}
