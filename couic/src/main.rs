//! The daemon: reads its configuration and runs.

mod args;

use std::{io::Write as _, process::ExitCode};

use args::{Args, Command};
use clap::Parser as _;
use couic::{
    api, attach, check,
    config::{Config, Settings as _, check_config_file},
    daemon,
};
use couic_plugin_host::{PLUGIN_HOST, PLUGIN_SPAWNER};
use couic_privsep::run_if_child;

/// `EX_CONFIG` would be 78; the contract says 64.
const BAD_CONFIGURATION: u8 = 64;
const START_FAILED: u8 = 1;

fn main() -> ExitCode {
    run_if_child(&[attach::ROLE, PLUGIN_HOST, PLUGIN_SPAWNER]);
    let args = Args::parse();
    if args.openapi {
        return openapi();
    }
    let config = match Config::load(&args.config) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            if let Some(hint) = check::hint(&args.config) {
                eprintln!("hint: {hint}");
            }
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
        return match check::run(&args.config, &config, &warnings) {
            Ok(()) => ExitCode::SUCCESS,
            Err(why) => {
                eprintln!("couic would not start: {why}");
                START_FAILED.into()
            }
        };
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

/// Needs no configuration, and no daemon.
fn openapi() -> ExitCode {
    let written = api::openapi_document()
        .and_then(|document| Ok(std::io::stdout().write_all(document.as_bytes())?));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("couic: the OpenAPI document cannot be written: {error}");
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
