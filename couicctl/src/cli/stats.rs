//! `stats`: packets and bytes.

use clap::{Args, Subcommand};

const LIVE: &str = "\
With -l, figures and rates are updated every second until Ctrl-C: in place on a terminal, else as lines. With --json,
each line is a JSON document.";

/// What to show, of all traffic if nothing is named.
#[derive(Args)]
pub(crate) struct StatsArgs {
    /// Update every second, with rates
    #[arg(short, long)]
    pub(crate) live: bool,
    /// As global if omitted
    #[command(subcommand)]
    pub(crate) command: Option<StatsCommand>,
}

/// Statistics.
#[derive(Clone, Copy, Subcommand)]
pub(crate) enum StatsCommand {
    /// Rule counts, and packets and bytes by verdict
    #[command(after_long_help = LIVE)]
    Global {
        /// Update every second, with rates
        #[arg(short, long)]
        live: bool,
    },
    /// Packets and bytes matched by rules of policy drop, by tag
    #[command(after_long_help = LIVE)]
    Drop {
        /// Update every second, with rates
        #[arg(short, long)]
        live: bool,
    },
    /// Packets and bytes matched by rules of policy ignore, by tag
    #[command(after_long_help = LIVE)]
    Ignore {
        /// Update every second, with rates
        #[arg(short, long)]
        live: bool,
    },
}

impl StatsArgs {
    /// The command that these stand for.
    pub(crate) fn spelled_out(&self) -> StatsCommand {
        let live = self.live;
        self.command.unwrap_or(StatsCommand::Global { live })
    }
}
