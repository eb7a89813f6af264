//! The command line of the daemon. Its man page is made from it, too, by couicctl: so it depends on nothing but clap.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use couic_build_info::{LONG_VERSION, VERSION};

/// Drops unwanted sources in the network driver, ruled by a REST API.
///
/// Without a command, runs the daemon in the foreground, as systemd starts it. Rules are changed with couicctl.
#[derive(Debug, Parser)]
#[command(name = "couic", version = VERSION, long_version = LONG_VERSION)]
pub(crate) struct Args {
    /// The configuration file.
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/couic/couic.toml",
        global = true
    )]
    pub(crate) config: PathBuf,
    /// Check the configuration file and the working directory, print their mistakes, and exit.
    #[arg(long)]
    pub(crate) check_config: bool,
    /// Print the OpenAPI document of the REST API, and exit.
    #[arg(long)]
    pub(crate) openapi: bool,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Other things than running.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Detach the filter that a stopped daemon left on the interfaces: packets pass unfiltered.
    Detach,
}
