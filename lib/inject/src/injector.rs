//! The handle: takes rules from any thread, and owns the thread that sends them.

use std::{
    io,
    path::Path,
    sync::{Arc, atomic::Ordering},
    thread::{self, JoinHandle},
    time::Duration,
};

use couic_client::{Client, ClientError};
use ipnetwork::IpNetwork;
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    time::{Instant, sleep_until},
};

use crate::{
    Claim, Config, Figures, Ignored, InjectError, Limits, Pending, Refusal, Rule, claims,
    daemon::Daemon,
    held::Held,
    ignored, pending,
    sender::{Sender, Stop},
    state::State,
};

/// Sends rules to the daemon. Dropped, it ends at once; [`Injector::stop`] sends what waits first.
#[derive(Debug)]
pub struct Injector {
    state: Arc<State>,
    daemon: Arc<Daemon>,
    limits: Limits,
    stop: watch::Sender<Option<Instant>>,
    thread: Option<JoinHandle<()>>,
}

impl Injector {
    /// Starts to send. The daemon need not be there yet.
    ///
    /// # Errors
    /// [`InjectError`] if the token cannot be read, the client not be set up, or the thread not be started.
    pub fn start(config: Config, limits: Limits) -> Result<Self, InjectError> {
        let daemon = Arc::new(Daemon::new(config)?);
        let state = Arc::new(State::new(limits));
        let (stop, stopped) = watch::channel(None);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(InjectError::Thread)?;
        let shared = Arc::clone(&state);
        let asked = Arc::clone(&daemon);
        let work = move || run(&runtime, &shared, &asked, limits, stopped);
        let thread = thread::Builder::new()
            .name("inject".to_owned())
            .spawn(work)
            .map_err(InjectError::Thread)?;
        Ok(Self {
            state,
            daemon,
            limits,
            stop,
            thread: Some(thread),
        })
    }

    /// Takes a ban. Does not wait for the daemon, and does not fail: what becomes of it is in [`Injector::figures`].
    pub fn ban(&self, rule: Rule) {
        self.state.ban(rule);
    }

    /// Takes the removal of a ban: the claim of this client under this tag (empty for none). The rule stays in force if
    /// others hold it.
    pub fn remove(&self, cidr: IpNetwork, tag: &str) {
        self.state.remove(cidr, tag);
    }

    /// The daemon's ignore list as of the last minute; None until it was read once. It is the same allocation as long as
    /// the list is the same.
    #[must_use]
    pub fn ignored(&self) -> Option<Arc<Ignored>> {
        self.state.ignored.lock().clone()
    }

    /// Whether a ban may be one of what the daemon ignores only because its list was not read yet: it is asked for, and the
    /// daemon has neither told it nor refused to. As long as the daemon is away, that is so.
    #[must_use]
    pub fn awaits_ignored(&self) -> bool {
        self.daemon.config.watch_ignored && !self.state.ignored_answered.load(Ordering::Acquire)
    }

    /// Reads the claims of clients in policy `drop` whose tag this pattern means, at most so many, and hands each to
    /// `take`: for callers that compare them with what should be there. Which client holds a claim is not told, so the tags
    /// should be those of one client. Returns whether there were more.
    ///
    /// # Errors
    /// [`ClientError`]; some may have been handed over.
    pub async fn claims(
        &self,
        tag: &str,
        most: usize,
        take: impl FnMut(Claim) + Send,
    ) -> Result<bool, ClientError> {
        claims::read(&self.daemon, tag, most, take).await
    }

    /// Asks the daemon for something else, with this injector's token; once more if it refuses the token, and the file has
    /// another one by now.
    ///
    /// # Errors
    /// Those of the request.
    pub async fn ask<T, F>(&self, request: impl Fn(Client) -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let (client, token) = self.daemon.client();
        match request(client).await {
            Err(error) if error.status() == Some(401) => {
                // Only a new token is tried: the sender tells about one that is refused.
                if !self.daemon.renew(token).unwrap_or(false) {
                    return Err(error);
                }
                request(self.daemon.client().0).await
            }
            answer => answer,
        }
    }

    /// The bans that the daemon refused for good since the last call, each with the reason. They are kept from the first
    /// call on, at most [`MOST_REFUSALS`](crate::MOST_REFUSALS), and those behind are counted in [`Injector::figures`] only.
    #[must_use]
    pub fn take_refusals(&self) -> Vec<Refusal> {
        self.state.refusals.lock().take()
    }

    /// The state at present.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.state.figures()
    }

    /// Takes what a former run left, as if it had come before everything else.
    pub fn restore(&self, pending: Pending) {
        pending.restore(&self.state);
    }

    /// Writes what waits to a file, as [`Pending::save`] does, so that it survives a crash. For once in a while: what the
    /// file holds is sent again after one, bans and removals alike.
    ///
    /// # Errors
    /// Those of the system.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        pending::save(&self.state.held, path)
    }

    /// Sends what waits, until it is sent or the deadline has passed, and returns the rest.
    #[must_use = "what could not be sent is lost unless it is saved"]
    pub fn stop(mut self, deadline: Duration) -> Pending {
        self.end(deadline);
        let empty = Held::new(self.limits);
        Pending::new(std::mem::replace(&mut *self.state.held.lock(), empty))
    }

    fn end(&mut self, deadline: Duration) {
        self.stop.send_replace(Some(Instant::now() + deadline));
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that sends rules has panicked: what waited is kept");
        }
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.end(Duration::ZERO);
        }
    }
}

fn run(runtime: &Runtime, state: &Arc<State>, daemon: &Arc<Daemon>, limits: Limits, stop: Stop) {
    let sender = Sender::new(Arc::clone(state), Arc::clone(daemon), limits, stop.clone());
    let watching = async {
        if daemon.config.watch_ignored {
            ignored::watch(state, daemon).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    runtime.block_on(async {
        tokio::select! {
            () = sender.run() => {}
            () = passed(stop) => {}
            () = watching => {}
        }
    });
}

/// The deadline of the end.
async fn passed(mut stop: Stop) {
    let deadline = match stop.wait_for(Option::is_some).await {
        Ok(deadline) => *deadline,
        Err(_) => None,
    };
    if let Some(deadline) = deadline {
        sleep_until(deadline).await;
    }
}
