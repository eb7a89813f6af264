//! The daemon: reads its configuration and runs.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use couic::{
    config::{Config, DEFAULT_PATH, Settings as _},
    daemon,
    privileges::check_config_file,
};
use couic_plugin_api::host;

/// Drops unwanted sources in the network driver, ruled by a REST API.
#[derive(Debug, Parser)]
#[command(name = "couic", version, about)]
struct Args {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_PATH)]
    config: PathBuf,
    /// Check the configuration file, say what is wrong with it, and exit.
    #[arg(long)]
    check_config: bool,
}

/// `EX_CONFIG` would be 78; the contract says 64.
const BAD_CONFIGURATION: u8 = 64;
const START_FAILED: u8 = 1;

fn main() -> ExitCode {
    if let Some(ended) = host::run_if_child() {
        return ended;
    }
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
        warnings.iter().for_each(|text| println!("warning: {text}"));
        println!("{}: no mistakes", args.config.display());
        return ExitCode::SUCCESS;
    }
    match daemon::run(&config, &warnings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("couic: {error}");
            START_FAILED.into()
        }
    }
}
