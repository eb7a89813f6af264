//! From the notifiers of a configuration file to the members of a dispatcher.
//!
//! One that cannot be started does not keep the others, or the program, from working: a stand-in takes its place. It
//! has failed from the start, with the reason, so that the dispatcher keeps what is meant for it; an attempt starts the
//! notifier first. Once somebody has put the file right, a test or a resume is
//! enough; a mistake in the configuration takes a restart of the program.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{
    AnyNotifier, LoadError, Loader, NotifierConfig, PluginStatus,
    dispatcher::{About, Member, Policy},
};
use crate::{Notification, Notifier, NotifyError, Receipt, async_trait};

/// What could not be started.
#[derive(Debug)]
pub struct Failed {
    /// The notifier's name.
    pub name: String,
    /// Why.
    pub reason: LoadError,
}

impl From<&couic_settings::NotifierConfig> for NotifierConfig {
    fn from(table: &couic_settings::NotifierConfig) -> Self {
        // TOML that was read is also JSON, dates as text; a number that JSON lacks (NaN) becomes null, which the
        // plugin refuses by name.
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

impl Loader {
    /// Starts all of them, each with the limits that `policy` gives it.
    pub async fn open_all(
        &self,
        wanted: &[NotifierConfig],
        policy: impl Fn(&NotifierConfig) -> Policy,
    ) -> (Vec<Member>, Vec<Failed>) {
        let (mut members, mut failed) = (Vec::new(), Vec::new());
        for config in wanted {
            let limits = policy(config);
            members.push(match self.open(config).await {
                Ok(notifier) => member(Arc::new(notifier), limits, AnyNotifier::status),
                Err(reason) => {
                    let name = config.name().to_owned();
                    let why = reason.to_string();
                    failed.push(Failed { name, reason });
                    let stand_in = StandIn {
                        loader: self.clone(),
                        config: config.clone(),
                        started: OnceCell::new(),
                    };
                    Member {
                        failed: Some(why),
                        ..member(Arc::new(stand_in), limits, StandIn::status)
                    }
                }
            });
        }
        (members, failed)
    }
}

fn member<N: Notifier + 'static>(
    notifier: Arc<N>,
    limits: Policy,
    status: fn(&N) -> PluginStatus,
) -> Member {
    let asked = Arc::clone(&notifier);
    let about: About = Arc::new(move || status(&asked));
    Member {
        about: Some(about),
        ..Member::new(notifier, limits)
    }
}

/// Takes the place of a notifier that could not be started, until it can.
struct StandIn {
    loader: Loader,
    config: NotifierConfig,
    started: OnceCell<AnyNotifier>,
}

impl StandIn {
    fn status(&self) -> PluginStatus {
        let none = || PluginStatus {
            plugin: self.config.plugin.clone(),
            ..PluginStatus::default()
        };
        self.started.get().map_or_else(none, AnyNotifier::status)
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

    use super::super::{
        ChildCommand, Isolation,
        dispatcher::{LaneState, NotificationDispatcher, testing::Scripted},
    };
    use super::*;
    use crate::{Kind, Severity};

    #[tokio::test(start_paused = true)]
    async fn what_does_not_start_is_failed_and_its_queue_kept() {
        let dir = tempfile::tempdir().unwrap();
        let isolation = Isolation::new(ChildCommand::itself());
        let loader = Loader::new(dir.path(), isolation);
        let wanted = [NotifierConfig::new("absent", serde_json::json!({}))];
        let (members, failed) = loader.open_all(&wanted, |_| Policy::default()).await;
        assert_eq!((members.len(), failed[0].name.as_str()), (1, "absent"));
        let group = NotificationDispatcher::start("all", "here", None, members).unwrap();
        let problems = group.list()[0].problems();
        assert!(problems[0].contains("absent.so"), "{problems:?}");
        let note = Notification::new(Kind::Test, Severity::Green, "here");
        group.enqueue(&note).unwrap();
        group.resume("absent").unwrap();
        while group.list()[0].state != LaneState::Failed {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(group.list()[0].queue_events, 1);
    }

    /// Wants a file to be there.
    struct Picky(Scripted);

    #[derive(serde::Deserialize)]
    struct Wants {
        file: std::path::PathBuf,
    }

    #[async_trait]
    impl Notifier for Picky {
        fn name(&self) -> &str {
            self.0.name()
        }

        async fn notify(&self, notification: &Notification) -> Result<Receipt, NotifyError> {
            self.0.notify(notification).await
        }
    }

    impl crate::Plugin for Picky {
        type Config = Wants;

        fn create(config: Wants) -> Result<Self, NotifyError> {
            let made = Arc::into_inner(Scripted::new("picky", []));
            let made = made.filter(|_| config.file.exists()).map(Self);
            made.ok_or_else(|| NotifyError::bad_config("file: is not there"))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_was_put_right_starts_at_the_next_attempt() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("wanted");
        let isolation = Isolation::new(ChildCommand::itself());
        let loader = Loader::new(dir.path(), isolation).with::<Picky>("picky");
        let wanted = [NotifierConfig::new(
            "picky",
            serde_json::json!({"file": file}),
        )];
        let (members, failed) = loader.open_all(&wanted, |_| Policy::default()).await;
        assert_eq!(failed.len(), 1);
        let group = NotificationDispatcher::start("all", "here", None, members).unwrap();
        let note = Notification::new(Kind::Test, Severity::Green, "here");
        group.enqueue(&note).unwrap();
        let before = group.list().remove(0).plugin.unwrap();
        assert_eq!((before.plugin.as_str(), before.mode), ("picky", None));
        assert!(group.test("picky").await.is_err(), "still not there");
        std::fs::write(&file, "").unwrap();
        group.test("picky").await.unwrap();
        while group.list()[0].queue_events > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let after = group.list().remove(0).plugin.unwrap();
        assert_eq!(after.mode, Some("builtin"));
    }
}
