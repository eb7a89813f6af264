//! The command line. The man page is made from it, too, by couicctl: so it depends on nothing but clap.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use couic_build_info::{LONG_VERSION, VERSION};

/// Collects the reports of Couic firewalls and sends one summary per interval to Discord, Slack or any plugin.
///
/// Without a command, runs the service. Logs go to stderr; COUIC_REPORT_LOG=debug logs more. Exit codes: 0 success,
/// 1 failure, 64 invalid configuration.
#[derive(Parser)]
#[command(name = "couic-report", version = VERSION, long_version = LONG_VERSION)]
pub(crate) struct Cli {
    /// The configuration file
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/couic-report/config.toml",
        global = true
    )]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// Other things than running.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Send a sample to every configured notifier, and print the outcome
    TestNotify,
    /// Check the configuration and load every notifier; send nothing
    CheckConfig,
}
