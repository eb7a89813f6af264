//! A plugin that is loaded into this process.
//!
//! The host cannot guard against its code: a segfault or an `exit()` ends the process. Calls of the host's functions are
//! validated: see [`PluginStats`]. Third-party files should be [isolated](crate::IsolatedNotifier).

mod instance;
mod library;
mod shared;

use std::time::Duration;

pub(crate) use instance::{Flight, Instance, Setup};
pub(crate) use shared::LogSink;

use super::{
    LoadError, PluginFile, PluginInfo, PluginOptions, PluginStats, attempts::Attempts, log,
};
use couic_plugin_api::{Notification, Notifier, NotifyError, Receipt, async_trait};

/// A [`Notifier`] in a shared library that is mapped into this process.
#[derive(Debug)]
pub struct LoadedNotifier {
    name: String,
    instance: Instance,
    timeout: Duration,
    attempts: Attempts,
}

impl LoadedNotifier {
    /// Loads the plugin and creates an instance with `config`, which is JSON.
    ///
    /// # Errors
    /// [`LoadError`] if the dynamic linker or the plugin refuses, if it takes longer than
    /// [`PluginOptions::create_timeout`], or if it declares that it aborts on a panic.
    pub async fn load(
        file: PluginFile,
        name: &str,
        config: &str,
        options: &PluginOptions,
    ) -> Result<Self, LoadError> {
        let setup = Setup {
            name: name.to_owned(),
            config: config.to_owned(),
            create_timeout: options.create_timeout,
            max_in_flight: options.max_in_flight,
            own_process: false,
            log: log::sink(name),
        };
        Ok(Self {
            name: name.to_owned(),
            instance: Instance::create(file, setup).await?,
            timeout: options.timeout,
            attempts: Attempts::default(),
        })
    }

    /// Destroys the instance, and waits up to `wait` for its end.
    pub async fn close(self, wait: Duration) {
        self.instance.close(wait).await;
    }

    /// The plugin's own description.
    #[must_use]
    pub fn info(&self) -> &PluginInfo {
        self.instance.info()
    }

    /// Error counters.
    #[must_use]
    pub fn stats(&self) -> PluginStats {
        self.instance.stats()
    }
}

#[async_trait]
impl Notifier for LoadedNotifier {
    fn name(&self) -> &str {
        &self.name
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let event = super::encode(notification)?;
        let attempt = self.attempts.count(notification.id);
        let mut flight = self.instance.begin(event, attempt, self.timeout)?;
        match tokio::time::timeout(self.timeout, flight.outcome()).await {
            Ok(outcome) => outcome.into_result(),
            Err(_) => {
                self.instance.count_timeout();
                Err(NotifyError::Timeout {
                    after: self.timeout,
                })
            }
        }
    }
}
