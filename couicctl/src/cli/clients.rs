//! `clients`: the tokens of the API.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use couic_common::{ClientName, Group, ROTATE_GRACE_MAX};

use super::limits::LimitArgs;
use crate::{complete, duration};

/// Tokens.
#[derive(Subcommand)]
pub(crate) enum ClientsCommand {
    /// Create a client, and show its token
    #[command(after_long_help = "\
Examples:
  couicctl clients add -n fail2ban -g clientrw
  couicctl clients add -n couicmon -g clientrw --policy drop --tag 'mon-*' --widest 24,48 --longest 7d \\
    --token-file /etc/couicmon/token --owner couicmon
  couicctl clients add -n couic-bouncer -g clientrw --policy drop --tag 'cs-*' --set 'feed-*' --widest 8,16 \\
    --token-file /etc/couic-bouncer/token --owner couic-bouncer

The token is shown, or written, this once: the daemon keeps its hash. A client with limits changes rules one by one, in
batches or by tag, and of sets only those that --set names, with --apply; all guard rails hold for it. What its limits refuse
is answered with 403, too many adds with 429.")]
    Add(Box<NewClient>),
    /// List all clients
    List {
        /// With the tokens that the daemon knows: that of couicctl, of an older daemon all
        #[arg(long)]
        show_tokens: bool,
    },
    /// Show one client, its limits and when its token ends
    Inspect {
        /// Its name
        #[arg(add = complete::clients())]
        name: ClientName,
    },
    /// Give a client a new token, and show it; the old one is accepted for a while
    #[command(after_long_help = "\
Examples:
  couicctl clients rotate fail2ban                   the old token is accepted for another minute
  couicctl clients rotate fail2ban --grace 1h        time to bring the new one to many hosts
  couicctl clients rotate fail2ban --grace 0         refuse the old one at once, as after a leak
  couicctl clients rotate couicctl                   couicctl's own token: its file is rewritten

A restart of the daemon ends the grace early. A client that is rotated again has only its last two tokens.")]
    Rotate {
        /// Its name
        #[arg(add = complete::clients())]
        name: ClientName,
        /// How long the old token is accepted, up to 1d
        #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = grace)]
        grace: Duration,
        /// Write the new token to this file instead, in place of the old one: its owner and mode stay
        #[arg(long, value_name = "PATH")]
        token_file: Option<PathBuf>,
    },
    /// Delete a client and revoke its token
    Delete {
        /// Its name
        #[arg(add = complete::clients())]
        name: ClientName,
    },
}

/// A client to create.
#[derive(Args)]
pub(crate) struct NewClient {
    /// A new name: 1 to 48 letters, digits, _ and -
    #[arg(short, long)]
    pub(crate) name: ClientName,
    /// Its group, which determines its rights
    #[arg(short, long)]
    pub(crate) group: GroupArg,
    #[command(flatten)]
    pub(crate) limits: LimitArgs,
    /// Write the token to this new file, mode 0600, instead of showing it
    #[arg(long, value_name = "PATH")]
    pub(crate) token_file: Option<PathBuf>,
    /// The user that the file belongs to [default: who runs couicctl]
    #[arg(long, value_name = "USER", requires = "token_file")]
    pub(crate) owner: Option<String>,
}

/// The groups, as arguments.
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
    /// The peer routes only
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

fn grace(text: &str) -> Result<Duration, String> {
    if text == "0" || text == "0s" {
        return Ok(Duration::ZERO);
    }
    let grace = duration::parse(text)?;
    if grace.as_secs() > ROTATE_GRACE_MAX {
        return Err("at most 1d".to_owned());
    }
    Ok(grace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_or_a_day_at_most() {
        assert_eq!(grace("0"), Ok(Duration::ZERO));
        assert_eq!(grace("1d"), Ok(Duration::from_secs(86_400)));
        assert!(grace("1d1s").is_err() && grace("60").is_err());
    }

    #[test]
    fn every_group_is_an_argument() {
        for group in Group::ALL {
            let arg = GroupArg::from_str(group.as_str(), false).unwrap();
            assert_eq!(Group::from(arg), group);
        }
    }
}
