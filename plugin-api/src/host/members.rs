//! From the notifiers of a configuration file to the members of a dispatcher.
//!
//! One that cannot be started does not keep the others, or the program, from working: a stand-in takes its place. It
//! fails every attempt with the reason, so that the dispatcher shows the notifier as failed and keeps what is meant
//! for it until somebody has mended the configuration.

use std::sync::Arc;

use super::{
    AnyNotifier, LoadError, Loader, NotifierConfig,
    dispatcher::{Member, Policy, Restarts},
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
                Ok(notifier) => member(notifier, limits),
                Err(reason) => {
                    let name = config.name().to_owned();
                    let why = reason.to_string();
                    failed.push(Failed {
                        name: name.clone(),
                        reason,
                    });
                    Member::new(Arc::new(StandIn { name, why }), limits)
                }
            });
        }
        (members, failed)
    }
}

fn member(notifier: AnyNotifier, limits: Policy) -> Member {
    let notifier = Arc::new(notifier);
    let counted = Arc::clone(&notifier);
    let restarts: Restarts = Arc::new(move || counted.stats().restarts);
    Member {
        restarts: Some(restarts),
        ..Member::new(notifier, limits)
    }
}

/// Takes the place of a notifier that could not be started.
struct StandIn {
    name: String,
    why: String,
}

#[async_trait]
impl Notifier for StandIn {
    fn name(&self) -> &str {
        &self.name
    }

    async fn notify(&self, _: &Notification) -> Result<Receipt, NotifyError> {
        Err(NotifyError::bad_config(self.why.clone()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{
        ChildCommand, Isolation,
        dispatcher::{LaneState, NotificationDispatcher},
    };
    use super::*;
    use crate::{Kind, Severity};

    #[tokio::test(start_paused = true)]
    async fn what_does_not_start_is_failed_and_its_queue_kept() {
        let dir = tempfile::tempdir().unwrap();
        let isolation = Isolation::new(ChildCommand::this_program(["plugin-host"]));
        let loader = Loader::new(dir.path(), isolation);
        let wanted = [NotifierConfig::new("absent", serde_json::json!({}))];
        let (members, failed) = loader.open_all(&wanted, |_| Policy::default()).await;
        assert_eq!((members.len(), failed[0].name.as_str()), (1, "absent"));
        let group = NotificationDispatcher::start("all", "here", None, members).unwrap();
        let note = Notification::new(Kind::Test, Severity::Green, "here");
        group.enqueue(&note).unwrap();
        while group.list()[0].state != LaneState::Failed {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(group.list()[0].queue_events, 1);
    }
}
