//! The entry point.

mod args;
mod cli;
mod reload;

use std::process::ExitCode;

use clap::Parser as _;
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

use crate::{
    args::{Cli, Command},
    reload::Reload,
};

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
    let reload = Reload::start(&cli.config, &config);
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
                serve(&config, reload).await
            }
        }
    })
}

async fn serve(config: &Config, reload: Reload) -> ExitCode {
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
                _ = hangup.recv() => reload.run(),
            }
        }
    };
    match service::run(config, &service::state_dir(), shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error.to_string()),
    }
}

fn failed(what: &str) -> ExitCode {
    eprintln!("couic-report: {what}");
    ExitCode::FAILURE
}
