//! `couicctl events`.

use clap::Args;
use couic_common::Policy;

use crate::tag;

/// The explanation of `events`.
pub(crate) const EVENTS: &str = "\
Each line has the time (UTC), who, what and why. Without -f: the last changes that the daemon has kept in memory, up to
32,768 since its start. What is missing is told on stderr. With --json each event is one line; one with nothing but
\"missed\" is a gap: so many changes are missing there, or null if the daemon has been restarted.

The audit log (couicctl log) goes back further, and has more than rules.

Examples:
  couicctl events -f                         watch rules come and go
  couicctl events -f --policy drop -t 'ssh*' only bans of these tags
  couicctl events -f --json | jq -r 'select(.action == \"added\") | .cidr'";

/// Which changes to show.
#[derive(Args)]
pub(crate) struct EventsArgs {
    /// Wait for new changes, until Ctrl-C; goes on when the daemon has been restarted
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Only rules of this policy: drop or ignore
    #[arg(long)]
    pub(crate) policy: Option<Policy>,
    /// Only rules with matching tags: alternatives separated by commas, * for any characters
    #[arg(short, long, value_name = "PATTERN")]
    tag: Option<String>,
}

impl EventsArgs {
    /// The pattern of tags, mapped as tags are.
    pub(crate) fn tag(&self) -> Option<String> {
        self.tag.as_deref().map(tag::pattern)
    }
}
