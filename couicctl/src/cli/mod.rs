//! The command line. Help, shell completions and man pages are generated from these definitions.

mod entries;
mod force;
mod log;
mod notifiers;
mod sets;
mod switch;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use couic_common::{ClientName, Group};

use crate::input::Network;

pub(crate) use entries::{
    AddArgs, DeleteArgs, EntryArgs, EntryCommand, ImportArgs, Label, ListArgs, Which,
};
pub(crate) use force::{Force, IgnoreForce, Lift, Override};
pub(crate) use log::LogArgs;
pub(crate) use notifiers::NotifiersCommand;
pub(crate) use sets::{SetArg, SetSource, SetsCommand};
pub(crate) use switch::{Confirm, ConfirmArgs, ConfirmCommand, DoctorArgs, PanicCommand};

/// Control Couic, the XDP firewall: ban and unban sources, manage sets and tokens, show statistics.
///
/// Policy `drop` bans sources, policy `ignore` protects them; ignore takes precedence.
#[derive(Parser)]
#[command(
    name = "couicctl",
    version,
    propagate_version = true,
    subcommand_required = true,
    after_long_help = "\
Examples:
  couicctl check 192.0.2.7                      the verdict for this address, and why
  couicctl drop add 192.0.2.7 -t scan -e 2h     ban an address for two hours; couicctl ban is the same
  couicctl drop list -t 'scan*'                 sources banned under these tags
  couicctl ignore add 198.51.100.0/24           never drop this network
  couicctl stats global -l                      watch the counters
  couicctl doctor                               find problems and how to fix them
  couicctl panic on                             let every packet pass, at once

Exit codes:
  0   success
  1   the daemon rejected the request, or something else failed; see stderr
  2   the command line, or a file named on it, is invalid
  3   the daemon cannot be reached, or its response is invalid
  4   the change is in force but could not be saved: a restart would undo it
  64  the configuration file is invalid

Files:
  /etc/couic/couicctl.toml    the configuration; without it, the daemon of this host is used"
)]
pub(crate) struct Cli {
    /// The configuration file [default: /etc/couic/couicctl.toml, if it exists]
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The command groups.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Ban sources: their packets are dropped in the driver
    Drop(EntryArgs<Force>),
    /// Protect sources: their packets are never dropped
    Ignore(EntryArgs<IgnoreForce>),
    /// Ban sources, as drop add does
    Ban(AddArgs<Force>),
    /// Lift bans, as drop delete does
    Unban(DeleteArgs),
    /// Static sets: files of CIDRs that survive restarts
    #[command(subcommand)]
    Sets(SetsCommand),
    /// Apply the set files to the rules, as sets reload does
    Reload {
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Statistics: packets and bytes, by verdict and by tag
    #[command(subcommand)]
    Stats(StatsCommand),
    /// Show the verdict for packets from an address or network, and the rules behind it
    #[command(
        visible_alias = "why",
        after_long_help = "Examples:\n  couicctl check 192.0.2.7\n  couicctl check 192.0.2.0/24\n  couicctl check 2001:db8::7 --json"
    )]
    Check {
        /// An IPv4 or IPv6 address, or ADDRESS/PREFIX
        cidr: Network,
    },
    /// Show the health of the filter: interfaces, modes, set files that were not loaded, failing notifiers
    #[command(
        visible_alias = "status",
        after_long_help = "Exits with 1 if an interface is not filtered. Requires no token rights."
    )]
    Health,
    /// The audit log: who changed what, from where, why
    #[command(after_long_help = log::LOG)]
    Log(LogArgs),
    /// Receivers of reports of rule changes: state, tests, dead letters
    #[command(subcommand)]
    Notifiers(NotifiersCommand),
    /// The nodes that rules are shared with: state, queue, differences
    Peers {
        /// List the peers if omitted
        #[command(subcommand)]
        command: Option<PeersCommand>,
    },
    /// The panic switch: let every packet pass, regardless of the rules
    #[command(after_long_help = switch::PANIC)]
    Panic {
        /// Show its state if omitted
        #[command(subcommand)]
        command: Option<PanicCommand>,
    },
    /// Confirm changes that were made with --confirm-within
    #[command(after_long_help = switch::CONFIRM, args_conflicts_with_subcommands = true)]
    Confirm(ConfirmArgs),
    /// Look for problems: kernel, interfaces, permissions, clock, disk, daemon, peers, notifiers
    #[command(after_long_help = switch::DOCTOR)]
    Doctor(DoctorArgs),
    /// API clients and their tokens
    #[command(subcommand)]
    Clients(ClientsCommand),
    /// Print a shell completion script
    #[command(after_long_help = "\
Examples:
  couicctl completions bash > /etc/bash_completion.d/couicctl
  couicctl completions zsh > /usr/local/share/zsh/site-functions/_couicctl
  couicctl completions fish > /etc/fish/completions/couicctl.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the man page, or write the man pages of all commands into a directory
    #[command(after_long_help = "\
Examples:
  couicctl man | man -l -
  couicctl man /usr/local/share/man/man1")]
    Man {
        /// An existing directory
        dir: Option<PathBuf>,
    },
}

impl Command {
    /// The command that a short one stands for.
    pub(crate) fn spelled_out(self) -> Self {
        match self {
            Self::Ban(args) => Self::Drop(EntryArgs {
                command: EntryCommand::Add(args),
            }),
            Self::Unban(args) => Self::Drop(EntryArgs {
                command: EntryCommand::Delete(args),
            }),
            Self::Reload { confirm } => Self::Sets(SetsCommand::Reload { confirm }),
            other => other,
        }
    }
}

/// Statistics.
#[derive(Subcommand)]
pub(crate) enum StatsCommand {
    /// Rule counts, and packets and bytes by verdict
    #[command(after_long_help = "\
With -l, figures and rates are updated every second until Ctrl-C: in place on a terminal, else one line per second.
With --json, each line is a JSON document.")]
    Global {
        /// Update every second, with rates
        #[arg(short, long)]
        live: bool,
    },
    /// Packets and bytes matched by rules of policy drop, by tag
    Drop,
    /// Packets and bytes matched by rules of policy ignore, by tag
    Ignore,
}

/// Peers.
#[derive(Subcommand)]
pub(crate) enum PeersCommand {
    /// List all peers: state, queue, differences, last error
    List,
    /// Remove all that came from a peer, on this node
    #[command(after_long_help = "\
Run it on every node that lists the peer. Nodes that have its rules from this one only remove them too. Revoke the peer's
token first, or it sends new ones: couicctl clients delete NAME

Example:
  couicctl peers forget frankfurt")]
    Forget {
        /// Its name, as in the list
        name: ClientName,
    },
}

/// Tokens.
#[derive(Subcommand)]
pub(crate) enum ClientsCommand {
    /// Create a client, and show its token
    #[command(after_long_help = "Example:\n  couicctl clients add -n fail2ban -g clientrw")]
    Add(NewClient),
    /// List all clients with their tokens
    List,
    /// Show one client with its token
    Inspect {
        /// Its name
        name: ClientName,
    },
    /// Delete a client and revoke its token
    Delete {
        /// Its name
        name: ClientName,
    },
}

/// A client to create.
#[derive(Args)]
pub(crate) struct NewClient {
    /// A new name: 1 to 48 letters, digits, _ and -
    #[arg(short, long)]
    pub(crate) name: ClientName,
    /// Its group, which determines its rights
    #[arg(short, long)]
    pub(crate) group: GroupArg,
}

/// The groups, as arguments.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum GroupArg {
    /// Everything
    Admin,
    /// Entries and sets, read and write
    Clientrw,
    /// Entries and sets, read only
    Clientro,
    /// Statistics and the state of notifiers
    Monitoring,
    /// The peer routes only
    Peering,
}

impl From<GroupArg> for Group {
    fn from(group: GroupArg) -> Self {
        match group {
            GroupArg::Admin => Self::Admin,
            GroupArg::Clientrw => Self::ClientRw,
            GroupArg::Clientro => Self::ClientRo,
            GroupArg::Monitoring => Self::Monitoring,
            GroupArg::Peering => Self::Peering,
        }
    }
}

/// The shells with completions.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

impl From<Shell> for clap_complete::Shell {
    fn from(shell: Shell) -> Self {
        match shell {
            Shell::Bash => Self::Bash,
            Shell::Zsh => Self::Zsh,
            Shell::Fish => Self::Fish,
        }
    }
}

/// The whole command for clap. `drop` and `ignore` share their definitions; the examples of the latter are adapted
/// here.
pub(crate) fn command() -> clap::Command {
    Cli::command().mut_subcommand("ignore", |ignore| {
        let names: Vec<String> = ignore
            .get_subcommands()
            .map(|c| c.get_name().to_owned())
            .collect();
        names
            .into_iter()
            .fold(ignore, |ignore, name| ignore.mut_subcommand(name, renamed))
    })
}

fn renamed(command: clap::Command) -> clap::Command {
    match command.get_after_long_help() {
        Some(help) => {
            let help = help.to_string().replace("couicctl drop", "couicctl ignore");
            command.after_long_help(help)
        }
        None => command,
    }
}

#[cfg(test)]
mod tests;
