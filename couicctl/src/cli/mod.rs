//! The command line. Help, shell completions and man pages are generated from these definitions.

mod clients;
mod entries;
mod events;
mod force;
mod limits;
mod log;
mod notifiers;
mod peers;
mod sets;
mod setup;
mod state;
mod stats;
mod switch;
mod words;

use std::path::PathBuf;

use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use couic_build_info::{LONG_VERSION, VERSION};
use couic_common::{ClientName, Policy};

use crate::{complete, input::Network};

pub(crate) use clients::{ClientsCommand, NewClient};
pub(crate) use entries::{
    AddArgs, DeleteArgs, EntryArgs, EntryCommand, ExportArgs, ImportArgs, Label, ListArgs, SortKey,
    Which,
};
pub(crate) use events::EventsArgs;
pub(crate) use force::{Force, IgnoreForce, Lift, Override, SetForce};
pub(crate) use log::LogArgs;
pub(crate) use notifiers::NotifiersCommand;
pub(crate) use peers::InviteArgs;
pub(crate) use sets::{SetArg, SetSource, SetsCommand};
pub(crate) use setup::{SetupArgs, When};
pub(crate) use state::{ApplyArgs, DiffArgs, StateExportArgs};
pub(crate) use stats::{StatsArgs, StatsCommand};
pub(crate) use switch::{Confirm, ConfirmArgs, ConfirmCommand, DoctorArgs, PanicCommand};
pub(crate) use words::suggest;

/// Control Couic, the XDP firewall: ban and unban sources, manage sets and tokens, show statistics.
///
/// Policy `drop` bans sources, policy `ignore` protects them; ignore takes precedence.
#[derive(Parser)]
#[command(
    name = "couicctl",
    version = VERSION,
    long_version = LONG_VERSION,
    propagate_version = true,
    subcommand_required = true,
    after_long_help = "\
Examples:
  couicctl check 192.0.2.7                      the verdict for this address, and why
  couicctl drop add 192.0.2.7 -t scan -e 2h     ban an address for two hours; couicctl ban is the same
  couicctl drop list -t 'scan*'                 sources banned under these tags
  couicctl status                               everything on one screen
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
  /etc/couic/couicctl.toml    the configuration; without it, the daemon of this host is used

Environment:
  PAGER                       the pager for long lists on a terminal; less by default, none if empty or cat
  NO_COLOR                    if not empty, no colours
  LC_ALL, LC_CTYPE, LANG      without UTF-8 in the first that is set, tables are drawn without boxes

Tables are for people. In a pipe, each row is one line, its cells separated by tabs, without a header; --json has all
figures, exact."
)]
pub(crate) struct Cli {
    /// The configuration file [default: /etc/couic/couicctl.toml, if it exists]
    #[arg(short, long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Do not send long lists on a terminal through a pager
    #[arg(long, global = true)]
    pub(crate) no_pager: bool,

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
    Sets {
        /// List the sets if omitted
        #[command(subcommand)]
        command: Option<SetsCommand>,
    },
    /// Apply the set files to the rules, as sets reload does
    Reload {
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Print rules, sets and clients as a state file
    #[command(after_long_help = state::EXPORT)]
    Export(StateExportArgs),
    /// Show how the daemon differs from a state file
    #[command(after_long_help = state::DIFF)]
    Diff(DiffArgs),
    /// Make rules, sets and clients as a state file says
    #[command(after_long_help = state::APPLY)]
    Apply(Box<ApplyArgs>),
    /// Statistics: packets and bytes, by verdict and by tag
    #[command(args_conflicts_with_subcommands = true)]
    Stats(StatsArgs),
    /// Print all metrics of the daemon, in the Prometheus text format
    #[command(after_long_help = METRICS)]
    Metrics,
    /// Watch rates, tags, rules and changes on a screen, and act on them by keys
    #[command(after_long_help = crate::top::HELP)]
    Top(crate::top::TopArgs),
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
    #[command(after_long_help = "Exits with 1 if an interface is not filtered. Requires no token.")]
    Health,
    /// Show everything on one screen: interfaces, rules, rates, busiest tags, peers, notifiers, pending changes
    #[command(after_long_help = "\
What the token may not read is left out. Rates are those of one second. Exits with 1 if an interface is not filtered.")]
    Status,
    /// Changes of rules as they happen: bans, renewals, expiries
    #[command(after_long_help = events::EVENTS)]
    Events(EventsArgs),
    /// The audit log: who changed what, from where, why
    #[command(after_long_help = log::LOG)]
    Log(LogArgs),
    /// Receivers of reports of rule changes: state, tests, dead letters
    Notifiers {
        /// List the notifiers if omitted
        #[command(subcommand)]
        command: Option<NotifiersCommand>,
    },
    /// The nodes that rules are shared with: state, queue, differences
    #[command(args_conflicts_with_subcommands = true)]
    Peers {
        /// Wait until the rules of all peers are the same as here, and show the progress
        #[arg(long)]
        wait: bool,
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
    /// Set up the daemon of this host: interfaces, protected sources, fail2ban; safe to run again
    #[command(after_long_help = setup::SETUP)]
    Setup(SetupArgs),
    /// Look for problems: kernel, interfaces, permissions, clock, disk, daemon, peers, notifiers
    #[command(after_long_help = switch::DOCTOR)]
    Doctor(DoctorArgs),
    /// API clients and their tokens
    Clients {
        /// List the clients if omitted
        #[command(subcommand)]
        command: Option<ClientsCommand>,
    },
    /// Print a shell completion script, which completes names by asking the daemon
    #[command(after_long_help = "\
Examples:
  couicctl completions bash > /usr/local/share/bash-completion/completions/couicctl
  couicctl completions zsh > /usr/local/share/zsh/site-functions/_couicctl
  couicctl completions fish > /etc/fish/completions/couicctl.fish

Create the directory first if it is missing: install -d DIRECTORY. The script runs couicctl for each completion, which
asks the daemon for names of clients, sets, tags, notifiers and peers, for half a second at most.")]
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
        /// Also those of couic, couic-report, couicmon and couic-bouncer, section 8, and of configuration files, section 5
        #[arg(long, requires = "dir")]
        all: bool,
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
            Self::Reload { confirm } => Self::Sets {
                command: Some(SetsCommand::Reload { confirm }),
            },
            other => other,
        }
    }
}

const METRICS: &str = "\
Text format 0.0.4: for node_exporter's textfile collector, and to see what a scrape of the daemon's listener returns
([metrics] listen in couic.toml).

Example, for a timer; mv, so that the collector never reads half a file:
  couicctl metrics > /var/lib/prometheus/node-exporter/couic.prom.new
  mv /var/lib/prometheus/node-exporter/couic.prom.new /var/lib/prometheus/node-exporter/couic.prom";

/// Peers.
#[derive(Subcommand)]
pub(crate) enum PeersCommand {
    /// List all peers: state, queue, differences, last error
    List {
        /// Wait until the rules of all peers are the same as here, and show the progress
        #[arg(long)]
        wait: bool,
    },
    /// Make a token for another node, and print what that node adds to its configuration
    #[command(after_long_help = peers::INVITE)]
    Invite(InviteArgs),
    /// Remove all that came from a peer, on this node
    #[command(after_long_help = "\
Run it on every node that lists the peer. Nodes that have its rules from this one only remove them too. Revoke the peer's
token first, or it sends new ones: couicctl clients delete NAME

Example:
  couicctl peers forget frankfurt")]
    Forget {
        /// Its name, as in the list
        #[arg(add = complete::peers())]
        name: ClientName,
    },
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

impl Shell {
    /// The name, as clap_complete has it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }
}

/// Parses drop or ignore.
fn policy_parser() -> impl clap::builder::TypedValueParser<Value = Policy> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(["drop", "ignore"])
        .try_map(|text| text.parse::<Policy>())
}

/// The whole command for clap. `drop` and `ignore` share their definitions; the examples of the latter are adapted
/// here.
pub(crate) fn command() -> clap::Command {
    let command = Cli::command().mut_subcommand("ignore", |ignore| {
        let names: Vec<String> = ignore
            .get_subcommands()
            .map(|c| c.get_name().to_owned())
            .collect();
        names
            .into_iter()
            .fold(ignore, |ignore, name| ignore.mut_subcommand(name, renamed))
    });
    unwrapped(command)
}

/// Lets clap wrap the texts below the options to the terminal, and only there.
fn unwrapped(command: clap::Command) -> clap::Command {
    let command = command.mut_subcommands(unwrapped);
    match command.get_after_long_help() {
        Some(help) => {
            let help = paragraphs(&help.to_string());
            command.after_long_help(help)
        }
        None => command,
    }
}

/// Joins the lines of each paragraph. Lists and examples, which are indented, and their titles stay as they are.
fn paragraphs(text: &str) -> String {
    let mut all = String::new();
    let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
    let mut before = "";
    for line in text.lines() {
        let goes_on = is_prose(before) && is_prose(line) && !before.ends_with(':');
        if !all.is_empty() {
            all.push(if goes_on { ' ' } else { '\n' });
        }
        all += line;
        before = line;
    }
    all
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
