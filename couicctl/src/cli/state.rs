//! `export`, `diff` and `apply`: rules, sets and clients as a file.

use std::path::PathBuf;

use clap::Args;
use couic_common::ClientName;

use super::{Confirm, force::Force};
use crate::{complete, tag};

pub(super) const EXPORT: &str = "\
Examples:
  couicctl export > state.toml
  couicctl export -t 'infra-*' > infra.toml
  couicctl diff -f state.toml          what has changed since, exit code 1 if anything has

Rules are those of this token's client, by tag, with their expirations and reasons. Tokens are never in it. Sets are all of
this host's, also those with its own addresses ([sets.ignore.setup] of couicctl setup): remove what is not for other hosts.
With -t it has neither sets nor clients. For the rules of all clients, as couicctl drop import reads them: couicctl drop
export.";

pub(super) const DIFF: &str = "\
Examples:
  couicctl diff -f state.toml
  couicctl diff -f state.toml --json | jq -r '.changes[].cidr'

A line for each difference: + is in the file only, - in the daemon only, ~ differs. What the file neither names nor owns is
no difference.

Exit codes:
  0   the same
  1   differs
  2   the file is wrong, or the daemon refused; 3 and 64 as ever";

pub(super) const APPLY: &str = "\
Examples:
  couicctl apply -f state.toml --plan                  what it would do; exit codes as diff
  couicctl apply -f state.toml
  couicctl apply -f state.toml --confirm-within 60s    then couicctl confirm

What the file names is made as the file says; what it does not name stays, but for what its [owns] covers. Bans of other
clients and of peers are never touched. A second run changes nothing. The first step that fails ends it: what is done and
what is not is printed, and the next run goes on from there.

Exit codes:
  0   all is as the file says; with --plan: nothing would be done
  1   with --plan: something would be done
  1   a step failed: in force in part
  2   the file is wrong, or something is in the way; nothing was changed";

/// What to export.
#[derive(Args)]
pub(crate) struct StateExportArgs {
    /// Only rules with matching tags, no sets and no clients: alternatives separated by commas, * for any characters
    #[arg(short, long, value_name = "PATTERN", value_parser = listed, add = complete::tags())]
    pub(crate) tag: Option<String>,
    /// The client whose token this is, if the token may not list clients
    #[arg(long, value_name = "NAME")]
    pub(crate) client: Option<ClientName>,
}

fn listed(text: &str) -> Result<String, std::convert::Infallible> {
    Ok(tag::pattern(text))
}

/// What to compare with.
#[derive(Args)]
pub(crate) struct DiffArgs {
    /// The state file, or - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
}

/// What to apply.
#[derive(Args)]
pub(crate) struct ApplyArgs {
    /// The state file, or - for standard input
    #[arg(short, long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) plan: bool,
    /// Delete clients whose group or limits differ, and create them again: their tokens end, new ones go to token_file
    #[arg(long)]
    pub(crate) replace_clients: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) force: Force,
}
