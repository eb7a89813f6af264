//! Rule changes become reports, and reports go to the webhook and to every other notifier.
//!
//! What holds, whatever the other side does:
//! - The firewall never waits. It writes each event once, for all that follow; a thread of ours takes them every 50 ms,
//!   so that the owner of the rules is not even asked to wake somebody at each change.
//! - What does not fit the queue is counted, logged, and told to the notifiers as a notice.
//! - From the dispatcher on, everything is on disk, and tried until it is delivered or a dead letter.
//!
//! Which reports there are: an added rule and one that was renewed with a new tag or expiration are `add`, with the
//! figures that now hold; a removed rule is `remove`. Where a client said why, its metadata is passed on untouched.
//! Where nobody could: an expired rule's says `expired`, a set's names the set, both with the kind `couic`.

mod collect;
mod convert;
mod operate;
#[cfg(test)]
mod tests;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

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

/// Events that wait for our thread, at about 110 bytes each. It empties the queue every 50 ms; more than that holds a
/// second's worth at full load, or one batch of the API, should the thread get no processor meanwhile.
const QUEUE: usize = 262_144;

/// The folder of the spool in the working directory.
const SPOOL: &str = "reporting";

/// Why there is no reporting.
#[derive(Debug, thiserror::Error)]
pub enum ReportingError {
    /// The notifiers cannot be named as configured.
    #[error("[reporting] {0}")]
    Notifiers(#[from] DispatchError),
    /// No thread.
    #[error("the thread for reporting cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// What reporting has done.
#[derive(Debug, Default)]
pub struct Counted {
    /// Rule changes that were handed to the notifiers.
    reported: AtomicU64,
    /// Rule changes that were lost before that, because they came faster than they could be written down.
    missed: AtomicU64,
}

impl Counted {
    /// Rule changes that were handed to the notifiers.
    #[must_use]
    pub fn reported(&self) -> u64 {
        self.reported.load(Relaxed)
    }

    /// Rule changes that nobody was told of. More than none is an alarm.
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
}

impl Reporting {
    /// Starts every notifier and follows the firewall from now on. Call it inside the tokio runtime that is to
    /// deliver, before rules are loaded, so that those are reported too. Also answers which notifiers could not be
    /// started: they are shown as failed, and what is meant for them is kept.
    ///
    /// `source` is this server's name, `spawner` comes from [`start_spawner`].
    ///
    /// # Errors
    /// [`ReportingError`]. A notifier that does not start is none.
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
        let reporting = Self::follow(firewall, Arc::new(dispatcher), source)?;
        Ok((reporting, failed))
    }

    /// Follows the firewall on behalf of this dispatcher.
    fn follow(
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
        })
    }

    /// For the API, health and metrics.
    #[must_use]
    pub fn notifiers(&self) -> Notifiers {
        Notifiers::new(Arc::clone(&self.dispatcher), Arc::clone(&self.counted))
    }

    /// What was reported and what was not.
    #[must_use]
    pub fn counted(&self) -> &Arc<Counted> {
        &self.counted
    }

    /// Hands over what the firewall has said so far, and delivers for at most this time. What is left stays in the
    /// spool.
    pub async fn stop(self, within: Duration) -> Vec<Leftover> {
        self.stop.store(true, Relaxed);
        let ended = tokio::task::spawn_blocking(|| self.thread.join()).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::error!("the thread for reporting did not end as it should");
        }
        self.dispatcher.drain(within).await
    }
}

/// Starts the process that starts those of isolated notifiers, where there are any: later this process cannot, since it
/// runs no programs any more. Call it while the process has what it was started with: as root it sees to it that
/// plugins run as `nobody`.
///
/// # Errors
/// What the system says.
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
    Spawner::start(&ChildCommand::itself(), own, RunAs::default()).map(Some)
}

/// The notifiers that this build of the daemon cannot have, with the reason.
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

/// The webhook first.
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
        // The notifier itself gives up first, with a better reason; the webhook after 2 s.
        timeout: Duration::from_secs(wanted.timeout_secs + 5),
        // A machine wants every change; people are better served with figures where there are too many.
        merge: if matches!(wanted.plugin.as_str(), "discord" | "slack") {
            Merge::Digest
        } else {
            Merge::Batches
        },
        ..Policy::of_plugin(&wanted.plugin)
    }
}
