//! The entry point.

mod args;
mod cli;

use std::{io::IsTerminal as _, process::ExitCode};

use clap::Parser as _;
use couic_journald::{Prefixed, is_journal};
use couic_plugin_host as host;
use couic_report::{
    config::{Config, Settings as _},
    service,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};
use tracing::{info, warn};
use tracing_subscriber::EnvFilter;

use crate::args::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The configuration is invalid (EX_USAGE).
const EXIT_CONFIG: u8 = 64;

fn main() -> ExitCode {
    host::run_if_child();
    let cli = Cli::parse();
    let config = match Config::load(&cli.config) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    log();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&format!("cannot start the tokio runtime: {error}")),
    };
    runtime.block_on(async {
        match cli.command {
            Some(Command::CheckConfig) => cli::check(&cli.config, &config).await,
            Some(Command::TestNotify) => cli::test(&config).await,
            None => {
                let warnings = cli::warnings(&cli.config, &config);
                warnings.iter().for_each(|text| warn!("{text}"));
                serve(&config).await
            }
        }
    })
}

async fn serve(config: &Config) -> ExitCode {
    let signals = signal(SignalKind::terminate()).and_then(|term| {
        let interrupt = signal(SignalKind::interrupt())?;
        Ok((term, interrupt, signal(SignalKind::hangup())?))
    });
    let (mut term, mut interrupt, mut hangup) = match signals {
        Ok(signals) => signals,
        Err(error) => return failed(&format!("cannot handle signals: {error}")),
    };
    let shutdown = async move {
        loop {
            tokio::select! {
                _ = term.recv() => break info!("SIGTERM: stopping"),
                _ = interrupt.recv() => break info!("SIGINT: stopping"),
                // systemd hands over the configuration at the start only.
                _ = hangup.recv() => warn!("SIGHUP is ignored: a restart reads the configuration again, and loses no report"),
            }
        }
    };
    match service::run(config, &service::state_dir(), shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error.to_string()),
    }
}

/// Logs to stderr, which systemd collects, with priorities. `COUIC_REPORT_LOG=debug` logs more.
fn log() {
    let filter = EnvFilter::try_from_env("COUIC_REPORT_LOG").unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Prefixed::new(
            std::io::stderr,
            is_journal(std::io::stderr()),
        ))
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}

fn failed(what: &str) -> ExitCode {
    eprintln!("couic-report: {what}");
    ExitCode::FAILURE
}
