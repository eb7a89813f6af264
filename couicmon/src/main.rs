//! `couicmon`: from log lines to bans.

mod args;
mod check;
mod config;
mod presets;
mod run;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    args::{Cli, Command},
    config::Config,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The configuration is invalid (EX_USAGE).
const EXIT_CONFIG: u8 = 64;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let command: Option<Command> = cli.command;
    if let Some(command) = command {
        match command {}
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
    run::run(&cli.config, config)
}
