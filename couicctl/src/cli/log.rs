//! `couicctl log`.

use std::time::Duration;

use clap::Args;
use couic_common::Policy;

use crate::{duration, input::Network, tag};

/// The explanation of `log`.
pub(crate) const LOG: &str = "\
Each line has the time (UTC), who, what and why, and in brackets the request and where it came from. Oldest first.
With --json: the entries as one document, newest first; with -f as one line each.

Examples:
  couicctl log --address 192.0.2.7           everything that happened to this address
  couicctl log --since 1h --actor web-1      what this client did in the last hour
  couicctl log --action panic_on -n 5        who switched the filter off
  couicctl log -f                            watch changes as they are made";

/// Which entries to show.
#[derive(Args)]
pub(crate) struct LogArgs {
    /// Maximum number of entries, 1 to 1000
    #[arg(short = 'n', long, value_name = "COUNT", default_value = "50", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) limit: u64,
    /// Only entries of this last time, such as 30m or 2d
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    pub(crate) since: Option<Duration>,
    /// Only entries that are older than this
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "follow")]
    pub(crate) until: Option<Duration>,
    /// Only rules that cover this address or network, or lie within it
    #[arg(long, value_name = "CIDR")]
    pub(crate) address: Option<Network>,
    /// Only rules with matching tags: alternatives separated by commas, * for any characters
    #[arg(short, long, value_name = "PATTERN")]
    tag: Option<String>,
    /// Only what this client, peer or set did, or expiry, or daemon; * for any characters
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// Only this action: added, updated, released, removed, refused, panic_on, sets_reloaded and so on
    #[arg(long)]
    pub(crate) action: Option<String>,
    /// Only rules and sets of this policy: drop or ignore
    #[arg(long)]
    pub(crate) policy: Option<Policy>,
    /// Go on with new entries until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,
}

impl LogArgs {
    /// The pattern of tags, mapped as tags are.
    pub(crate) fn tag(&self) -> Option<String> {
        self.tag.as_deref().map(tag::pattern)
    }
}
