//! The service: from the start of the program to its end.

mod confine;
mod feeds;
mod figures;
mod health;
mod http;
mod names;
mod reload;
mod service;
mod sink;
mod status;

use std::{path::Path, process::ExitCode, sync::Arc, time::Duration};

use couic_httpd::SideListeners;
use couic_journald::{Level, Notify};
use tokio::{
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    sync::watch::channel,
    time::{MissedTickBehavior, interval},
};
use tracing::{error, info};

use self::{confine::Allowed, service::Service};
pub(crate) use self::{
    confine::{NAME, confine_command},
    feeds::settings,
    status::{Feed, Status},
};
use crate::config::Config;

/// How often it is looked what is to be told.
const LOOK: Duration = Duration::from_secs(5);

/// It has to be started again (EX_TEMPFAIL): systemd does.
const EXIT_AGAIN: u8 = 75;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Why it ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It was asked to.
    Stop,
    /// It has to be started again.
    Again,
}

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(path: &Path, config: &Config) -> ExitCode {
    let level = Level::start("COUIC_BOUNCER_LOG", config.log_level);
    let notify = Notify::find();
    let ended = confine::confine(config, path)
        .map_err(Failure::from)
        .and_then(|allowed| serve(path, config, allowed, &level, &notify));
    match ended {
        Ok(End::Stop) => ExitCode::SUCCESS,
        Ok(End::Again) => ExitCode::from(EXIT_AGAIN),
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(
    path: &Path,
    config: &Config,
    allowed: Allowed,
    level: &Level,
    notify: &Notify,
) -> Result<End, Failure> {
    // A list of a million lines is parsed on one of them, while the other answers.
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let signals = Signals::new()?;
        let listeners = SideListeners::bind(config.metrics, &config.control).await?;
        let service = Arc::new(Service::start(config, allowed)?);
        info!(
            "{NAME} {}: {}",
            env!("CARGO_PKG_VERSION"),
            service.summary()
        );
        let (stop, stopping) = channel(false);
        let told = Arc::clone(&service);
        let answer = move |asker, head| {
            let service = Arc::clone(&told);
            async move { http::answer(&service, asker, &head).await }
        };
        let tasks = listeners.serve(answer, &service.unserved, &stopping);
        notify.ready(&service.summary());
        let end = until_stopped(path, &service, signals, level, notify).await;
        notify.stopping();
        service.stop().await;
        stop.send_replace(true);
        for task in tasks {
            if task.await.is_err() {
                error!("a task that serves HTTP has panicked, which is a bug");
            }
        }
        info!("stopped; rules and sets stay with the daemon");
        Ok(end)
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
    service: &Service,
    mut signals: Signals,
    level: &Level,
    notify: &Notify,
) -> End {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = signals.term.recv() => {
                info!("SIGTERM: stopping");
                break End::Stop;
            }
            _ = signals.interrupt.recv() => {
                info!("SIGINT: stopping");
                break End::Stop;
            }
            _ = signals.hangup.recv() => {
                notify.reloading();
                let status = reload(path, service, level).await;
                notify.ready(&status);
            }
            _ = look.tick() => {
                if let Some(file) = service.allowed.names.replaced().filter(|_| notify.is_supervised()) {
                    info!("{} was replaced, which this process may not read: starting again", file.display());
                    break End::Again;
                }
            }
        }
    }
}

/// Returns what systemctl shows.
async fn reload(path: &Path, service: &Service, level: &Level) -> String {
    let read = Config::load(path).map_err(|mistakes| mistakes.to_string().replace('\n', "; "));
    let log_level = read.as_ref().ok().map(|config| config.log_level);
    match service.take_over(read).await {
        Ok(text) => {
            if let Some(log_level) = log_level {
                level.set(log_level);
            }
            info!("{text}");
            service.summary()
        }
        Err(why) => {
            error!("the configuration is NOT reloaded, the one before stays in force: {why}");
            format!("{}; the last reload failed: {why}", service.summary())
        }
    }
}
