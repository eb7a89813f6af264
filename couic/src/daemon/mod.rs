//! The daemon: its parts, started in an order that matters.
//!
//! What holds:
//! - The rules of all set files, and the persisted ones, are in the tables before the first packet is matched against
//!   them.
//! - The process runs as the configured user before it reads untrusted files, and no thread has a privilege before it
//!   reports or answers anything. The attacher is confined to attaching.
//! - Attaching the program is the last step of the start that can fail: after a failed step, the filter of the previous
//!   daemon is as it was, and no socket is left behind.
//! - On SIGTERM and SIGINT, requests in progress are answered (for [`DRAIN`] at most), then the socket is removed and
//!   the log flushed. Exit code 0. The filter stays attached if its links are stored, else it is detached.
//! - On SIGHUP, configuration and set files are read again: `reload`.
//! - When the attacher exits, the daemon exits with code 1, so that its supervisor restarts both.

mod error;
mod every;
mod filter;
mod health;
mod landlock;
mod limits;
mod memory;
mod panic_and_confirm;
mod privileged;
mod reload;
mod repeat;
mod room;
mod rules;
mod selfcheck;
mod signals;
mod start;
mod state;
mod stop;
mod subscribers;
mod supervisor;
mod transitions;
mod watchdog;

use std::{
    os::unix::net::UnixListener,
    panic,
    path::Path,
    sync::{Arc, OnceLock, atomic::AtomicUsize},
    time::Duration,
};

use couic_files::check_process_user;
use couic_firewall::dataplane::too_old;
use nix::sys::stat::{Mode, umask};
use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
};

use crate::{api, attach::AttacherError, config::Config, exporter::Exporter, logging::Log};
pub use error::StartError;
pub use landlock::files as files_of;
use privileged::{Privileged, StoredLinks};
use reload::{ConfigFile, Reload};
use signals::Signals;
use start::{Running, Services};
use supervisor::Supervisor;
use watchdog::Watchdog;

/// For requests in progress to be answered during shutdown.
const DRAIN: Duration = Duration::from_secs(5);

/// For the log to be flushed during shutdown.
const LOG_FLUSH: Duration = Duration::from_secs(2);

/// Runs until a signal to terminate. `warnings` about the configuration file are logged. SIGHUP has the file read again.
///
/// # Errors
/// [`StartError`], after which nothing is left behind.
pub fn run(file: &Path, config: &Config, warnings: &[String]) -> Result<(), StartError> {
    // Before anything else is opened: descriptors passed by systemd have fixed numbers.
    let stored = supervisor::inherited();
    couic_privsep::ignore_stray_signals();
    if let Some(why) = too_old() {
        return Err(StartError::Kernel(why));
    }
    check_process_user(&config.owner)?;
    // The socket and log files set wider modes explicitly.
    umask(Mode::from_bits_truncate(0o027));
    let log = Log::open(&config.logging, &config.owner)?;
    panic::set_hook(Box::new(|info| {
        tracing::error!("a bug in couic, please report it: {info}");
    }));
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(target: "couic::audit", action = "started", "couic {version} starts");
    warnings.iter().for_each(|text| tracing::warn!("{text}"));
    limits::raise_descriptors();
    limits::raise_locked_memory();
    memory::give_back_large_buffers();
    let outcome = run_logged((file, config), &log, stored);
    match &outcome {
        Ok(()) => {
            tracing::info!(target: "couic::audit", action = "stopped", "couic has stopped");
        }
        Err(StartError::Filter(error @ AttacherError::Ended(_))) => {
            tracing::error!(target: "couic::audit", action = "stopped", "couic ends: {error}");
        }
        Err(error) => {
            tracing::error!(target: "couic::audit", action = "start_failed", "couic does not start: {error}");
        }
    }
    log.close(LOG_FLUSH);
    outcome
}

fn run_logged(
    (file, config): (&Path, &Config),
    log: &Log,
    stored: StoredLinks,
) -> Result<(), StartError> {
    let file = ConfigFile::at_start(file);
    let runtime = runtime().map_err(StartError::system("start threads"))?;
    let signals = {
        let _inside = runtime.enter();
        Signals::catch().map_err(StartError::system("catch signals"))?
    };
    let supervisor = Supervisor::find().map(Arc::new);
    let privileged = Privileged::start(config, log, supervisor.as_ref(), stored, &file)?;
    let attacher_ended = privileged.attacher.ended();
    let watchdog = Watchdog::new(supervisor.as_ref(), runtime.handle());
    let (running, services) = Running::start(config, log, &runtime, privileged, watchdog)?;
    announce(config, supervisor.as_deref());
    let Services {
        api,
        listener,
        exporter,
    } = services;
    let reload = Arc::new(Reload {
        file,
        state: Arc::clone(&running.reload_state),
        api,
        log: log.control(),
        supervisor: supervisor.clone(),
        turn: Mutex::default(),
        queued: AtomicUsize::new(0),
    });
    let ended = serve(
        &runtime,
        listener,
        exporter,
        reload,
        signals,
        attacher_ended,
    )?;
    if let Some(supervisor) = &supervisor {
        supervisor.stopping();
    }
    running.stop(&runtime);
    ended.map_or(Ok(()), |error| Err(error.into()))
}

fn announce(config: &Config, supervisor: Option<&Supervisor>) {
    tracing::info!("listening on {}", config.socket.display());
    if let Some(supervisor) = supervisor {
        supervisor.ready();
    }
}

/// At least two threads, so that a long list does not delay other requests. More than eight would wait for the rules
/// lock.
fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, 8))
        .max_blocking_threads(16)
        .thread_name("couic-api")
        .enable_all()
        .build()
}

async fn until_dropped(mut sender: watch::Receiver<()>) {
    while sender.changed().await.is_ok() {}
}

/// Serves until a signal to terminate, or until the attacher exits, which is returned.
fn serve(
    runtime: &Runtime,
    listener: UnixListener,
    exporter: Option<Exporter>,
    reload: Arc<Reload>,
    signals: Signals,
    attacher_ended: impl Future<Output = AttacherError>,
) -> Result<Option<AttacherError>, StartError> {
    listener
        .set_nonblocking(true)
        .map_err(StartError::system("use the socket"))?;
    runtime.block_on(async {
        let listener = tokio::net::UnixListener::from_std(listener)
            .map_err(StartError::system("use the socket"))?;
        let ended = OnceLock::new();
        let (stopping, stopped) = watch::channel(());
        let api = Arc::clone(&reload.api);
        let on_hangup = move || {
            let reload = Arc::clone(&reload);
            drop(tokio::task::spawn_blocking(move || reload.run()));
        };
        let stop = async {
            tokio::select! {
                () = signals.first(on_hangup) => {}
                error = attacher_ended => drop(ended.set(error)),
            }
            drop(stopping);
        };
        // On a task of its own: whatever happens to it, the API is served.
        let scrapes = exporter.map(|exporter| {
            let api = Arc::clone(&api);
            tokio::spawn(exporter.run(api, until_dropped(stopped)))
        });
        let summary = api::serve(listener, api, stop, DRAIN).await;
        if let Some(scrapes) = scrapes {
            drop(scrapes.await);
        }
        tracing::info!(
            "{} connections served, {} refused, {} aborted at shutdown",
            summary.served,
            summary.refused,
            summary.aborted
        );
        Ok(ended.into_inner())
    })
}
