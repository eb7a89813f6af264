//! The notifiers of the configuration, as members of one dispatcher.

use std::{path::Path, time::Duration};

use couic_delivery::{DispatchError, Member, NotificationDispatcher, Policy};
use couic_plugin_discord::Discord;
pub use couic_plugin_host::Failed;
use couic_plugin_host::{ChildCommand, Isolation, Loader, NotifierConfig};
use couic_plugin_slack::Slack;
use couic_plugin_webhook::Webhook;
use serde_json::json;

use crate::config::Config;

/// What the configuration asks for; `[discord]` and `[slack]` first.
pub(crate) fn wanted(config: &Config) -> Vec<NotifierConfig> {
    let chats = [("discord", &config.discord), ("slack", &config.slack)];
    let chats = chats.into_iter().filter_map(|(plugin, url)| {
        let url = url.as_ref()?.expose();
        Some(NotifierConfig::new(plugin, json!({ "webhook_url": url })))
    });
    chats
        .chain(config.notifiers.iter().map(NotifierConfig::from))
        .collect()
}

/// Starts every notifier, and a dispatcher over them. Without a spool, nothing is kept on disk. Also answers which
/// notifiers could not be started; a stand-in keeps what is meant for them.
///
/// # Errors
/// Where two have the same name; the configuration was checked for that.
pub async fn start(
    config: &Config,
    spool: Option<&Path>,
) -> Result<(NotificationDispatcher, Vec<Failed>), DispatchError> {
    let isolation = Isolation::new(ChildCommand::itself());
    let loader = Loader::new(&config.plugins_dir, isolation)
        .with::<Discord>("discord")
        .with::<Slack>("slack")
        .with::<Webhook>("webhook");
    let wanted = wanted(config);
    let (opened, failed) = loader.open_all(&wanted).await;
    let members = opened
        .into_iter()
        .zip(&wanted)
        .map(|(opened, config)| Member {
            about: Some(opened.backend),
            failed: opened.failed,
            ..Member::new(opened.notifier, policy(config))
        });
    let name = &config.server.name;
    let dispatcher = NotificationDispatcher::start("couic-report", name, spool, members.collect())?;
    Ok((dispatcher, failed))
}

fn policy(wanted: &NotifierConfig) -> Policy {
    Policy {
        // The notifier itself gives up first, with a better reason.
        timeout: Duration::from_secs(wanted.timeout_secs + 5),
        // Slack's limit; nobody reads faster than that either.
        pace: Some(Duration::from_secs(1)),
        ..Policy::default()
    }
}
