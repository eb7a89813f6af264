//! `sets`: the set files of the daemon.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use couic_common::{Policy, SetName};
use couic_feeds::asn::Asn;

use super::{Confirm, force::SetForce, policy_parser};
use crate::{complete, input::Networks};

const SOURCES: &str = "\
Examples:
  couicctl sets VERB drop spamhaus --from-file drop.txt
  couicctl sets VERB ignore office 198.51.100.0/24 2001:db8::/32
  couicctl sets VERB drop badnet --from-asn AS64496
  curl -fsS https://lists.example/bad.txt | couicctl sets VERB drop bad --from-file -

Sources are combined, without duplicates. Files are read as by couicctl drop import; JSON with --field.
--from-asn queries an online source (asn_url in couicctl.toml, RIPEstat by default) from this host.
Rules change at the next couicctl sets reload; with --apply, those of this set change at once.";

/// Operations on sets.
#[derive(Subcommand)]
pub(crate) enum SetsCommand {
    /// List the sets of a policy, or of both
    List {
        /// drop or ignore [default: both]
        #[arg(value_parser = policy_parser())]
        policy: Option<Policy>,
    },
    /// Show the entries of a set, from its file
    Inspect {
        #[command(flatten)]
        set: SetArg,
        /// Only the CIDRs, one per line
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
        apply: Apply,
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
        apply: Apply,
        #[command(flatten)]
        confirm: Confirm,
        #[command(flatten)]
        force: SetForce,
    },
    /// Delete a set
    #[command(
        after_long_help = "Rules change at the next couicctl sets reload; with --apply, those of this set go at once."
    )]
    Delete {
        #[command(flatten)]
        set: SetArg,
        #[command(flatten)]
        apply: Apply,
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Apply the set files to the rules
    #[command(after_long_help = "\
All or nothing: if a file has an invalid line, file and line are reported and no rule changes.
Rules whose files did not change are not touched, so no packet slips through in the meantime.")]
    Reload {
        #[command(flatten)]
        confirm: Confirm,
    },
}

/// A set.
#[derive(Args)]
pub(crate) struct SetArg {
    /// drop or ignore
    #[arg(value_parser = policy_parser())]
    pub(crate) policy: Policy,
    /// The name of the set: 1 to 48 letters, digits, _ and -
    #[arg(add = complete::sets())]
    pub(crate) name: SetName,
}

/// Whether rules change, too.
#[derive(Args)]
pub(crate) struct Apply {
    /// Change file and rules of this set together, all or nothing; other sets are not looked at
    #[arg(long = "apply")]
    pub(crate) now: bool,
}

/// Sources of the entries of a set, at least one.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct SetSource {
    /// ADDRESS/PREFIX, an address for its /32 or /128, or a range FIRST-LAST
    #[arg(value_name = "CIDR")]
    pub(crate) cidrs: Vec<Networks>,
    /// A file with one CIDR per line, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,
    /// The file is JSON: read the networks from the fields of this name; may be repeated
    #[arg(long, value_name = "NAME", requires = "from_file")]
    pub(crate) field: Vec<String>,
    /// The prefixes that an autonomous system announces
    #[arg(long, value_name = "AS")]
    pub(crate) from_asn: Option<Asn>,
}
