//! Why a change is not confirmable, confirmed or undone.

use std::io;

use couic_common::ConfirmId;

use super::MAX_PENDING;

/// Why a change cannot be made confirmable, confirmed or undone.
#[derive(Debug, thiserror::Error)]
pub enum ConfirmError {
    /// There are [`MAX_PENDING`] already.
    #[error(
        "{MAX_PENDING} changes wait to be confirmed, which is the most: confirm or undo some (couicctl confirm list)"
    )]
    TooMany,
    /// They would take too much memory.
    #[error(
        "the changes that wait to be confirmed are too large together: confirm or undo some, or make this change in parts"
    )]
    TooMuch,
    /// A file that is to be kept is no text.
    #[error("the present file of set {0} is not text, and cannot be kept: mend it first")]
    NotText(String),
    /// There is no such change, or it is another client's.
    #[error("no change {0} waits to be confirmed")]
    Unknown(ConfirmId),
    /// It was undone already.
    #[error("the change {0} was undone {1} s ago: make it again")]
    Undone(ConfirmId, u64),
    /// It is being made, or undone, at this moment.
    #[error("the change {0} is being made or undone at this moment: look again")]
    Busy(ConfirmId),
    /// It was taken away while it was made.
    #[error("the change is not waited for any more")]
    Gone,
    /// The way back cannot be written, so there is none.
    #[error("the record of the change cannot be written")]
    Disk(#[source] io::Error),
    /// The way back cannot be removed, so it stays.
    #[error(
        "the record of the change, in confirm in the daemon's working directory, cannot be removed, so it is NOT confirmed, and is undone at its time: mend the disk and confirm again"
    )]
    Unremoved(#[source] io::Error),
    /// It could not be undone yet.
    #[error("it could not be undone yet, and is tried again: {0}")]
    NotYet(String),
}

impl From<io::Error> for ConfirmError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}
