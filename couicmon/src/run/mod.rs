//! The service: from the start of the program to its end.

mod alarms;
mod answers;
mod confine;
mod core;
mod decide;
mod figures;
mod health;
mod http;
mod late;
mod log;
mod proxies;
mod reload;
mod service;
mod state;
#[cfg(test)]
mod tests;
mod watch;

use std::{future::ready, path::Path, process::ExitCode, sync::Arc, time::Duration};

use couic_httpd::SideListeners;
use couic_journald::{Level, Notify};
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch::channel,
    time::{MissedTickBehavior, interval},
};
use tracing::{error, info, warn};

use self::{confine::Readable, service::Service};
pub(crate) use self::{core::clock_ms, proxies::Judge};
use crate::config::Config;
use crate::local_time::offset_s;

/// How often answers about crawlers and the daemon's ignore list are taken over.
const TICK: Duration = Duration::from_millis(250);

/// How often it is looked what is to be told.
const LOOK: Duration = Duration::from_secs(5);

/// How often the ladder and bans that wait are written.
const SAVE: Duration = Duration::from_secs(30);

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(path: &Path, config: &Config) -> ExitCode {
    let level = Level::start("COUICMON_LOG", config.log_level);
    let notify = Notify::find();
    let own_log = log::own_files();
    // The time zone is read now: it is out of reach once the process is confined.
    offset_s(0);
    let readable = match confine::confine(config, path) {
        Ok(readable) => readable,
        Err(error) => return failed(&error),
    };
    match serve(path, config, (readable, own_log), &level, &notify) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&*error),
    }
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    error!("{error}");
    ExitCode::FAILURE
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn serve(
    path: &Path,
    config: &Config,
    (readable, own_log): (Readable, Vec<std::path::PathBuf>),
    level: &Level,
    notify: &Notify,
) -> Result<(), Failure> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signals = Signals::new()?;
        let listeners = SideListeners::bind(config.metrics, &config.control).await?;
        let service = Service::start(config, readable, own_log)?;
        info!(
            "couicmon {}: {}",
            env!("CARGO_PKG_VERSION"),
            service.summary()
        );
        let (stop, stopping) = channel(false);
        let told = Arc::clone(&service);
        let answer = move |asker, head| ready(http::answer(&told, asker, &head));
        let tasks = listeners.serve(answer, &service.unserved, &stopping);
        notify.ready(&service.summary());
        until_stopped(path, &service, signals, level, notify).await;
        notify.stopping();
        let ending = Arc::clone(&service);
        // Metrics are served meanwhile.
        if tokio::task::spawn_blocking(move || ending.stop())
            .await
            .is_err()
        {
            error!("the end has panicked: what was not written is lost");
        }
        stop.send_replace(true);
        for task in tasks {
            if task.await.is_err() {
                error!("a task that serves HTTP has panicked");
            }
        }
        info!("stopped");
        Ok(())
    })
}

struct Signals {
    term: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }
}

/// What happens in between: reloads, and what is due now and then.
async fn until_stopped(
    path: &Path,
    service: &Arc<Service>,
    mut signals: Signals,
    level: &Level,
    notify: &Notify,
) {
    let (mut tick, mut look, mut save) = (interval(TICK), interval(LOOK), interval(SAVE));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    save.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first is due at once.
    save.tick().await;
    loop {
        tokio::select! {
            _ = signals.term.recv() => break info!("SIGTERM: stopping"),
            _ = signals.interrupt.recv() => break info!("SIGINT: stopping"),
            _ = signals.hangup.recv() => {
                notify.reloading();
                let status = reload(path, service, level).await;
                notify.ready(&status);
            }
            _ = tick.tick() => service.tick(),
            _ = look.tick() => service.look(),
            _ = save.tick() => {
                let saving = Arc::clone(service);
                if tokio::task::spawn_blocking(move || saving.save()).await.is_err() {
                    warn!("writing the state has panicked, which is a bug");
                }
            }
        }
    }
}

/// Returns what systemctl shows.
async fn reload(path: &Path, service: &Arc<Service>, level: &Level) -> String {
    let (path, reloading) = (path.to_owned(), Arc::clone(service));
    let work = move || {
        let config =
            Config::load(&path).map_err(|mistakes| mistakes.to_string().replace('\n', "; "));
        let log_level = config.as_ref().ok().map(|config| config.log_level);
        reloading.take_over(config).map(|text| (text, log_level))
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok((text, log_level))) => {
            if let Some(log_level) = log_level {
                level.set(log_level);
            }
            info!("{text}");
            service.summary()
        }
        Ok(Err(why)) => {
            error!("the configuration is NOT reloaded, the one before stays in force: {why}");
            format!("{}; the last reload failed: {why}", service.summary())
        }
        Err(_) => {
            error!("the reload has panicked, which is a bug");
            service.summary()
        }
    }
}
