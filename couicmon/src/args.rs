//! The command line. The man page is made from it, too, by couicctl: so it depends on nothing but clap.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand};
use couic_build_info::{LONG_VERSION, VERSION};

const PRESETS: &str = "\
Examples:
  couicmon presets
  couicmon presets nginx";

const REPLAY: &str = "\
Examples:
  couicmon replay --preset nginx /var/log/nginx/access.log.1
  couicmon replay --jail login --bans /var/log/nginx/access.log.2.gz /var/log/nginx/access.log.1
  journalctl -u ssh -o short-iso | couicmon replay --preset sshd --max-collateral 0 -

Exit codes:
  0   success
  1   a file cannot be read
  2   the command line is invalid
  3   the collateral is above --max-collateral
  64  the configuration is invalid, or what is named is not in it, or no line fits";

const EXPLAIN: &str = "\
Examples:
  couicmon explain \"$(tail -1 /var/log/nginx/access.log)\"
  couicmon explain --preset sshd 'Failed password for root from 192.0.2.1 port 22 ssh2'";

const FAIL2BAN: &str = "\
Examples:
  couicmon import fail2ban > /etc/couicmon/couicmon.d/fail2ban.toml
  couicmon import fail2ban old/jail.local --filters old/filter.d";

/// Watches logs, finds who floods, scans and guesses passwords, and has Couic drop them.
///
/// Without a command, runs the service. Logs go to stderr; COUICMON_LOG=debug logs more. Exit codes: 0 success,
/// 1 failure, 2 invalid command line, 64 invalid configuration.
#[derive(Debug, Parser)]
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
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what the jails would have banned, from files of log lines
    Replay(Replay),
    /// Show what a line says, and for each jail whether it counts and why not
    Explain(Explain),
    /// Show who writes the most lines, from the running couicmon
    Top(Top),
    /// List the presets, or print one
    #[command(after_long_help = PRESETS)]
    Presets {
        /// The preset to print
        name: Option<String>,
    },
    /// Translate the configuration of another program
    Import {
        #[command(subcommand)]
        from: Import,
    },
}

/// Show what the jails would have banned, from files of log lines
///
/// Nothing is banned, and no daemon is needed. Time is that of the lines. Compressed files (gzip) are read, too; give
/// rotated files in the order of time.
#[derive(Args, Debug)]
#[command(after_long_help = REPLAY)]
pub(crate) struct Replay {
    /// Log files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Only these jails
    #[arg(long = "jail", value_name = "NAME")]
    pub(crate) jails: Vec<String>,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// List the bans
    #[arg(long)]
    pub(crate) bans: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Exit with code 3 if more of the banned sources than this, or more than this share of them (5%), also made good
    /// requests or logged in
    #[arg(long, value_name = "N|P%")]
    pub(crate) max_collateral: Option<String>,
}

/// How lines are read.
#[derive(Args, Debug)]
pub(crate) struct Reading {
    /// The source of the configuration whose lines these are; by default the one whose files or format fit
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// The format of the lines, in the place of the source's
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Presets in the place of the configuration; several with commas between them
    #[arg(long = "preset", value_name = "NAME", value_delimiter = ',')]
    pub(crate) presets: Vec<String>,
}

/// Show what a line says, and for each jail whether it counts and why not
///
/// Without --source and --format, all sources of the configuration are tried, then all formats.
#[derive(Args, Debug)]
#[command(after_long_help = EXPLAIN)]
pub(crate) struct Explain {
    /// The line
    pub(crate) line: OsString,
    #[command(flatten)]
    pub(crate) reading: Reading,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show who writes the most lines, from the running couicmon
///
/// Lines of a minute ago count half. Only root, couicmon's user and its group may ask.
#[derive(Args, Debug)]
pub(crate) struct Top {
    /// So many of them; as many as there is room for on a terminal
    #[arg(short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) n: Option<u16>,
    /// Print it once and exit; so it is without a terminal
    #[arg(long)]
    pub(crate) once: bool,
    /// Print JSON once
    #[arg(long)]
    pub(crate) json: bool,
}

/// From which program.
#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Print the jails of fail2ban as a configuration of couicmon
    ///
    /// Of a directory, reads jail.conf, jail.d and jail.local, as far as they exist; of a file, those beside it, too.
    /// What has no translation (look-around, back references, several lines) is named on stderr, with the preset to use
    /// instead.
    #[command(after_long_help = FAIL2BAN)]
    Fail2ban {
        /// The directory of fail2ban, or a file with jails
        #[arg(value_name = "PATH", default_value = "/etc/fail2ban")]
        jails: PathBuf,
        /// The filters; filter.d beside the jails by default
        #[arg(long, value_name = "DIR")]
        filters: Option<PathBuf>,
    },
}
