//! `couic-bouncer`: the decisions of CrowdSec, and lists from the net or from files, as rules of Couic.

mod args;
mod check;
mod commands;
mod config;
mod run;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{args::Cli, config::Config};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The configuration is invalid (EX_USAGE).
const EXIT_CONFIG: u8 = 64;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(command) = &cli.command {
        return commands::run(command, &cli.config);
    }
    let config = match Config::load(&cli.config) {
        Ok(config) => config,
        Err(mistakes) => {
            eprintln!("{mistakes}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    if cli.check_config {
        return check::print(&cli.config, &config);
    }
    run::run(&cli.config, &config)
}
