//! The command line.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Parser, Subcommand};
use couic_report::{
    config::{Config, DEFAULT_PATH},
    notify, page,
};

/// Collects the reports of Couic firewalls and sends one summary per interval to Discord, Slack or any plugin.
///
/// Without a command, runs the service. Logs go to stderr; COUIC_REPORT_LOG=debug logs more. Exit codes: 0 success,
/// 1 failure, 64 invalid configuration.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_PATH, global = true)]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Send a sample to every configured notifier, and print the outcome
    TestNotify,
    /// Check the configuration and load every notifier; send nothing
    CheckConfig,
}

/// How long pending deliveries may take.
const DRAIN: Duration = Duration::from_secs(2);

/// Prints a summary of the configuration.
pub(crate) async fn check(path: &Path, config: &Config) -> ExitCode {
    let (dispatcher, failed) = match notify::start(config, None).await {
        Ok(started) => started,
        Err(error) => return refused(&error),
    };
    for failed in &failed {
        eprintln!("notifier {}: {}", failed.name, failed.reason);
    }
    if !failed.is_empty() {
        return ExitCode::FAILURE;
    }
    let names: Vec<String> = dispatcher
        .list()
        .iter()
        .map(|n| n.name.to_string())
        .collect();
    let names = match names.as_slice() {
        [] => "none configured".to_owned(),
        names => names.join(", "),
    };
    if let Some(Err(error)) = config.page.as_ref().map(page::check) {
        return refused(&error);
    }
    println!("{}: valid", path.display());
    println!("listens on  {}", config.server.addr);
    println!("interval    {} s", config.interval.as_secs());
    println!("notifiers   {names}");
    match &config.page {
        Some(page) => println!("page        {}", page.addr),
        None => println!("page        off"),
    }
    dispatcher.drain(DRAIN).await;
    ExitCode::SUCCESS
}

/// Sends a sample to every notifier. Nothing is spooled: a running service is not affected.
pub(crate) async fn test(config: &Config) -> ExitCode {
    let (dispatcher, failed) = match notify::start(config, None).await {
        Ok(started) => started,
        Err(error) => return refused(&error),
    };
    let list = dispatcher.list();
    if list.is_empty() {
        eprintln!("no notifier is configured: add [discord], [slack] or [[notifiers]]");
        return ExitCode::FAILURE;
    }
    let mut all_well = true;
    for name in list.into_iter().map(|n| n.name) {
        if let Some(failed) = failed.iter().find(|failed| failed.name == name.as_str()) {
            all_well = false;
            println!("{name}: not started: {}", failed.reason);
            continue;
        }
        match dispatcher.test(name.as_str()).await {
            Ok(receipt) => match receipt.http_status {
                Some(status) => println!("{name}: delivered (HTTP {status})"),
                None => println!("{name}: delivered"),
            },
            Err(error) => {
                all_well = false;
                println!("{name}: not delivered: {error}");
            }
        }
    }
    dispatcher.drain(DRAIN).await;
    if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn refused(error: &impl std::fmt::Display) -> ExitCode {
    eprintln!("couic-report: {error}");
    ExitCode::FAILURE
}
