//! The daemon: reads its configuration and runs.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use couic::{
    attach,
    config::{Config, DEFAULT_PATH, Settings as _, check_config_file},
    daemon, reporting,
};
use couic_files::{DirError, check_working_dir};
use couic_firewall::dataplane::too_old;
use couic_plugin_host::{PLUGIN_HOST, PLUGIN_SPAWNER};
use couic_privsep::run_if_child;

/// Drops unwanted sources in the network driver, ruled by a REST API.
#[derive(Debug, Parser)]
#[command(name = "couic", version, about)]
struct Args {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_PATH, global = true)]
    config: PathBuf,
    /// Check the configuration file and the working directory, print their mistakes, and exit.
    #[arg(long)]
    check_config: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Detach the filter that a stopped daemon left on the interfaces: packets pass unfiltered.
    Detach,
}

/// `EX_CONFIG` would be 78; the contract says 64.
const BAD_CONFIGURATION: u8 = 64;
const START_FAILED: u8 = 1;

fn main() -> ExitCode {
    run_if_child(&[attach::ROLE, PLUGIN_HOST, PLUGIN_SPAWNER]);
    let args = Args::parse();
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return BAD_CONFIGURATION.into();
        }
    };
    let warnings = match check_config_file(&args.config, &config) {
        Ok(warnings) => warnings,
        Err(refused) => {
            eprintln!("{refused}");
            return BAD_CONFIGURATION.into();
        }
    };
    if args.check_config {
        return check(&args.config, &config, &warnings);
    }
    if let Some(Command::Detach) = args.command {
        return detach(&config);
    }
    match daemon::run(&args.config, &config, &warnings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("couic: {error}");
            START_FAILED.into()
        }
    }
}

/// Prints the mistakes of the file, and what would fail a start with it. Changes nothing.
fn check(file: &Path, config: &Config, warnings: &[String]) -> ExitCode {
    warnings.iter().for_each(|text| println!("warning: {text}"));
    println!("{}: no mistakes", file.display());
    for failed in reporting::unavailable(&config.reporting, &config.plugins_dir) {
        println!("warning: the notifier {}: {}", failed.name, failed.reason);
    }
    if let Some(why) = too_old() {
        eprintln!("couic would not start: {why}");
        return START_FAILED.into();
    }
    match check_working_dir(&config.working_dir, &config.owner, &attach::LOCK_FILES) {
        Ok(()) => ExitCode::SUCCESS,
        // It may exist and be invisible to users other than root and the configured one.
        Err(DirError::Io { path, source }) => {
            let path = path.display();
            println!(
                "warning: cannot check the working directory {path}: {source}; run this as root"
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("couic would not start: {error}");
            START_FAILED.into()
        }
    }
}

fn detach(config: &Config) -> ExitCode {
    let done = match attach::detach(&attach::Setup::of(config)) {
        Ok(done) => done,
        Err(error) => {
            eprintln!("couic: {error}");
            return START_FAILED.into();
        }
    };
    for name in &done.detached {
        println!("no longer filtering on {name}");
    }
    for (name, id) in &done.remaining {
        eprintln!(
            "couic: {name} still runs the XDP program {id} of a Couic: if systemd stores its link, run systemctl stop couic; else it belongs to another configuration"
        );
    }
    if !done.remaining.is_empty() {
        return START_FAILED.into();
    }
    if done.detached.is_empty() {
        println!("nothing of this configuration is attached");
    }
    ExitCode::SUCCESS
}
