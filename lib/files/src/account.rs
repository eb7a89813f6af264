//! The account that a daemon's files belong to.

/// A user and a group, by name for messages and by number for the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user's name.
    pub user: String,
    /// The group's name.
    pub group: String,
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}
