//! The protocol between the serving process and its attacher: documents over a [`Channel`](couic_privsep::Channel),
//! with at most one descriptor each.
//!
//! The serving process can request only what the configuration allows: after [`Request::Start`], no request contains an
//! interface or a path, and there is one program per role.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{attachments::InterfaceState, pins::Place};
use couic_firewall::dataplane::{OperationMode, Role};

/// A request to the attacher.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The first request.
    Start(Start),
    /// One of our programs, with its descriptor.
    Program {
        /// Its role.
        role: Role,
        /// Its ID.
        id: u32,
    },
    /// A link from systemd's descriptor store, with its descriptor.
    StoredLink {
        /// Its name in the store.
        name: String,
    },
    /// The attacher's lock on the working directory, with its descriptor.
    Lock,
    /// Attach our program to all interfaces; answered by `Attached` or `Refused`.
    Attach,
    /// Check all interfaces now; a report follows.
    Check,
    /// Answered by `Alive`, unless the process is stopped or blocked.
    Probe,
    /// Detach our program from all interfaces and store nothing; answered by `Detached`.
    Detach,
}

/// The configuration of an attacher, fixed for its lifetime.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Start {
    /// `ifaces`.
    pub(crate) ifaces: Vec<String>,
    /// `operation_mode`.
    pub(crate) mode: OperationMode,
    /// Where links are stored.
    pub(crate) place: Place,
    /// The pin directory; needed to remove old pins, too, if links are stored elsewhere.
    pub(crate) pins: PathBuf,
    /// The configured user and group, as IDs.
    pub(crate) owner: (u32, u32),
    /// Milliseconds between two checks.
    pub(crate) period: u32,
}

/// A message from the attacher.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Message {
    /// It is confined, and ready for its program.
    Ready,
    /// Answer to [`Request::Attach`]: success.
    Attached,
    /// Answer to [`Request::Attach`]: failure.
    Refused(String),
    /// Answer to [`Request::Detach`].
    Detached,
    /// Answer to [`Request::Probe`].
    Alive,
    /// Part of a report: an interface.
    Interface(InterfaceState),
    /// Part of a report: another problem for health.
    Problem(String),
    /// Part of a report: why the filter does not survive this process.
    Unsaved(String),
    /// The report is complete and replaces the previous one.
    Reported,
    /// A link to be stored by systemd, with its descriptor.
    Store {
        /// Its name.
        name: String,
    },
    /// The link that systemd stores under this name is to be removed.
    Remove {
        /// Its name.
        name: String,
    },
    /// A line for the log.
    Note {
        /// Its severity.
        level: Level,
        /// The line.
        text: String,
    },
    /// An attachment differed from the configuration.
    Difference {
        /// Whether it was repaired.
        repaired: bool,
    },
}

/// The severity of a note.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Level {
    /// No action needed.
    Info,
    /// Degraded.
    Warn,
    /// Action needed.
    Error,
}

#[cfg(test)]
mod tests {
    use couic_privsep::Channel;

    use super::*;

    #[test]
    fn an_invalid_message_is_an_error_and_no_panic() {
        let (ours, theirs) = Channel::pair().unwrap();
        let theirs = Channel::new(theirs);
        for text in ["", "x", "{\"Start\":{}}", "\"Fly\""] {
            theirs.send(&text, None).unwrap();
            assert!(ours.receive::<Request>().is_err(), "{text}");
        }
    }
}
