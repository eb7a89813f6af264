//! Turns rule changes into reports and delivers them to the webhook and every other notifier.
//!
//! Guarantees, for any behaviour of the receivers:
//! - The firewall never waits. It writes each event once, for all subscribers; the collector thread polls every 50 ms,
//!   so that a change does not even cost the firewall a wakeup.
//! - Events that overflow the queue are counted, logged, and sent to the notifiers as a notice.
//! - From the dispatcher on, reports are on disk, and retried until they are delivered or dead letters.
//!
//! A rule that is added, or renewed with a new tag or expiration, is reported as `add` with its current values; a
//! removed rule as `remove`. The client's metadata, if any, is passed on unchanged. Without a client, the metadata has
//! the kind `couic`, and the detail `expired` for an expired rule or the set's name for a set's.
//!
//! With `traffic = true`, what was passed and dropped is reported each minute, to webhooks only: see [`TrafficMeter`].

mod collect;
mod convert;
mod operate;
#[cfg(test)]
mod tests;
mod traffic;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use couic_common::Health;
use couic_delivery::{DispatchError, Leftover, Member, Merge, NotificationDispatcher, Policy};
use couic_files::Account;
use couic_plugin_discord::Discord;
use couic_plugin_host::{ChildCommand, Failed, Isolation, Loader, NotifierConfig, RunAs, Spawner};
use couic_plugin_slack::Slack;
use couic_plugin_webhook::Webhook;
use serde_json::json;

use crate::config;
use couic_firewall::rules::Firewall;

pub use convert::report;
pub use operate::Notifiers;
pub use traffic::TrafficMeter;

/// Capacity of the event queue, at about 110 bytes per event. The collector empties it every 50 ms; the queue holds a
/// second's worth at full load, or one API batch, in case the thread is not scheduled meanwhile.
const QUEUE: usize = 262_144;

/// The spool's folder in the working directory.
const SPOOL: &str = "reporting";

/// Why reporting did not start.
#[derive(Debug, thiserror::Error)]
pub enum ReportingError {
    /// The configured names of the notifiers are invalid.
    #[error("[reporting] {0}")]
    Notifiers(#[from] DispatchError),
    /// The collector thread cannot be started.
    #[error("cannot start the reporting thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// Counters of reporting.
#[derive(Debug, Default)]
pub struct Counted {
    /// Rule changes passed to the notifiers.
    reported: AtomicU64,
    /// Rule changes lost before that, to a queue overflow.
    missed: AtomicU64,
}

impl Counted {
    /// Rule changes passed to the notifiers.
    #[must_use]
    pub fn reported(&self) -> u64 {
        self.reported.load(Relaxed)
    }

    /// Rule changes that were never reported. Any is an alarm.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed.load(Relaxed)
    }
}

/// Reporting, while it runs.
pub struct Reporting {
    dispatcher: Arc<NotificationDispatcher>,
    counted: Arc<Counted>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
    source: String,
}

impl Reporting {
    /// Starts every notifier and subscribes to the firewall. Must be called within the tokio runtime that delivers, and
    /// before rules are loaded, so that those are reported too. Also returns the notifiers that could not be started:
    /// they are shown as failed, and their notifications stay queued.
    ///
    /// `source` is this server's name, `spawner` comes from [`start_spawner`].
    ///
    /// # Errors
    /// [`ReportingError`]. A notifier that cannot be started is not an error.
    pub async fn start(
        wanted: &config::Reporting,
        plugins_dir: &Path,
        working_dir: &Path,
        source: &str,
        firewall: &Firewall,
        spawner: Option<Spawner>,
    ) -> Result<(Self, Vec<Failed>), ReportingError> {
        let loader = loader(plugins_dir, spawner);
        let wanted = notifiers(wanted);
        let (opened, failed) = loader.open_all(&wanted).await;
        let members = opened
            .into_iter()
            .zip(&wanted)
            .map(|(opened, config)| Member {
                about: Some(opened.backend),
                failed: opened.failed,
                ..Member::new(opened.notifier, policy(config))
            });
        let spool = working_dir.join(SPOOL);
        let dispatcher =
            NotificationDispatcher::start("reporting", source, Some(&spool), members.collect())?;
        let reporting = Self::subscribe(firewall, Arc::new(dispatcher), source)?;
        Ok((reporting, failed))
    }

    /// Subscribes to the firewall on behalf of this dispatcher.
    fn subscribe(
        firewall: &Firewall,
        dispatcher: Arc<NotificationDispatcher>,
        source: &str,
    ) -> std::io::Result<Self> {
        let (counted, stop) = (Arc::<Counted>::default(), Arc::<AtomicBool>::default());
        let collector = collect::Collector {
            events: firewall.subscribe(QUEUE),
            dispatcher: Arc::clone(&dispatcher),
            counted: Arc::clone(&counted),
            stop: Arc::clone(&stop),
            source: source.to_owned(),
        };
        let thread = thread::Builder::new()
            .name("reporting".to_owned())
            .spawn(move || collector.run())?;
        Ok(Self {
            dispatcher,
            counted,
            stop,
            thread,
            source: source.to_owned(),
        })
    }

    /// For the API, health and metrics.
    #[must_use]
    pub fn notifiers(&self) -> Notifiers {
        Notifiers::new(Arc::clone(&self.dispatcher), Arc::clone(&self.counted))
    }

    /// Measures traffic from now on, for the notifiers that take it.
    #[must_use]
    pub fn meter(
        &self,
        firewall: &Arc<Firewall>,
        health: Arc<dyn Fn() -> Health + Send + Sync>,
    ) -> TrafficMeter {
        let dispatcher = Arc::clone(&self.dispatcher);
        TrafficMeter::new(
            Arc::clone(firewall),
            health,
            dispatcher,
            self.source.clone(),
        )
    }

    /// The counters.
    #[must_use]
    pub fn counted(&self) -> &Arc<Counted> {
        &self.counted
    }

    /// Drains the pending events into the dispatcher, and delivers for at most `within`. The rest stays in the spool.
    pub async fn stop(self, within: Duration) -> Vec<Leftover> {
        self.stop.store(true, Relaxed);
        let ended = tokio::task::spawn_blocking(|| self.thread.join()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the reporting thread panicked");
        }
        self.dispatcher.drain(within).await
    }
}

/// Starts the helper process that spawns isolated notifiers, if any is configured: after confinement, the daemon
/// itself cannot exec. Must be called before privileges are dropped: as root, it runs plugins as `nobody`, or another user
/// than the daemon if that is `nobody`.
///
/// # Errors
/// I/O errors from starting the process.
pub fn start_spawner(
    wanted: &config::Reporting,
    plugins_dir: &Path,
    owner: &Account,
) -> std::io::Result<Option<Spawner>> {
    let loader = loader(plugins_dir, None);
    let isolated = notifiers(wanted).iter().any(|n| loader.isolates(n));
    if !wanted.enabled || !isolated {
        return Ok(None);
    }
    let own = RunAs {
        uid: owner.uid,
        gid: owner.gid,
    };
    Spawner::start(&ChildCommand::itself(), own, RunAs::apart_from(own)).map(Some)
}

/// The configured notifiers that this build does not support, with the reason.
#[must_use]
pub fn unavailable(wanted: &config::Reporting, plugins_dir: &Path) -> Vec<Failed> {
    if !wanted.enabled {
        return Vec::new();
    }
    loader(plugins_dir, None).unavailable(&notifiers(wanted))
}

fn loader(plugins_dir: &Path, spawner: Option<Spawner>) -> Loader {
    let isolation = Isolation {
        spawner,
        ..Isolation::new(ChildCommand::itself())
    };
    Loader::new(plugins_dir, isolation)
        .with::<Webhook>("webhook")
        .with::<Discord>("discord")
        .with::<Slack>("slack")
}

/// All configured notifiers, the webhook first.
fn notifiers(wanted: &config::Reporting) -> Vec<NotifierConfig> {
    let webhook = wanted
        .webhook
        .as_ref()
        .map(|url| NotifierConfig::new("webhook", json!({ "url": url.expose() })));
    webhook
        .into_iter()
        .chain(wanted.notifiers.iter().map(NotifierConfig::from))
        .collect()
}

fn policy(wanted: &NotifierConfig) -> Policy {
    Policy {
        // Longer than the notifier's own timeout (2 s for the webhook), whose error is more precise.
        timeout: Duration::from_secs(wanted.timeout_secs + 5),
        // Machines need every change; chats get totals when there are too many.
        merge: if matches!(wanted.plugin.as_str(), "discord" | "slack") {
            Merge::Digest
        } else {
            Merge::Batches
        },
        ..Policy::of_plugin(&wanted.plugin)
    }
}
