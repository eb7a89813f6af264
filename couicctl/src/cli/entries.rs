//! `drop` and `ignore`: the same commands for both policies. Only `drop` has guard rails to override.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use couic_common::Tag;

use super::Confirm;
use crate::{duration, input::Network};

/// The commands of a policy.
#[derive(Args)]
pub(crate) struct EntryArgs<F: Args> {
    #[command(subcommand)]
    pub(crate) command: EntryCommand<F>,
}

/// Operations on the entries of a policy.
#[derive(Subcommand)]
pub(crate) enum EntryCommand<F: Args> {
    /// Add an entry
    #[command(after_long_help = "\
Examples:
  couicctl drop add 192.0.2.7                      without expiration
  couicctl drop add 192.0.2.7 -t ssh-scan -e 2h    for two hours, with a tag
  couicctl drop add 192.0.2.7 --renew -e 1d        even if the entry exists
  couicctl drop add 10.0.0.0/8 --confirm-within 1m undone after a minute without couicctl confirm

Without --renew, adding an existing entry fails. --renew changes only your own claim with that tag: claims of others,
and yours with other tags, go on.")]
    Add(AddArgs<F>),
    /// Delete an entry, or all entries with matching tags
    #[command(after_long_help = "\
Examples:
  couicctl drop delete 192.0.2.7
  couicctl drop delete 192.0.2.7 --tag sshd --if-exists    as a program unbans
  couicctl drop delete 192.0.2.7 --all-owners              whoever else holds it
  couicctl drop delete --tag 'ssh-*'

It releases your own claims. An entry that other clients or peers hold too stays in force, and they are named.
Entries of sets (their tag ends in .couic) are changed with couicctl sets.")]
    Delete(DeleteArgs),
    /// List entries
    #[command(after_long_help = "\
Examples:
  couicctl drop list
  couicctl drop list -t 'ssh*,untagged'      by tag; untagged matches entries without a tag
  couicctl drop list -q > banned.txt         only the CIDRs, as import reads them")]
    List(ListArgs),
    /// Show one entry
    #[command(after_long_help = "\
Example:
  couicctl drop inspect 192.0.2.0/24

Shows the entry with exactly this CIDR; couicctl check ADDRESS shows all that cover an address.")]
    Inspect {
        /// ADDRESS/PREFIX, or an address for its /32 or /128
        cidr: Network,
    },
    /// Add or renew many entries at once, from a file
    #[command(after_long_help = "\
Examples:
  couicctl drop import banned.txt -t blocklist -e 1d
  curl -fsS https://lists.example/bad.txt | couicctl drop import - -t blocklist

One CIDR or address per line; # and ; start comments. A file with an invalid line is rejected as a whole.
Existing entries get the new tag and expiration.")]
    Import(ImportArgs<F>),
}

/// An entry to add.
#[derive(Args)]
pub(crate) struct AddArgs<F: Args> {
    /// ADDRESS/PREFIX, or an address for its /32 or /128
    pub(crate) cidr: Network,
    #[command(flatten)]
    pub(crate) label: Label,
    /// If the entry exists, update its tag and expiration
    #[arg(long)]
    pub(crate) renew: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) force: F,
}

/// Tag and expiration, for one entry or many.
#[derive(Args)]
pub(crate) struct Label {
    /// A label: up to 64 letters, digits, _ and -
    #[arg(short, long, value_parser = parse_tag)]
    pub(crate) tag: Option<Tag>,
    /// Lifetime: 30s, 1m, 2h, 7d or 1h30m [default: no expiration]
    #[arg(short, long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) expiration: Option<Duration>,
}

/// Entries to delete.
#[derive(Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// End the claims of all clients and peers, not only your own (group admin)
    #[arg(long)]
    pub(crate) all_owners: bool,
    /// Succeed if there is no such entry, or no claim of yours with that tag on it
    #[arg(long, requires = "cidr")]
    pub(crate) if_exists: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
}

/// The entries to delete.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Which {
    /// ADDRESS/PREFIX, or an address for its /32 or /128
    pub(crate) cidr: Option<Network>,
    /// All entries with matching tags: alternatives separated by commas, * for any characters. With a CIDR, one tag: only
    /// your claim with it
    #[arg(short, long, value_name = "PATTERN", value_parser = not_blank)]
    pub(crate) tag: Option<String>,
}

/// The entries to list, and the format.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only entries with matching tags: alternatives separated by commas, * for any characters
    #[arg(short, long, value_name = "PATTERN")]
    pub(crate) tag: Option<String>,
    /// Only the CIDRs, one per line
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// Entries to add.
#[derive(Args)]
pub(crate) struct ImportArgs<F: Args> {
    /// A file, or - for standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) label: Label,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) force: F,
}

/// The guard rail override of policy drop.
#[derive(Args)]
pub(crate) struct Force {
    /// Ban even a very short prefix, or one that would cut off the host, its gateway or your own SSH session
    #[arg(long)]
    pub(crate) force: bool,
}

/// Policy ignore has no guard rails.
#[derive(Args)]
pub(crate) struct NoForce {}

/// The guard rails, by the command line.
pub(crate) trait Override {
    /// `Some` if the policy has guard rails: whether they are overridden.
    fn guard(&self) -> Option<bool>;
}

impl Override for Force {
    fn guard(&self) -> Option<bool> {
        Some(self.force)
    }
}

impl Override for NoForce {
    fn guard(&self) -> Option<bool> {
        None
    }
}

fn parse_tag(text: &str) -> Result<Tag, String> {
    match Tag::parse(text) {
        Ok(Some(tag)) => Ok(tag),
        Ok(None) => Err("a tag cannot be empty; leave out -t for an entry without a tag".into()),
        Err(error) => Err(error.to_string()),
    }
}

/// Rejects empty alternatives: an unset shell variable would otherwise match all entries without a tag.
fn not_blank(text: &str) -> Result<String, String> {
    if text.split(',').any(|part| part.trim().is_empty()) {
        return Err("a pattern cannot be empty; untagged matches entries without a tag".into());
    }
    Ok(text.to_owned())
}
