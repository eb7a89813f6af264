//! `sets`: the set files of the daemon.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use couic_common::{Cidr, Policy, SetName};

use super::Confirm;
use crate::asn::Asn;

const SOURCES: &str = "\
Examples:
  couicctl sets VERB drop spamhaus --from-file drop.txt
  couicctl sets VERB ignore office 198.51.100.0/24 2001:db8::/32
  couicctl sets VERB drop badnet --from-asn AS64496
  curl -fsS https://lists.example/bad.txt | couicctl sets VERB drop bad --from-file -

Sources add up, and duplicates are taken once. Files hold one CIDR or address a line; # and ; begin comments.
--from-asn asks an online source (asn_url in couicctl.toml, RIPEstat by default), from this machine.
Rules change at the next couicctl sets reload.";

/// What can be done to sets.
#[derive(Subcommand)]
pub(crate) enum SetsCommand {
    /// List the sets of a policy
    List {
        /// drop or ignore
        #[arg(value_parser = policy_parser())]
        policy: Policy,
    },
    /// Show the entries of a set, as its file has them
    Inspect {
        #[command(flatten)]
        set: SetArg,
        /// Only the CIDRs, one a line
        #[arg(short, long)]
        quiet: bool,
    },
    /// Write a new set
    #[command(after_long_help = SOURCES.replace("VERB", "create"))]
    Create {
        #[command(flatten)]
        set: SetArg,
        #[command(flatten)]
        source: SetSource,
        #[command(flatten)]
        confirm: Confirm,
        #[command(flatten)]
        force: SetForce,
    },
    /// Replace all entries of a set
    #[command(after_long_help = SOURCES.replace("VERB", "update"))]
    Update {
        #[command(flatten)]
        set: SetArg,
        #[command(flatten)]
        source: SetSource,
        #[command(flatten)]
        confirm: Confirm,
        #[command(flatten)]
        force: SetForce,
    },
    /// Delete a set
    #[command(after_long_help = "Rules change at the next couicctl sets reload.")]
    Delete {
        #[command(flatten)]
        set: SetArg,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Make the rules what the set files say
    #[command(after_long_help = "\
All or nothing: where a file has a bad line, file and line are named and no rule changes.
What did not change in the files is not touched, so no packet slips through meanwhile.")]
    Reload {
        #[command(flatten)]
        confirm: Confirm,
    },
}

/// Which set.
#[derive(Args)]
pub(crate) struct SetArg {
    /// drop or ignore
    #[arg(value_parser = policy_parser())]
    pub(crate) policy: Policy,
    /// The name of the set: 1 to 48 letters, digits, _ and -
    pub(crate) name: SetName,
}

/// Where the entries of a set come from. At least one source is named.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct SetSource {
    /// ADDRESS/PREFIX, or an address for its /32 or /128
    #[arg(value_parser = Cidr::parse_lenient)]
    pub(crate) cidrs: Vec<Cidr>,
    /// A file with one CIDR a line, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,
    /// The prefixes that an autonomous system announces
    #[arg(long, value_name = "AS")]
    pub(crate) from_asn: Option<Asn>,
}

/// The override of the guard rails, which sets of policy drop have.
#[derive(Args)]
pub(crate) struct SetForce {
    /// In sets of drop, take even what would cut off this host, its gateway or your own SSH session
    #[arg(long)]
    pub(crate) force: bool,
}

fn policy_parser() -> impl clap::builder::TypedValueParser<Value = Policy> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(["drop", "ignore"])
        .try_map(|text| text.parse::<Policy>())
}
