//! `setup`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::input::Network;

pub(super) const SETUP: &str = "\
Examples:
  sudo couicctl setup                          ask, show what would be done, do it
  sudo couicctl setup --yes                    take what it finds on this host
  sudo couicctl setup --yes -i eth0 --protect 192.0.2.0/24 --report https://collector.example.com/v1/reports/SECRET
  sudo couicctl setup --yes --dry-run          only show what would be done

It writes /etc/couic/couic.toml, keeping what else is in it and its comments; a set ignore/setup of sources that are never
dropped: this host's addresses, those of SSH sessions that it runs in, and --protect; if fail2ban is installed, its action,
jails that use it, and a token for it. Then it starts the daemon, or restarts it if its configuration has changed: the filter stays attached over a
restart. Run it again at any time: what is done already is left alone.

Couic checks a new configuration before it takes the place of the old one, which is kept as couic.toml.old.";

/// What to set up.
#[derive(Args)]
pub(crate) struct SetupArgs {
    /// Filter on this interface, or pattern; repeat for more [default: those with a default route]
    #[arg(short, long = "interface", value_name = "NAME")]
    pub(crate) interfaces: Vec<String>,
    /// Never drop this address or network, besides this host and the SSH session
    #[arg(long, value_name = "CIDR")]
    pub(crate) protect: Vec<Network>,
    /// Let fail2ban ban with Couic [default: if it is installed]
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub(crate) fail2ban: When,
    /// Report rule changes to this webhook, for example of couic-report
    #[arg(long, value_name = "URL")]
    pub(crate) report: Option<String>,
    /// Create a client `monitoring`, whose token may read statistics and health
    #[arg(long)]
    pub(crate) monitoring: bool,
    /// Write the files, but do not start or restart anything
    #[arg(long)]
    pub(crate) no_start: bool,
    /// Ask nothing
    #[arg(short, long)]
    pub(crate) yes: bool,
    /// Only show what would be done
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The daemon's configuration file
    #[arg(long, value_name = "FILE", default_value = "/etc/couic/couic.toml")]
    pub(crate) daemon_config: PathBuf,
}

/// Whether to do what depends on other software.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// If it is installed
    Auto,
    /// In any case
    Always,
    /// Not at all
    Never,
}
