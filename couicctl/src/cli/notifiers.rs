//! `couicctl notifiers`.

use clap::{Args, Subcommand};
use couic_common::NotifierName;

use crate::complete;

/// Notifiers.
#[derive(Subcommand)]
pub(crate) enum NotifiersCommand {
    /// List all notifiers: state, queue, deliveries, problems
    List,
    /// Deliver a sample now and show the result; exits with 1 if it was not delivered
    #[command(after_long_help = "\
The sample bypasses the queue. A success resumes a failed notifier.
No sample is sent while the receiver has asked for a pause. Takes up to 90 s.

Example:
  couicctl notifiers test webhook")]
    Test {
        /// Its name, as in the list
        #[arg(add = complete::notifiers())]
        name: NotifierName,
    },
    /// List dead letters, the notifications that could not be delivered; oldest first
    #[command(after_long_help = "Example:\n  couicctl notifiers dead webhook")]
    Dead {
        /// Its name, as in the list
        #[arg(add = complete::notifiers())]
        name: NotifierName,
        /// Maximum number, 1 to 1000
        #[arg(short = 'n', long, value_name = "COUNT", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only those after this key
        #[arg(long, value_name = "KEY")]
        after: Option<u64>,
    },
    /// Append dead letters to the queue again: all, or one
    #[command(
        after_long_help = "Examples:\n  couicctl notifiers replay webhook\n  couicctl notifiers replay webhook --key 17"
    )]
    Replay {
        /// Its name, as in the list
        #[arg(add = complete::notifiers())]
        name: NotifierName,
        /// Only this one
        #[arg(long)]
        key: Option<u64>,
    },
    /// Delete dead letters
    #[command(
        after_long_help = "Examples:\n  couicctl notifiers discard webhook --key 17\n  couicctl notifiers discard webhook --all"
    )]
    Discard {
        /// Its name, as in the list
        #[arg(add = complete::notifiers())]
        name: NotifierName,
        #[command(flatten)]
        which: Which,
    },
    /// Resume a failed notifier, or end the backoff of a retrying one
    #[command(
        after_long_help = "Ends a pause that the receiver asked for, too.\n\nExample:\n  couicctl notifiers resume webhook"
    )]
    Resume {
        /// Its name, as in the list
        #[arg(add = complete::notifiers())]
        name: NotifierName,
    },
}

/// The letters to delete. Required, since they are lost.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// This one
    #[arg(long)]
    pub(crate) key: Option<u64>,
    /// All
    #[arg(long)]
    all: bool,
}
