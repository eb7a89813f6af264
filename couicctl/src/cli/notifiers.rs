//! `couicctl notifiers`.

use clap::{Args, Subcommand};
use couic_common::NotifierName;

/// Notifiers.
#[derive(Subcommand)]
pub(crate) enum NotifiersCommand {
    /// How every notifier is: state, what waits, what was delivered, what went wrong
    List,
    /// Deliver a sample now, and say how that ended; exits with 1 where it was not delivered
    #[command(after_long_help = "\
The sample overtakes what waits. A success puts a failed notifier back to work.
Where the other side has asked to be left alone, it is left alone. Takes up to 90 s.

Example:
  couicctl notifiers test webhook")]
    Test {
        /// Its name, as in the list
        name: NotifierName,
    },
    /// List notifications that were given up, the oldest first
    #[command(after_long_help = "Example:\n  couicctl notifiers dead webhook")]
    Dead {
        /// Its name, as in the list
        name: NotifierName,
        /// At most so many, 1 to 1000
        #[arg(short = 'n', long, value_name = "COUNT", default_value = "100", value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// Only those behind this one
        #[arg(long, value_name = "KEY")]
        after: Option<u64>,
    },
    /// Put notifications that were given up back, behind what waits: all, or one
    #[command(
        after_long_help = "Examples:\n  couicctl notifiers replay webhook\n  couicctl notifiers replay webhook --key 17"
    )]
    Replay {
        /// Its name, as in the list
        name: NotifierName,
        /// Only this one
        #[arg(long)]
        key: Option<u64>,
    },
    /// Forget notifications that were given up
    #[command(
        after_long_help = "Examples:\n  couicctl notifiers discard webhook --key 17\n  couicctl notifiers discard webhook --all"
    )]
    Discard {
        /// Its name, as in the list
        name: NotifierName,
        #[command(flatten)]
        which: Which,
    },
    /// Let a failed notifier try again, and one that waits between attempts try now
    #[command(
        after_long_help = "Does not cut short a wait that the other side asked for.\n\nExample:\n  couicctl notifiers resume webhook"
    )]
    Resume {
        /// Its name, as in the list
        name: NotifierName,
    },
}

/// Which of them: said, since they are lost.
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
