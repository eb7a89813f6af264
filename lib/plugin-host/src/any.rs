//! A configured notifier, in any mode.

use super::{BuiltIn, IsolatedNotifier, LoadedNotifier, PluginInfo, PluginState, PluginStats};
use couic_common::{NotifierBackend, NotifierMode};
use couic_plugin_api::{Notification, Notifier, NotifyError, Receipt, async_trait};

/// Built in, loaded or isolated.
#[derive(Debug)]
pub enum AnyNotifier {
    /// A Rust type that is linked in.
    BuiltIn(BuiltIn),
    /// A file, in this process.
    Loaded(LoadedNotifier),
    /// A file, in a process of its own.
    Isolated(IsolatedNotifier),
}

impl AnyNotifier {
    /// How it is run.
    #[must_use]
    pub fn mode(&self) -> NotifierMode {
        match self {
            Self::BuiltIn(_) => NotifierMode::Builtin,
            Self::Loaded(_) => NotifierMode::Loaded,
            Self::Isolated(_) => NotifierMode::Isolated,
        }
    }

    /// The name of the plugin, as opposed to that of the notifier.
    #[must_use]
    pub fn plugin(&self) -> &str {
        match self {
            Self::BuiltIn(notifier) => notifier.plugin(),
            Self::Loaded(notifier) => &notifier.info().plugin,
            Self::Isolated(notifier) => &notifier.info().plugin,
        }
    }

    /// The plugin's own description, if it is a file.
    #[must_use]
    pub fn info(&self) -> Option<&PluginInfo> {
        match self {
            Self::BuiltIn(_) => None,
            Self::Loaded(notifier) => Some(notifier.info()),
            Self::Isolated(notifier) => Some(notifier.info()),
        }
    }

    /// Error counters; all 0 if it is built in.
    #[must_use]
    pub fn stats(&self) -> PluginStats {
        match self {
            Self::BuiltIn(_) => PluginStats::default(),
            Self::Loaded(notifier) => notifier.stats(),
            Self::Isolated(notifier) => notifier.stats(),
        }
    }

    /// Plugin, mode, restarts and problem, for operators.
    #[must_use]
    pub fn backend(&self) -> NotifierBackend {
        NotifierBackend {
            plugin: self.plugin().to_owned(),
            mode: Some(self.mode()),
            restarts: self.stats().restarts,
            problem: match self {
                Self::Isolated(notifier) => notifier.problem(),
                Self::BuiltIn(_) | Self::Loaded(_) => None,
            },
        }
    }

    /// The state of its process, if it is isolated.
    #[must_use]
    pub fn state(&self) -> Option<PluginState> {
        match self {
            Self::BuiltIn(_) | Self::Loaded(_) => None,
            Self::Isolated(notifier) => Some(notifier.state()),
        }
    }
}

#[async_trait]
impl Notifier for AnyNotifier {
    fn name(&self) -> &str {
        match self {
            Self::BuiltIn(notifier) => notifier.name(),
            Self::Loaded(notifier) => notifier.name(),
            Self::Isolated(notifier) => notifier.name(),
        }
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        match self {
            Self::BuiltIn(notifier) => notifier.notify(notification).await,
            Self::Loaded(notifier) => notifier.notify(notification).await,
            Self::Isolated(notifier) => notifier.notify(notification).await,
        }
    }
}
