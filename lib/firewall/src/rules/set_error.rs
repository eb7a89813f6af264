//! Why a set cannot be read, written or loaded.

use std::{io, path::PathBuf};

use couic_common::{CidrError, Policy, SetName};

use super::{setfile::EMPTY_ON_PURPOSE, sets::MAX_SET_FILE};

/// Why a set cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SetError {
    /// There is such a set already.
    #[error("the {policy} set {name} is there already")]
    Exists {
        /// Its policy.
        policy: Policy,
        /// Its name.
        name: SetName,
    },
    /// There is no such set.
    #[error("there is no {policy} set {name}")]
    NotFound {
        /// Its policy.
        policy: Policy,
        /// Its name.
        name: SetName,
    },
    /// A line of the file is not a CIDR.
    #[error("sets/{policy}/{file} line {line}: {}{problem}", text.as_ref().map_or(String::new(), |text| format!("{text}: ")))]
    BadLine {
        /// The set's policy.
        policy: Policy,
        /// The file's name.
        file: String,
        /// Counted from 1.
        line: u64,
        /// The text of the line, if it looks like a mistyped address.
        text: Option<String>,
        /// The reason why it is invalid.
        problem: CidrError,
    },
    /// The file has no entry any more, and does not say that this is meant.
    #[error(
        "sets/{policy}/{file} has no entry, but {} in force: did a download fail? Nothing was changed. If it is meant, remove the file or write the line \"{EMPTY_ON_PURPOSE}\" into it, and reload",
        if *rules == 1 { "a rule of it is".to_owned() } else { format!("{rules} rules of it are") }
    )]
    Emptied {
        /// The set's policy.
        policy: Policy,
        /// The file's name.
        file: String,
        /// How many of its rules are in force.
        rules: usize,
    },
    /// The file has no entry, and does not say that this is meant.
    #[error(
        "sets/{policy}/{file} has no entry: did a download fail? If it is meant, remove the file or write the line \"{EMPTY_ON_PURPOSE}\" into it"
    )]
    Empty {
        /// The set's policy.
        policy: Policy,
        /// The file's name.
        file: String,
    },
    /// The file is, or would be, larger than [`MAX_SET_FILE`].
    #[error(
        "sets/{policy}/{file} would have {size} bytes, the limit is {MAX_SET_FILE}: split the set"
    )]
    TooLarge {
        /// The set's policy.
        policy: Policy,
        /// The file's name.
        file: String,
        /// Bytes.
        size: u64,
    },
    /// The file cannot be read: it belongs to another user, or is no regular file.
    #[error("sets/{policy}/{file} cannot be read: {source}")]
    Unreadable {
        /// The set's policy.
        policy: Policy,
        /// The file's name.
        file: String,
        /// The system's error.
        source: io::Error,
    },
    /// With this set, those of its policy have more entries together than are worth comparing with the rules.
    #[error(
        "with sets/{policy}/{file} the {policy} sets have more than {most} entries together: take some out, or raise [limits] {policy}_entries and restart"
    )]
    TooMany {
        /// The set's policy.
        policy: Policy,
        /// The file's name.
        file: String,
        /// How many there may be.
        most: usize,
    },
    /// The disk failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}
