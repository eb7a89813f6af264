//! The command line. The man page is made from it, too, by couicctl: so it depends on nothing but clap.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use couic_build_info::{LONG_VERSION, VERSION};

const PREVIEW: &str = "\
Examples:
  couic-bouncer feeds preview
  couic-bouncer feeds preview blocklist
  couic-bouncer feeds preview https://example.org/list.txt";

const ACCEPT: &str = "\
Examples:
  couic-bouncer feeds list
  couic-bouncer feeds accept blocklist 4f6c1d0a92be";

/// Brings the decisions of CrowdSec, and lists of addresses from the net or from files, into the rules of Couic.
///
/// Without a command, runs the service. Logs go to stderr; COUIC_BOUNCER_LOG=debug logs more. Exit codes: 0 success,
/// 1 failure, 2 invalid command line, 64 invalid configuration, 75 it has to be started again.
#[derive(Debug, Parser)]
#[command(name = "couic-bouncer", version = VERSION, long_version = LONG_VERSION)]
pub(crate) struct Cli {
    /// The configuration file; *.toml in a directory of the same name with .d are read, too
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "/etc/couic-bouncer/couic-bouncer.toml",
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
    /// Show what the running service does: CrowdSec, feeds, problems
    ///
    /// Exits with 1 if it has failed. Only root, its user and its group may ask.
    Status {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Lists from the net and from files
    Feeds {
        #[command(subcommand)]
        command: Feeds,
    },
}

/// What to do with feeds.
#[derive(Debug, Subcommand)]
pub(crate) enum Feeds {
    /// Show the feeds of the running service: entries, age, and why one is held back
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let the list that is held back take effect
    ///
    /// Once: the next one is measured by the guards again.
    #[command(after_long_help = ACCEPT)]
    Accept {
        /// The feed
        name: String,
        /// The first digits of its checksum, which feeds list shows: no other list is accepted then
        checksum: Option<String>,
    },
    /// Fetch a feed now, and tell whether its list is in force
    ///
    /// Exits with 1 if there is no list, or the daemon does not take it.
    Refresh {
        /// The feed
        name: String,
    },
    /// Fetch feeds and show what they would bring, without the daemon
    ///
    /// Nothing is written. All of the configuration, some of it by their names, or lists by their URLs, read as text. Exits with
    /// 1 if a list cannot be had, or would be refused or held back.
    #[command(after_long_help = PREVIEW)]
    Preview {
        /// Feeds of the configuration, presets, or URLs
        #[arg(value_name = "NAME|URL")]
        what: Vec<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
