//! The service, from start to shutdown.

use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use couic_common::{counted, unix_seconds};
use couic_delivery::{DispatchError, NotificationDispatcher, spool::Durability};
use couic_plugin_api::Severity;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{self, JoinHandle},
};
use tracing::{error, info, warn};

use crate::{
    config::{self, Config, Thresholds},
    history::History,
    http::{self, Context},
    intervals::Intervals,
    notify,
    page::{self, Page, PageError},
    state::{Committer, Journal, StateError},
};

/// How long notifiers may go on delivering after the stop signal. The rest stays in their spools.
const DRAIN: Duration = Duration::from_secs(5);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state cannot be used.
    #[error("the state cannot be used: {0}")]
    State(#[from] StateError),
    /// The address cannot be bound.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The configured names of the notifiers are invalid.
    #[error(transparent)]
    Notifiers(#[from] DispatchError),
    /// The page cannot be served.
    #[error(transparent)]
    Page(#[from] PageError),
}

/// The state directory: `STATE_DIRECTORY` as set by systemd, else the documented default.
#[must_use]
pub fn state_dir() -> PathBuf {
    let given = std::env::var_os("STATE_DIRECTORY").filter(|dir| !dir.is_empty());
    given.map_or_else(
        || "/var/lib/couic-report".into(),
        |dirs| {
            // systemd separates several directories by colons; ours is the first.
            std::env::split_paths(&dirs).next().unwrap_or_default()
        },
    )
}

fn open(
    state: &Path,
    limits: config::History,
    thresholds: Thresholds,
) -> Result<(Journal, Committer, Vec<String>), StateError> {
    Journal::open(state, unix_seconds(), limits, thresholds)
}

/// The history in a state folder that no service uses at the moment: for tests of the whole path.
///
/// # Errors
/// If the state cannot be used.
#[doc(hidden)]
pub fn history_of(state: &Path) -> Result<History, StateError> {
    let thresholds = Thresholds {
        orange: 10,
        red: 100,
        min: Severity::Green,
    };
    let (journal, committer, _) = open(state, config::History::default(), thresholds)?;
    let history = journal.history().clone();
    drop(journal);
    committer.join();
    Ok(history)
}

/// Serves until `shutdown`, then finishes requests in progress and flushes the state.
///
/// # Errors
/// If the service cannot start.
pub async fn run(
    config: &Config,
    state: &Path,
    shutdown: impl Future<Output = ()>,
) -> Result<(), StartError> {
    let addr = config.server.addr;
    let (listener, page_listener) = listeners(config).await?;
    let (journal, committer, damage) = open(state, config.history, config.thresholds)?;
    damage.iter().for_each(|what| warn!("{what}"));
    let (dispatcher, failed) = notify::start(config, Some(&state.join("spool"))).await?;
    for failed in failed {
        error!("notifier {} has failed: {}", failed.name, failed.reason);
    }
    let dispatcher = Arc::new(dispatcher);
    if config.notifier_count() == 0 {
        warn!("no notifier is configured: summaries are not sent");
    }

    let page = Page::open(config, journal.clone(), Arc::clone(&dispatcher))?;
    let page_connections = page.as_ref().map(Page::connections);
    let (stop, stopping) = watch::channel(false);
    let (stop_page, page_stopping) = watch::channel(false);
    let page = serve_page(page_listener.zip(page), page_stopping);
    // The page ends its requests while those of the senders end.
    let shutdown = async {
        shutdown.await;
        stop_page.send_replace(true);
    };
    let intervals = Intervals {
        journal: journal.clone(),
        dispatcher: Arc::clone(&dispatcher),
        thresholds: config.thresholds,
        length: config.interval,
        server: config.server.name.clone(),
        in_memory: Default::default(),
    };
    let intervals = tokio::spawn(intervals.run(stopping));
    let context = Context::new(config, journal, Arc::clone(&dispatcher));
    let context = Arc::new(context.with_page(page_connections, page.as_ref()));
    info!(
        "couic-report {} listens on {addr}, state in {}",
        env!("CARGO_PKG_VERSION"),
        state.display()
    );
    let aborted = http::serve(listener, context, shutdown).await.aborted;
    if aborted > 0 {
        let closed = counted(aborted as u64, "connection was", "connections were");
        warn!("{closed} closed at the deadline, with requests that were not answered");
    }
    stop.send_replace(true);
    if let Some(page) = page
        && page.await.is_err()
    {
        error!("the task that serves the page panicked");
    }
    if intervals.await.is_err() {
        error!("the task that closes intervals panicked");
    }
    drain(&dispatcher).await;
    // Every handle on the journal is dropped, so its thread writes the last snapshot and ends.
    if task::spawn_blocking(|| committer.join()).await.is_err() {
        error!("the journal thread panicked");
    }
    info!("stopped");
    Ok(())
}

/// Lets the notifiers deliver what they can, and says what is left.
async fn drain(dispatcher: &NotificationDispatcher) {
    for left in dispatcher.drain(DRAIN).await {
        let kept = match left.kept {
            Durability::Disk => "kept, and delivered after the next start",
            Durability::Memory => "lost, because the spool could not be written",
        };
        warn!(
            "notifier {}: {} {kept}",
            left.name,
            counted(left.events as u64, "notification is", "notifications are")
        );
    }
}

/// The addresses of the reports and of the page, if there is one.
async fn listeners(config: &Config) -> Result<(TcpListener, Option<TcpListener>), StartError> {
    let reports = listen(config.server.addr).await?;
    let page = match &config.page {
        Some(page) => Some(listen(page.addr).await?),
        None => None,
    };
    Ok((reports, page))
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(addr).await;
    listener.map_err(|source| StartError::Listen { addr, source })
}

/// Serves the page, if there is one, until `stopping`.
fn serve_page(
    page: Option<(TcpListener, Page)>,
    mut stopping: watch::Receiver<bool>,
) -> Option<JoinHandle<()>> {
    let (listener, page) = page?;
    if let Ok(addr) = listener.local_addr() {
        info!("the page listens on {addr}");
        if !addr.ip().is_loopback() {
            warn!(
                "the page is served without TLS on {addr}: put a reverse proxy with TLS in front of it"
            );
        }
    }
    let stopped = async move {
        drop(stopping.wait_for(|stop| *stop).await);
    };
    Some(tokio::spawn(page::serve(listener, Arc::new(page), stopped)))
}
