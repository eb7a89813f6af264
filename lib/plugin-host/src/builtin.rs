//! A notifier that is linked in, treated as a plugin: panics become errors, and attempts have a timeout.

use std::{fmt, time::Duration};

use tokio::time::timeout;

use couic_plugin_api::{
    Notification, Notifier, NotifyError, Plugin, Receipt, async_trait, panics::catch,
};

/// A [`Notifier`] that is a Rust type of this program.
pub struct BuiltIn {
    name: String,
    plugin: String,
    timeout: Duration,
    inner: Box<dyn Notifier>,
}

impl BuiltIn {
    /// Creates an instance of `P` with `config`, as a loaded plugin would.
    ///
    /// # Errors
    /// [`NotifyError::BadConfig`], or the error of [`Plugin::create`].
    pub fn create<P: Plugin>(
        plugin: &str,
        name: &str,
        config: &serde_json::Value,
        timeout: Duration,
    ) -> Result<Self, NotifyError> {
        let config = serde::Deserialize::deserialize(config)
            .map_err(|error: serde_json::Error| NotifyError::from_config(&error))?;
        Ok(Self {
            name: name.to_owned(),
            plugin: plugin.to_owned(),
            timeout,
            inner: Box::new(P::create(config)?),
        })
    }

    /// The name of the plugin.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.plugin
    }
}

#[async_trait]
impl Notifier for BuiltIn {
    fn name(&self) -> &str {
        &self.name
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let attempt = catch(|| self.inner.notify(notification));
        match timeout(self.timeout, attempt).await {
            Ok(result) => result,
            Err(_) => Err(NotifyError::Timeout {
                after: self.timeout,
            }),
        }
    }
}

impl fmt::Debug for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            plugin,
            timeout,
            inner: _,
        } = self;
        f.debug_struct("BuiltIn")
            .field("name", name)
            .field("plugin", plugin)
            .field("timeout", timeout)
            .finish_non_exhaustive()
    }
}
