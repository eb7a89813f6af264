//! Starts the configured notifiers under one dispatcher.

use std::{path::Path, time::Duration};

use couic_delivery::{DispatchError, Member, NotificationDispatcher, Policy};
use couic_plugin_discord::Discord;
pub use couic_plugin_host::Failed;
use couic_plugin_host::{ChildCommand, Isolation, Loader, NotifierConfig};
use couic_plugin_slack::Slack;
use couic_plugin_webhook::Webhook;
use serde_json::json;

use crate::config::Config;

/// The configured notifiers; `[discord]` and `[slack]` first.
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

/// Starts every notifier and the dispatcher. Without a spool, nothing is kept on disk. Also returns the notifiers that
/// could not be started; their notifications stay queued.
///
/// # Errors
/// If two notifiers have the same name, which a checked configuration excludes.
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
        // Longer than the notifier's own timeout, whose error is more precise.
        timeout: Duration::from_secs(wanted.timeout_secs + 5),
        // Slack's rate limit, and fast enough for the others.
        pace: Some(Duration::from_secs(1)),
        ..Policy::default()
    }
}
