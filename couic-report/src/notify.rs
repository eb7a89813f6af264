//! The notifiers of the configuration, as members of one dispatcher.
//!
//! One that cannot be started does not keep the others, or the service, from working: a stand-in takes its place. It
//! fails every attempt with the reason, so that the dispatcher shows the notifier as failed and keeps what is meant
//! for it until somebody has mended the configuration.

use std::{path::Path, sync::Arc, time::Duration};

use couic_plugin_api::{
    Notification, Notifier, NotifyError, Receipt, async_trait,
    host::{
        ChildCommand, Isolation, LoadError, Loader, NotifierConfig as Wanted,
        dispatcher::{DispatchError, Member, NotificationDispatcher, Policy},
    },
};
use couic_settings::NotifierConfig;
use serde_json::json;

use crate::config::Config;

/// The hidden subcommand that an isolated plugin's process runs.
pub const PLUGIN_HOST: &str = "plugin-host";

/// What the configuration asks for, in the loader's terms; `[discord]` and `[slack]` first.
pub(crate) fn wanted(config: &Config) -> Vec<Wanted> {
    let chats = [("discord", &config.discord), ("slack", &config.slack)];
    let chats = chats.into_iter().filter_map(|(plugin, url)| {
        let url = url.as_ref()?.expose();
        Some(Wanted::new(plugin, json!({ "webhook_url": url })))
    });
    chats.chain(config.notifiers.iter().map(of_table)).collect()
}

/// One table `[[notifiers]]` in the loader's terms.
pub(crate) fn of_table(table: &NotifierConfig) -> Wanted {
    // TOML that was read is also JSON, dates as text; a number that JSON lacks (NaN) becomes null, which the plugin
    // refuses by name.
    let config = serde_json::to_value(table.config.expose()).unwrap_or_default();
    Wanted {
        name: table.name.clone(),
        isolated: table.isolated,
        sha256: table.sha256.clone(),
        timeout_secs: table.timeout_secs,
        memory_mib: table.memory_mib,
        ..Wanted::new(table.plugin.clone(), config)
    }
}

/// What could not be started.
#[derive(Debug)]
pub struct Failed {
    /// The notifier's name.
    pub name: String,
    /// Why.
    pub reason: LoadError,
}

/// Starts every notifier, and a dispatcher over them. Without a spool, nothing is kept on disk.
///
/// # Errors
/// Where two have the same name; the configuration was checked for that.
pub async fn start(
    config: &Config,
    spool: Option<&Path>,
) -> Result<(NotificationDispatcher, Vec<Failed>), DispatchError> {
    let loader = loader(config);
    let (mut members, mut failed) = (Vec::new(), Vec::new());
    for wanted in wanted(config) {
        let name = wanted.name().to_owned();
        let policy = policy(&wanted);
        let notifier: Arc<dyn Notifier> = match loader.open(&wanted).await {
            Ok(notifier) => Arc::new(notifier),
            Err(reason) => {
                let why = reason.to_string();
                failed.push(Failed {
                    name: name.clone(),
                    reason,
                });
                Arc::new(StandIn { name, why })
            }
        };
        members.push(Member::new(notifier, policy));
    }
    let dispatcher =
        NotificationDispatcher::start("couic-report", &config.server.name, spool, members)?;
    Ok((dispatcher, failed))
}

fn loader(config: &Config) -> Loader {
    let isolation = Isolation::new(ChildCommand::this_program([PLUGIN_HOST]));
    Loader::new(&config.plugins_dir, isolation)
}

fn policy(wanted: &Wanted) -> Policy {
    Policy {
        // The notifier itself gives up first, with a better reason.
        timeout: Duration::from_secs(wanted.timeout_secs + 5),
        // Slack's limit; nobody reads faster than that either.
        pace: Some(Duration::from_secs(1)),
        ..Policy::default()
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
