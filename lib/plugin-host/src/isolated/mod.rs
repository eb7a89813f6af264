//! A plugin in a process of its own: its crashes do not affect the host.
//!
//! The process is this program again, whose `main` begins with [`run_if_child`](crate::run_if_child). It runs as an unprivileged user without
//! capabilities, with `no_new_privs`, an empty environment and bounded memory, inherits only three pipes and a
//! sealed copy of the plugin, and can create no other process. If it crashes, exits, or does not complete an attempt that was given up, it is killed and
//! restarted, after 1, 2, 4 … 60 seconds.

mod child;
mod command;
mod frame;
mod link;
mod pipes;
mod process;
mod single;
mod start;
mod supervisor;

use std::{fmt, sync::Arc, time::Duration};

pub use child::PLUGIN_HOST;
pub(super) use command::child_command;
pub use link::PluginState;
pub(super) use process::pidfd_of;
pub use process::{ChildCommand, Isolation, RunAs};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, timeout_at},
};

use self::{frame::Order, link::Link, supervisor::Supervisor};
use super::{
    LoadError, PluginFile, PluginInfo, PluginOptions, PluginStats, Reason, Spawner,
    attempts::Attempts, log,
};
use couic_plugin_api::{
    Notification, Notifier, NotifyError, Receipt, async_trait, outcome::Outcome,
};

/// How long the plugin has to complete an attempt that was given up, before its process is killed.
const GRACE: Duration = Duration::from_secs(1);

/// A [`Notifier`] in a process of its own.
pub struct IsolatedNotifier {
    name: String,
    info: PluginInfo,
    timeout: Duration,
    limit: usize,
    link: Arc<Link>,
    attempts: Attempts,
    spawner: Option<Spawner>,
    /// Dropping it closes.
    close: oneshot::Sender<()>,
    supervisor: JoinHandle<()>,
}

impl IsolatedNotifier {
    /// Starts a process for the plugin, which creates an instance with `config`: JSON, sent through a pipe.
    ///
    /// # Errors
    /// [`LoadError`] if the process cannot be started, or if the plugin refuses, crashes, or takes longer than
    /// [`PluginOptions::create_timeout`]. That is final: only a plugin that has run is restarted.
    pub async fn start(
        file: PluginFile,
        name: &str,
        config: &str,
        options: &PluginOptions,
        isolation: &Isolation,
    ) -> Result<Self, LoadError> {
        let path = file.path().to_owned();
        let (overdue, overdue_inbox) = mpsc::unbounded_channel();
        let link = Arc::new(Link::new(overdue));
        let (close, closed) = oneshot::channel();
        let supervisor = Supervisor {
            file,
            name: name.to_owned(),
            config: config.to_owned(),
            options: options.clone(),
            isolation: isolation.clone(),
            link: Arc::clone(&link),
            overdue: overdue_inbox,
            log: Arc::new(log::sink(name)),
            close: closed,
        };
        let (ready, started) = oneshot::channel();
        let supervisor = tokio::spawn(supervisor.run(ready));
        let info = match started.await {
            Ok(started) => started.map_err(|reason| reason.at(&path))?,
            Err(_) => return Err(Reason::Process("its supervisor ended".to_owned()).at(path)),
        };
        Ok(Self {
            name: name.to_owned(),
            info,
            timeout: options.timeout,
            limit: options.max_in_flight.max(1),
            link,
            attempts: Attempts::default(),
            spawner: isolation.spawner.clone(),
            close,
            supervisor,
        })
    }

    /// The plugin's own description.
    #[must_use]
    pub fn info(&self) -> &PluginInfo {
        &self.info
    }

    /// The state of its process.
    #[must_use]
    pub fn state(&self) -> PluginState {
        self.link.state()
    }

    /// Error counters, over all of its processes.
    #[must_use]
    pub fn stats(&self) -> PluginStats {
        self.link.stats()
    }

    /// Why its process cannot be restarted: [`Spawner::problem`].
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.spawner.as_ref()?.problem()
    }

    /// Ends the process, and waits for its end. Dropping the notifier ends it without waiting.
    pub async fn close(self) {
        drop(self.close);
        let _ = self.supervisor.await;
    }
}

/// An attempt in flight. Dropping it gives it up.
struct Attempt<'a> {
    link: &'a Link,
    token: u64,
    overdue: Instant,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.link.give_up(self.token, self.overdue);
    }
}

#[async_trait]
impl Notifier for IsolatedNotifier {
    fn name(&self) -> &str {
        &self.name
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let event = super::encode(notification)?;
        if event.len() > frame::FROM_PARENT - 64 {
            let message = format!("{} bytes do not fit through the pipe", event.len());
            return Err(NotifyError::TooLarge { message });
        }
        let attempt = self.attempts.count(notification.id);
        let timeout_ms = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let (token, outcome) = self.link.begin(self.limit, |token| Order::Notify {
            token,
            attempt,
            timeout_ms,
            event,
        })?;
        let deadline = Instant::now() + self.timeout;
        let _attempt = Attempt {
            link: &self.link,
            token,
            overdue: deadline + GRACE,
        };
        match timeout_at(deadline, outcome).await {
            Ok(Ok(Outcome {
                status: link::CRASHED,
                message,
                ..
            })) => Err(NotifyError::Crashed { message }),
            Ok(Ok(outcome)) => outcome.into_result(),
            Ok(Err(_)) => Err(NotifyError::Unavailable {
                message: "the plugin is closed".to_owned(),
            }),
            Err(_) => {
                self.link.timed_out();
                Err(NotifyError::Timeout {
                    after: self.timeout,
                })
            }
        }
    }
}

impl fmt::Debug for IsolatedNotifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IsolatedNotifier")
            .field("name", &self.name)
            .field("info", &self.info)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}
