//! From the configured notifiers to the members of a dispatcher.
//!
//! A notifier that cannot be started affects neither the others nor the program: a stand-in takes its place, failed from
//! the start, with the reason, so that its queue is kept. An attempt starts the notifier first. Once the file is
//! repaired, a test or a resume is enough; a mistake in the configuration needs a restart of the program.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{AnyNotifier, LoadError, Loader, NotifierConfig};
use couic_common::NotifierBackend;
use couic_plugin_api::{Notification, Notifier, NotifyError, Receipt, async_trait};

/// A notifier that could not be started.
#[derive(Debug)]
pub struct Failed {
    /// The notifier's name.
    pub name: String,
    /// Why.
    pub reason: LoadError,
}

impl From<&couic_settings::NotifierConfig> for NotifierConfig {
    fn from(table: &couic_settings::NotifierConfig) -> Self {
        // Parsed TOML is also JSON, with dates as text; a number that JSON lacks (NaN) becomes null, which the plugin
        // refuses by name.
        let config = serde_json::to_value(table.config.expose()).unwrap_or_default();
        Self {
            name: table.name.clone(),
            isolated: table.isolated,
            sha256: table.sha256.clone(),
            timeout_secs: table.timeout_secs,
            memory_mib: table.memory_mib,
            ..Self::new(table.plugin.clone(), config)
        }
    }
}

/// A notifier of the configuration, or its stand-in.
pub struct Opened {
    /// The notifier.
    pub notifier: Arc<dyn Notifier>,
    /// Returns how it is run.
    pub backend: Arc<dyn Fn() -> NotifierBackend + Send + Sync>,
    /// Why it could not be started, if it could not.
    pub failed: Option<String>,
}

impl Opened {
    fn new<N: Notifier + 'static>(notifier: N, backend: fn(&N) -> NotifierBackend) -> Self {
        let notifier = Arc::new(notifier);
        let asked = Arc::clone(&notifier);
        Self {
            notifier,
            backend: Arc::new(move || backend(&asked)),
            failed: None,
        }
    }
}

impl Loader {
    /// Starts all of them. The first list is as long as `wanted` and in its order.
    pub async fn open_all(&self, wanted: &[NotifierConfig]) -> (Vec<Opened>, Vec<Failed>) {
        let (mut all, mut failed) = (Vec::new(), Vec::new());
        for config in wanted {
            all.push(match self.open(config).await {
                Ok(notifier) => Opened::new(notifier, AnyNotifier::backend),
                Err(reason) => {
                    let stand_in = StandIn {
                        loader: self.clone(),
                        config: config.clone(),
                        started: OnceCell::new(),
                    };
                    let why = reason.to_string();
                    let name = config.name().to_owned();
                    failed.push(Failed { name, reason });
                    Opened {
                        failed: Some(why),
                        ..Opened::new(stand_in, StandIn::backend)
                    }
                }
            });
        }
        (all, failed)
    }
}

/// Takes the place of a notifier that could not be started, until it can.
struct StandIn {
    loader: Loader,
    config: NotifierConfig,
    started: OnceCell<AnyNotifier>,
}

impl StandIn {
    fn backend(&self) -> NotifierBackend {
        let none = || NotifierBackend {
            plugin: self.config.plugin.clone(),
            ..NotifierBackend::default()
        };
        self.started.get().map_or_else(none, AnyNotifier::backend)
    }
}

#[async_trait]
impl Notifier for StandIn {
    fn name(&self) -> &str {
        self.config.name()
    }

    async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
        let start = self
            .started
            .get_or_try_init(|| self.loader.open(&self.config));
        match start.await {
            Ok(notifier) => notifier.notify(notification).await,
            Err(why) => Err(NotifyError::bad_config(why.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use couic_common::{NotifierMode, NotifierState};
    use couic_delivery::{Member, NotificationDispatcher, Policy};
    use couic_plugin_api::{Kind, Plugin, Severity};

    use super::super::{ChildCommand, Isolation};
    use super::*;

    async fn group(loader: &Loader, wanted: NotifierConfig) -> NotificationDispatcher {
        let name = wanted.name().to_owned();
        let (mut opened, failed) = loader.open_all(&[wanted]).await;
        assert_eq!((opened.len(), &failed[0].name), (1, &name));
        let opened = opened.remove(0);
        let member = Member {
            about: Some(opened.backend),
            failed: opened.failed,
            ..Member::new(opened.notifier, Policy::default())
        };
        NotificationDispatcher::start("all", "here", None, vec![member]).unwrap()
    }

    fn loader(dir: &tempfile::TempDir) -> Loader {
        Loader::new(dir.path(), Isolation::new(ChildCommand::itself()))
    }

    #[tokio::test(start_paused = true)]
    async fn a_notifier_that_does_not_start_is_failed_and_its_queue_kept() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = NotifierConfig::new("absent", serde_json::json!({}));
        let group = group(&loader(&dir), wanted).await;
        let problems = group.list().remove(0).problems;
        assert!(problems[0].contains("absent.so"), "{problems:?}");
        let note = Notification::new(Kind::Test, Severity::Green, "here");
        group.enqueue(&note).unwrap();
        group.resume("absent").unwrap();
        while group.list()[0].state != NotifierState::Failed {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(group.list()[0].queue_events, 1);
    }

    /// Starts only if a file exists.
    struct Picky;

    #[derive(serde::Deserialize)]
    struct Wants {
        file: std::path::PathBuf,
    }

    #[async_trait]
    impl Notifier for Picky {
        fn name(&self) -> &str {
            "picky"
        }

        async fn notify(&self, _: &Notification) -> Result<Receipt, NotifyError> {
            Ok(Receipt::default())
        }
    }

    impl Plugin for Picky {
        type Config = Wants;

        fn create(config: Wants) -> Result<Self, NotifyError> {
            let made = config.file.exists().then_some(Self);
            made.ok_or_else(|| NotifyError::bad_config("file: is missing"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_repaired_notifier_starts_at_the_next_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("wanted");
        let loader = loader(&dir).with::<Picky>("picky");
        let wanted = NotifierConfig::new("picky", serde_json::json!({"file": file}));
        let group = group(&loader, wanted).await;
        let note = Notification::new(Kind::Test, Severity::Green, "here");
        group.enqueue(&note).unwrap();
        let before = group.list().remove(0);
        assert_eq!((before.plugin.as_str(), before.mode), ("picky", None));
        assert!(group.test("picky").await.is_err(), "still missing");
        std::fs::write(&file, "").unwrap();
        group.test("picky").await.unwrap();
        while group.list()[0].queue_events > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let after = group.list().remove(0);
        assert_eq!(after.mode, Some(NotifierMode::Builtin));
    }
}
