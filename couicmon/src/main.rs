//! `couicmon`: from log lines to bans.

mod args;
mod bots;
mod check;
mod commands;
mod config;
mod import;
mod local_time;
mod presets;
mod run;

use std::process::ExitCode;

use clap::Parser as _;
use nix::sys::prctl::set_thp_disable;

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
    small_pages();
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

/// The service touches its tables and its threads' heaps here and there: with pages of 2 MiB, which the allocator asks for,
/// each such place would take one. Commands, which are to be fast, keep them. On an error all works, with more memory.
fn small_pages() {
    let _ = set_thp_disable(true);
}
