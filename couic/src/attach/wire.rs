//! The protocol between the serving process and its attacher: documents over a [`Channel`](couic_privsep::Channel),
//! with at most one descriptor each.
//!
//! The serving process can request only what the configuration allows: after [`Request::Start`], no request contains an
//! interface or a path. [`Sequence`] admits one program per role, and none once [`Request::Verified`] was sent, which
//! the serving process does before it serves: whoever steers it later can have no other program attached.

use std::{collections::BTreeSet, path::PathBuf};

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
    /// All programs were sent: the verified ones of this start. No descriptor is taken from now on.
    Verified,
    /// A link from systemd's descriptor store, with its descriptor.
    StoredLink {
        /// Its name in the store.
        name: String,
    },
    /// The attacher's lock on the working directory, with its descriptor.
    Lock,
    /// Attach our program to all interfaces, once; answered by `Attached` or `Refused`.
    Attach,
    /// Check all interfaces now; a report follows.
    Check,
    /// Answered by `Alive`, unless the process is stopped or blocked.
    Probe,
    /// Detach our program from all interfaces and store nothing; answered by `Detached`. Nothing is attached again.
    Detach,
}

/// Stored links of a start: more than systemd keeps for the unit.
const MOST_LINKS: usize = 4096;

/// Which requests are in order. Each one is admitted in one state, so that a serving process in foreign hands can neither
/// exchange the program nor leave descriptors with the attacher.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    stage: Stage,
    has_lock: bool,
    roles: BTreeSet<Role>,
    links: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// Descriptors are taken.
    #[default]
    Setup,
    Verified,
    Attached,
    Detached,
}

impl Sequence {
    /// Whether this request is in order now, with a descriptor or without. One that is refused changes nothing.
    pub(crate) fn admit(&mut self, request: &Request, has_descriptor: bool) -> bool {
        let setup = self.stage == Stage::Setup && has_descriptor;
        let next = match (self.stage, request) {
            (_, Request::Lock) if setup && !self.has_lock => {
                self.has_lock = true;
                self.stage
            }
            (_, Request::StoredLink { .. }) if setup && self.links < MOST_LINKS => {
                self.links += 1;
                self.stage
            }
            (_, Request::Program { role, .. }) if setup && self.roles.insert(*role) => self.stage,
            (Stage::Setup, Request::Verified) => Stage::Verified,
            (Stage::Verified, Request::Attach) => Stage::Attached,
            (Stage::Attached, Request::Check) | (_, Request::Probe) => self.stage,
            (_, Request::Detach) => Stage::Detached,
            _ => return false,
        };
        self.stage = next;
        true
    }
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
    use proptest::prelude::*;

    use super::*;

    fn program(role: Role) -> Request {
        Request::Program { role, id: 1 }
    }

    fn any_request() -> impl Strategy<Value = Request> {
        let name = || "if1".to_owned();
        (0..9_u8).prop_map(move |kind| match kind {
            0 => program(Role::Ethernet),
            1 => program(Role::Ip),
            2 => program(Role::Tcx),
            3 => Request::Verified,
            4 => Request::StoredLink { name: name() },
            5 => Request::Lock,
            6 => Request::Attach,
            7 => Request::Check,
            _ => Request::Detach,
        })
    }

    proptest! {
        /// Whatever is sent in whatever order.
        #[test]
        fn only_programs_sent_before_verified_are_ever_attached(
            requests in prop::collection::vec((any_request(), any::<bool>()), 0..60),
        ) {
            let mut sequence = Sequence::default();
            let (mut locks, mut attached, mut verified, mut detached) = (0, 0, false, false);
            let mut programs = Vec::new();
            for (request, has_descriptor) in requests {
                if !sequence.admit(&request, has_descriptor) {
                    continue;
                }
                prop_assert!(matches!(request, Request::Detach) || !detached);
                match request {
                    Request::Lock => locks += 1,
                    Request::Attach => attached += 1,
                    Request::Verified => verified = true,
                    Request::Detach => detached = true,
                    Request::Program { role, .. } => {
                        prop_assert!(has_descriptor && !verified && !programs.contains(&role));
                        programs.push(role);
                    }
                    Request::StoredLink { .. } => prop_assert!(!verified && attached == 0),
                    _ => prop_assert!(attached > 0),
                }
                prop_assert!(locks <= 1 && attached <= 1);
                prop_assert!(attached == 0 || verified);
            }
        }
    }

    #[test]
    fn the_requests_of_a_start_are_in_order() {
        let mut sequence = Sequence::default();
        let link = Request::StoredLink {
            name: "xdp-if2".to_owned(),
        };
        for (request, has_descriptor) in [
            (Request::Lock, true),
            (link, true),
            (program(Role::Ethernet), true),
            (program(Role::Ip), true),
            (Request::Verified, false),
            (Request::Attach, false),
            (Request::Probe, false),
            (Request::Check, false),
            (Request::Detach, false),
        ] {
            assert!(sequence.admit(&request, has_descriptor), "{request:?}");
        }
    }

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
