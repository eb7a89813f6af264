//! The command line. The man page is made from it, too, by couicctl: so it depends on nothing but clap.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use couic_build_info::{LONG_VERSION, VERSION};

/// Watches logs, finds who floods, scans and guesses passwords, and has Couic drop them.
///
/// Without a command, runs the service. Logs go to stderr; COUICMON_LOG=debug logs more. Exit codes: 0 success,
/// 1 failure, 64 invalid configuration.
#[derive(Parser)]
#[command(name = "couicmon", version = VERSION, long_version = LONG_VERSION)]
pub(crate) struct Cli {
    /// The configuration file; *.toml in a directory of the same name with .d are read, too
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/couicmon/couicmon.toml",
        global = true
    )]
    pub(crate) config: PathBuf,
    /// Check the configuration, print what it does, and exit
    #[arg(long)]
    pub(crate) check_config: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Other things than running.
#[derive(Subcommand)]
pub(crate) enum Command {}
