//! Changes of attachments, for the log and the store of links.

use couic_common::XdpMode;
use couic_firewall::dataplane::Hook;

/// A change, to be logged and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A link is new or adopted, and to be stored.
    Filtering {
        /// The interface's.
        index: u32,
        /// The interface's.
        name: String,
        /// Its mode.
        mode: XdpMode,
        /// How it came about.
        how: How,
    },
    /// A link is detached.
    Detached {
        /// The interface's.
        index: u32,
        /// The interface's.
        name: String,
        /// Of the link.
        hook: Hook,
        /// Why.
        why: &'static str,
    },
    /// An interface should be filtered and is not.
    Failed {
        /// The interface's.
        name: String,
        /// Why.
        problem: String,
    },
}

/// How an attachment came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The interface was not filtered before.
    New,
    /// A stored link got our program.
    Adopted,
    /// It had been detached from outside.
    Reattached,
}
