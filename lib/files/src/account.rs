//! The account that owns a daemon's files.

/// A user and a group, by name for messages and by ID for the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub user: String,
    /// The group's name.
    pub group: String,
    /// The user's ID.
    pub uid: u32,
    /// The group's ID.
    pub gid: u32,
}
