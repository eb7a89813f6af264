//! What may be typed. Help, shell completions and man pages are all made from these definitions.

mod entries;
mod notifiers;
mod sets;
mod switch;

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use couic_common::{ClientName, Group};

pub(crate) use entries::{
    AddArgs, DeleteArgs, EntryArgs, EntryCommand, Force, ImportArgs, Label, ListArgs, NoForce,
    Override,
};
pub(crate) use notifiers::NotifiersCommand;
pub(crate) use sets::{SetArg, SetSource, SetsCommand};
pub(crate) use switch::{Confirm, ConfirmArgs, ConfirmCommand, DoctorArgs, PanicCommand};

/// Talk to Couic, the XDP firewall: ban and unban sources, manage sets and tokens, read figures.
///
/// Policy `drop` bans sources, policy `ignore` protects them: ignore always wins.
#[derive(Parser)]
#[command(
    name = "couicctl",
    version,
    propagate_version = true,
    subcommand_required = true,
    after_long_help = "\
Examples:
  couicctl check 192.0.2.7                      what happens to this address, and why
  couicctl drop add 192.0.2.7 -t scan -e 2h     ban an address for two hours
  couicctl drop list -t 'scan*'                 who is banned under these tags
  couicctl ignore add 198.51.100.0/24           never drop this network, whatever is banned
  couicctl stats global -l                      watch the packets
  couicctl doctor                               what is wrong, and what to do
  couicctl panic on                             let everything pass, at once

Exit codes:
  0   done
  1   the daemon refused, or something else failed; the reason is on stderr
  2   the command line, or a file named on it, is wrong
  3   the daemon cannot be reached, or gave no sensible answer
  64  the configuration file is wrong

Files:
  /etc/couic/couicctl.toml    the configuration; without it, the daemon of this machine is meant"
)]
pub(crate) struct Cli {
    /// The configuration file [default: /etc/couic/couicctl.toml, where it exists]
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
    Ignore(EntryArgs<NoForce>),
    /// Static sets: files of CIDRs that survive restarts
    #[command(subcommand)]
    Sets(SetsCommand),
    /// Figures: packets and bytes, by verdict and by tag
    #[command(subcommand)]
    Stats(StatsCommand),
    /// What happens to packets from an address, and which rules say so
    #[command(
        after_long_help = "Examples:\n  couicctl check 192.0.2.7\n  couicctl check 2001:db8::7 --json"
    )]
    Check {
        /// An IPv4 or IPv6 address
        ip: IpAddr,
    },
    /// Whether the filter stands: interfaces, modes, set files that were not loaded, notifiers that fail
    #[command(
        after_long_help = "Exits with 1 where an interface is not filtered. Needs no right beyond reaching the daemon."
    )]
    Health,
    /// Whom rule changes are reported to: how it goes, tests, what was given up
    #[command(subcommand)]
    Notifiers(NotifiersCommand),
    /// The nodes that rules are shared with: state, what waits, what differs
    Peers {
        /// Nothing lists them
        #[command(subcommand)]
        command: Option<PeersCommand>,
    },
    /// The panic switch: let every packet pass, whatever the rules say
    #[command(after_long_help = switch::PANIC)]
    Panic {
        /// Nothing shows how it stands
        #[command(subcommand)]
        command: Option<PanicCommand>,
    },
    /// Keep changes that were made with --confirm-within
    #[command(after_long_help = switch::CONFIRM, args_conflicts_with_subcommands = true)]
    Confirm(ConfirmArgs),
    /// Look for what is wrong: kernel, interfaces, permissions, clock, disk, daemon, peers, notifiers
    #[command(after_long_help = switch::DOCTOR)]
    Doctor(DoctorArgs),
    /// The clients of the API and their tokens
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

/// Figures.
#[derive(Subcommand)]
pub(crate) enum StatsCommand {
    /// Rules, and packets and bytes by verdict
    #[command(after_long_help = "\
With -l, figures and rates are renewed every second until Ctrl-C: in place on a terminal, else one line a second.
With --json too, that line is a JSON document.")]
    Global {
        /// Keep on showing, every second, with rates
        #[arg(short, long)]
        live: bool,
    },
    /// Packets and bytes that rules of policy drop met, by tag
    Drop,
    /// Packets and bytes that rules of policy ignore met, by tag
    Ignore,
}

/// Peers.
#[derive(Subcommand)]
pub(crate) enum PeersCommand {
    /// List all peers: state, what waits for them, what differs, and what went wrong last
    List,
    /// Remove every rule that came from a peer, here and on all nodes
    #[command(after_long_help = "\
The rules are deleted as with delete, so other nodes delete them too. Take the peer's token away first, or it sends new
ones: couicctl clients delete NAME

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
    /// Make a client, and show its token
    #[command(after_long_help = "Example:\n  couicctl clients add -n fail2ban -g clientrw")]
    Add(NewClient),
    /// List all clients with their tokens
    List,
    /// Show one client with its token
    Inspect {
        /// Its name
        name: ClientName,
    },
    /// Delete a client: its token is worth nothing from that moment
    Delete {
        /// Its name
        name: ClientName,
    },
}

/// A client to make.
#[derive(Args)]
pub(crate) struct NewClient {
    /// A new name: 1 to 48 letters, digits, _ and -
    #[arg(short, long)]
    pub(crate) name: ClientName,
    /// What it may do
    #[arg(short, long)]
    pub(crate) group: GroupArg,
}

/// The groups, as they are typed.
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
    /// What peers send, nothing else
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

/// The shells that completions are made for.
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

/// All of it, for clap. `drop` and `ignore` share their definitions, so the examples of the latter are put right here.
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
mod tests {
    use super::*;

    #[test]
    fn the_definitions_are_consistent() {
        command().debug_assert();
    }

    #[test]
    fn help_of_ignore_speaks_of_ignore() {
        let mut all = command();
        all.build();
        let ignore = all.find_subcommand_mut("ignore").unwrap();
        for verb in ["add", "delete", "list", "inspect", "import"] {
            let help = ignore.find_subcommand_mut(verb).unwrap().render_long_help();
            let help = help.to_string();
            assert!(help.contains("couicctl ignore"), "{help}");
            assert!(!help.contains("couicctl drop"), "{help}");
            assert!(!help.contains("--force"), "{help}");
        }
    }

    #[test]
    fn every_group_can_be_typed() {
        for group in Group::ALL {
            let arg = GroupArg::from_str(group.as_str(), false).unwrap();
            assert_eq!(Group::from(arg), group);
        }
    }
}
