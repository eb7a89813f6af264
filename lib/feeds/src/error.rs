//! What can fail, as the operator is told it.

use std::io;

use crate::{config::FeedMistake, feeds::MOST_FEEDS};

/// The feeds cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A feed of the configuration is wrong; all mistakes by feed.
    #[error("{}", .0.iter().map(|(feed, m)| format!("feed {feed}: {}: {}", m.key, m.message)).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<(String, FeedMistake)>),
    /// Two feeds have this name.
    #[error("two feeds have the name {0}")]
    Twice(String),
    /// There are more than [`MOST_FEEDS`].
    #[error("there are more than {MOST_FEEDS} feeds")]
    Many,
    /// The state cannot be read or written.
    #[error("the state of feeds cannot be kept: {0}")]
    Io(#[from] io::Error),
}

/// What was asked of a feed cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// There is no feed of this name.
    #[error("there is no feed {0}")]
    Unknown(String),
    /// No list is held back.
    #[error("no list of feed {0} is held back")]
    NothingHeld(String),
    /// Another list is held back by now; this is its checksum.
    #[error("another list is held back by now, {0}: look at it with couic-bouncer feeds list")]
    OtherHeld(String),
    /// There is no new list, and why.
    #[error("{0}")]
    Failed(String),
    /// The state cannot be read or written.
    #[error("the state of feeds cannot be kept: {0}")]
    Io(#[from] io::Error),
}
