//! `drop` and `ignore`: the same commands for both policies.

use std::{convert::Infallible, path::PathBuf};

use clap::{Args, Subcommand};
use couic_common::Tag;

use super::{Confirm, force::DeleteForce};
use crate::{
    duration::{self, Lifetime},
    input::{Network, Networks},
    tag,
};

/// The commands of a policy.
#[derive(Args)]
pub(crate) struct EntryArgs<F: Args> {
    #[command(subcommand)]
    pub(crate) command: EntryCommand<F>,
}

/// Operations on the entries of a policy.
#[derive(Subcommand)]
pub(crate) enum EntryCommand<F: Args> {
    /// Add entries
    #[command(after_long_help = "\
Examples:
  couicctl drop add 192.0.2.7                      without expiration
  couicctl drop add 192.0.2.7 198.51.100.0/24      several
  couicctl drop add 192.0.2.10-192.0.2.20          the addresses of a range
  couicctl drop add 192.0.2.7 -t ssh-scan -e 2h    for two hours, with a tag
  couicctl drop add 192.0.2.7 --renew -e 1d        even if the entry exists
  couicctl drop add 192.0.2.7 --reason 'ticket 4711'  why, as couicctl why 192.0.2.7 shows it
  couicctl drop add 10.0.0.0/8 --confirm-within 1m undone after a minute without couicctl confirm

Without --renew, adding an existing entry fails. --renew changes only your own claim with that tag: claims of others,
and yours with other tags, go on.")]
    Add(AddArgs<F>),
    /// Delete entries, or all entries with matching tags
    #[command(after_long_help = "\
Examples:
  couicctl drop delete 192.0.2.7
  couicctl drop delete 192.0.2.7 198.51.100.0/24
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
  couicctl drop list 192.0.2.7               those that cover this address
  couicctl drop list 192.0.2.0/24            those that cover this network or lie within
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
  couicctl ignore import ip-ranges.json --field ip_prefix --field ipv6_prefix

One CIDR, address, range (192.0.2.1-192.0.2.9) or netmask per line; # and ; start comments. JSON, as one document or one
per line, is read with --field. A file with an invalid line, or an empty one, is rejected as a whole.
Existing entries get the new tag and expiration.")]
    Import(ImportArgs<F>),
}

/// Entries to add.
#[derive(Args)]
pub(crate) struct AddArgs<F: Args> {
    /// ADDRESS/PREFIX, an address for its /32 or /128, or a range FIRST-LAST
    #[arg(required = true, value_name = "CIDR")]
    pub(crate) cidrs: Vec<Networks>,
    #[command(flatten)]
    pub(crate) label: Label,
    /// If the entry exists, renew your claim with that tag, or add one
    #[arg(long)]
    pub(crate) renew: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) force: F,
}

/// Tag, expiration and reason, for one entry or many.
#[derive(Args)]
pub(crate) struct Label {
    /// A label: up to 64 letters, digits, _ and -; others become _
    #[arg(short, long, value_parser = tag::parse)]
    pub(crate) tag: Option<Tag>,
    /// Lifetime: 30s, 1m, 2h, 7d or 1h30m, seconds without a unit; never or negative: no expiration [default: never]
    #[arg(short, long, value_name = "DURATION", value_parser = duration::lifetime, allow_hyphen_values = true)]
    pub(crate) expiration: Option<Lifetime>,
    /// Why: stored with the entry (its first 200 bytes), shown by check, inspect and list, and reported
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
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
    #[arg(long, requires = "cidrs")]
    pub(crate) if_exists: bool,
    /// Why: goes to reports
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) force: DeleteForce,
}

/// The entries to delete.
#[derive(Args)]
#[group(required = true, multiple = true)]
pub(crate) struct Which {
    /// ADDRESS/PREFIX, an address for its /32 or /128, or a range FIRST-LAST
    #[arg(value_name = "CIDR")]
    pub(crate) cidrs: Vec<Networks>,
    /// All entries with matching tags: alternatives separated by commas, * for any characters. With a CIDR, one tag: only
    /// your claim with it
    #[arg(short, long, value_name = "PATTERN", value_parser = not_blank)]
    pub(crate) tag: Option<String>,
}

/// The entries to list, and the format.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only entries that cover this address or network, or lie within it
    #[arg(value_name = "CIDR", conflicts_with = "tag")]
    pub(crate) cidr: Option<Network>,
    /// Only entries with matching tags: alternatives separated by commas, * for any characters
    #[arg(short, long, value_name = "PATTERN", value_parser = listed)]
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
    /// The file is JSON: read the networks from the fields of this name; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) field: Vec<String>,
    #[command(flatten)]
    pub(crate) label: Label,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) force: F,
}

/// Rejects empty alternatives: an unset shell variable would otherwise match all entries without a tag.
fn not_blank(text: &str) -> Result<String, String> {
    if text.split(',').any(|part| part.trim().is_empty()) {
        return Err("a pattern cannot be empty; untagged matches entries without a tag".into());
    }
    Ok(tag::pattern(text))
}

fn listed(text: &str) -> Result<String, Infallible> {
    Ok(tag::pattern(text))
}
