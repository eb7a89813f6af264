//! `drop` and `ignore`: the same commands for both policies.

use std::{convert::Infallible, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use couic_common::Tag;

use super::{Confirm, force::DeleteForce};
use crate::{
    complete,
    duration::{self, Lifetime},
    input::{Network, Networks},
    tag, until,
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
  couicctl drop add 192.0.2.7 --until 2026-12-24T18:00:00Z
  couicctl drop add 192.0.2.7 --renew -e 1d        even if the entry exists
  couicctl drop add 192.0.2.7 --longer -e 1d       the same, unless it lasts longer already
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
  couicctl drop delete 192.0.2.7 --tag 'ssh-*'             only your claims with such tags
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
  couicctl drop list --sort hits --limit 20  the busiest, if the daemon counts by rule (per_rule)
  couicctl drop list -q > banned.txt         only the CIDRs; export has tags and expirations, too

On a terminal, long lists go through $PAGER, less by default. In a pipe, each entry is one line, its columns separated by
tabs. Sorted by anything but the CIDR without --limit, all entries are held in memory.")]
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
Existing entries get the new tag and expiration.
What export and list --json print is read with the tags and expirations in it; -t and -e take their place.")]
    Import(ImportArgs<F>),
    /// Print entries as import reads them, with tags and expirations
    #[command(after_long_help = "\
Examples:
  couicctl drop export > drop.ndjson
  couicctl drop import drop.ndjson           on this host or another
  couicctl drop export -t 'ssh*' > ssh.ndjson

One JSON document per line for each claim of a client. Rules of sets are left out: copy their files. So are rules that come
from peers only: they share them again.")]
    Export(ExportArgs),
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
    /// The same, but never make it shorter: of its expiration and this one the later stays
    #[arg(long)]
    pub(crate) longer: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) force: F,
}

/// Tag, expiration and reason, for one entry or many.
#[derive(Args)]
pub(crate) struct Label {
    /// A label: up to 64 letters, digits, _ and -; others become _
    #[arg(short, long, value_parser = tag::parse, add = complete::tags())]
    pub(crate) tag: Option<Tag>,
    /// Lifetime: 30s, 1m, 2h, 7d or 1h30m, seconds without a unit; never or negative: no expiration [default: never]
    #[arg(short, long, value_name = "DURATION", value_parser = duration::lifetime, allow_hyphen_values = true)]
    pub(crate) expiration: Option<Lifetime>,
    /// The same as a time: Unix seconds, RFC 3339 (2026-12-24T18:00:00Z), or never; START+DURATION counts from a time in
    /// Unix seconds, as a program has it that knows when it banned
    #[arg(long, value_name = "TIME", value_parser = until::parse, conflicts_with = "expiration")]
    pub(crate) until: Option<u64>,
    /// Why: stored with the entry (its first 200 bytes), shown by check, inspect and list, and reported
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

impl Label {
    /// Whether it says when entries end.
    pub(crate) const fn has_end(&self) -> bool {
        self.expiration.is_some() || self.until.is_some()
    }
}

/// Entries to delete.
#[derive(Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) which: Which,
    /// End the claims of all clients and peers, not only your own (group admin)
    #[arg(long)]
    pub(crate) all_owners: bool,
    /// Succeed if there is no such entry, or no claim of yours with that tag
    #[arg(long)]
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
    /// All entries with matching tags: alternatives separated by commas, * for any characters. With a CIDR, only your claims
    /// with matching tags on it
    #[arg(short, long, value_name = "PATTERN", value_parser = not_blank, add = complete::tags())]
    pub(crate) tag: Option<String>,
}

/// The entries to list, and the format.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Only entries that cover this address or network, or lie within it
    #[arg(value_name = "CIDR")]
    pub(crate) cidr: Option<Network>,
    /// The same as CIDR
    #[arg(short, long, value_name = "CIDR", conflicts_with = "cidr")]
    pub(crate) address: Option<Network>,
    /// Only entries with matching tags: alternatives separated by commas, * for any characters
    #[arg(short, long, value_name = "PATTERN", value_parser = listed, add = complete::tags())]
    pub(crate) tag: Option<String>,
    /// The order: by address, most hits first, newest first, first to expire first, or by tag
    #[arg(short, long, value_name = "KEY", value_enum, default_value_t = SortKey::Cidr)]
    pub(crate) sort: SortKey,
    /// At most so many entries
    #[arg(short = 'n', long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    /// Only the CIDRs, one per line
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SortKey {
    /// By address: IPv4 first
    Cidr,
    /// Most hits first
    Hits,
    /// Newest first
    Created,
    /// First to expire first, those that never do last
    Expires,
    /// By tag, those without one last
    Tag,
}

/// The entries to export.
#[derive(Args)]
pub(crate) struct ExportArgs {
    /// Only claims with matching tags: alternatives separated by commas, * for any characters
    #[arg(short, long, value_name = "PATTERN", value_parser = listed, add = complete::tags())]
    pub(crate) tag: Option<String>,
}

/// Entries to add.
#[derive(Args)]
pub(crate) struct ImportArgs<F: Args> {
    /// A file, or - for standard input
    pub(crate) file: PathBuf,
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
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
