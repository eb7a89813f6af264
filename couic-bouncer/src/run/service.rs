//! The service without signals and sockets: CrowdSec's consumer, the feeds, and the injector between them and the daemon.
//!
//! An end or a reload never releases a rule: what is not followed any more stays with the daemon until it ends, or is deleted
//! there.

use std::{future::Future, io, path::PathBuf, sync::Arc, time::Duration};

use couic_common::counted;
use couic_crowdsec::{Consumer, CrowdSecError};
use couic_files::ensure_dir;
use couic_httpd::Unserved;
use couic_inject::{Config as Client, InjectError, Injector, Limits};
use parking_lot::Mutex;
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tracing::{error, info, warn};

use super::{confine::Allowed, feeds::Following};
use crate::config::Config;

/// How long the end waits for the daemon.
const DRAIN: Duration = Duration::from_secs(5);

/// How long the end waits for a request that is under way.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why the service did not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The state directory cannot be used.
    #[error("the state directory {} cannot be used: {source}", dir.display())]
    State {
        /// The directory.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The client of the daemon cannot start.
    #[error("{}", couic_common::error_chain(.0))]
    Inject(#[from] InjectError),
    /// CrowdSec's credentials cannot be used.
    #[error("{0}")]
    CrowdSec(#[from] CrowdSecError),
    /// The feeds cannot be followed.
    #[error("{0}")]
    Feeds(String),
}

/// The running service.
pub(crate) struct Service {
    pub(super) allowed: Allowed,
    /// None at the end.
    pub(super) injector: Mutex<Option<Arc<Injector>>>,
    pub(super) now: Mutex<Now>,
    pub(super) unserved: Arc<Unserved>,
    /// One reload at a time.
    pub(super) reloading: tokio::sync::Mutex<()>,
}

/// What a reload changes.
pub(super) struct Now {
    pub(super) config: Config,
    pub(super) crowdsec: Option<Running<Consumer>>,
    /// None at the end, and in a reload.
    pub(super) feeds: Option<Running<Following>>,
    /// Why the last reload was refused.
    pub(super) refused: Option<String>,
}

/// A part that works on a task of its own.
pub(super) struct Running<T> {
    pub(super) part: Arc<T>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl<T> Running<T> {
    /// Starts it: `run` ends when it is told to.
    pub(super) fn start<F>(
        part: Arc<T>,
        run: impl FnOnce(Arc<T>, watch::Receiver<bool>) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(Arc::clone(&part), stopped));
        Self { part, stop, task }
    }

    /// Ends it, after what is under way.
    pub(super) async fn end(mut self, what: &str) {
        self.stop.send_replace(true);
        match timeout(PATIENCE, &mut self.task).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => error!("{what} has panicked, which is a bug"),
            Err(_) => {
                warn!(
                    "{what} does not end within {} s: it is cut off",
                    PATIENCE.as_secs()
                );
                self.task.abort();
                // Until it is gone, it holds the injector.
                drop(self.task.await);
            }
        }
    }

    /// Whether its task has ended by itself, which is a bug.
    pub(super) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

impl Service {
    /// Starts everything. Within a runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub(crate) fn start(config: &Config, allowed: Allowed) -> Result<Self, StartError> {
        config.warnings().iter().for_each(|text| warn!("{text}"));
        let dir = config.state_dir.clone();
        ensure_dir(&dir, 0o700).map_err(|source| StartError::State { dir, source })?;
        let daemon = Client::unix(&config.socket, &config.token_file);
        let injector = Arc::new(Injector::start(daemon, Limits::default())?);
        let crowdsec = consumer(config, &injector)?.map(follow);
        let feeds = Following::new(config, &injector).map_err(StartError::Feeds)?;
        Ok(Self {
            allowed,
            injector: Mutex::new(Some(injector)),
            now: Mutex::new(Now {
                config: config.clone(),
                crowdsec,
                feeds: Some(Following::start(feeds)),
                refused: None,
            }),
            unserved: Arc::default(),
            reloading: tokio::sync::Mutex::default(),
        })
    }

    /// Ends: what is under way, then what waits, with a deadline. Rules and sets stay with the daemon.
    pub(crate) async fn stop(&self) {
        let _alone = self.reloading.lock().await;
        let (crowdsec, feeds) = {
            let mut now = self.now.lock();
            (now.crowdsec.take(), now.feeds.take())
        };
        let crowdsec = async {
            if let Some(running) = crowdsec {
                running.end("the consumer of CrowdSec").await;
            }
        };
        let feeds = async {
            if let Some(running) = feeds {
                running.end("the task of the feeds").await;
            }
        };
        tokio::join!(crowdsec, feeds);
        let injector = self.injector.lock().take().and_then(Arc::into_inner);
        let Some(injector) = injector else {
            return;
        };
        let rest = tokio::task::spawn_blocking(move || injector.stop(DRAIN)).await;
        let left = rest.map_or(0, |rest| rest.len() as u64);
        if left > 0 {
            let left = counted(left, "change was", "changes were");
            info!("{left} not sent: the full compare of the next start makes them");
        }
    }

    /// A line for systemctl.
    pub(crate) fn summary(&self) -> String {
        let now = self.now.lock();
        let feeds = counted(now.config.feeds.len() as u64, "feed", "feeds");
        match &now.config.crowdsec {
            Some(crowdsec) => format!("following CrowdSec at {} and {feeds}", crowdsec.url),
            None => format!("following {feeds}"),
        }
    }
}

/// None without CrowdSec.
pub(super) fn consumer(
    config: &Config,
    injector: &Arc<Injector>,
) -> Result<Option<Arc<Consumer>>, CrowdSecError> {
    let Some(crowdsec) = config.crowdsec.clone() else {
        return Ok(None);
    };
    Consumer::new(crowdsec, Arc::clone(injector)).map(|consumer| Some(Arc::new(consumer)))
}

pub(super) fn follow(consumer: Arc<Consumer>) -> Running<Consumer> {
    Running::start(consumer, Consumer::run)
}
