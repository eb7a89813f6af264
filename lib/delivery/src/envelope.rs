//! The format of an event in the spool: a tag, a time, and JSON.
//!
//! Queued notifications and dead letters share one log, so that one becomes the other in one group commit.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use couic_plugin_api::{Kind, Notification};

const HEAD: usize = 9;
/// Estimated sizes, so that the buffer of a long list is not reallocated again and again.
const ROOM: usize = 512;
const REPORT_ROOM: usize = 192;
const WAITING: u8 = 0;
const DEAD: u8 = 1;

/// A notification that is not delivered unless an operator replays it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Dead {
    pub(super) reason: String,
    /// None if it cannot be read.
    pub(super) notification: Option<Notification>,
}

/// A stored event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Envelope<'a> {
    /// Accepted at this time.
    Waiting { at: u64, json: &'a [u8] },
    /// Given up at this time; the JSON of a [`Dead`].
    Dead { at: u64, json: &'a [u8] },
}

impl<'a> Envelope<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (head, json) = bytes.split_at_checked(HEAD)?;
        let at = u64::from_le_bytes(head[1..].try_into().ok()?);
        match head[0] {
            WAITING => Some(Self::Waiting { at, json }),
            DEAD => Some(Self::Dead { at, json }),
            _ => None,
        }
    }
}

/// Seals a notification that was accepted at this time.
pub(super) fn waiting(at: u64, notification: &Notification) -> serde_json::Result<Arc<[u8]>> {
    let reports = match &notification.kind {
        Kind::Reports(reports) => reports.len(),
        _ => 0,
    };
    seal(WAITING, at, notification, ROOM + reports * REPORT_ROOM)
}

/// Seals a dead letter.
pub(super) fn dead(at: u64, dead: &Dead) -> serde_json::Result<Arc<[u8]>> {
    seal(DEAD, at, dead, ROOM)
}

fn seal(tag: u8, at: u64, content: &impl Serialize, room: usize) -> serde_json::Result<Arc<[u8]>> {
    let mut bytes = Vec::with_capacity(room);
    bytes.push(tag);
    bytes.extend_from_slice(&at.to_le_bytes());
    serde_json::to_writer(&mut bytes, content)?;
    Ok(Arc::from(bytes))
}

/// The notification in a waiting envelope.
pub(super) fn open(bytes: &[u8]) -> Result<Notification, String> {
    match Envelope::read(bytes) {
        Some(Envelope::Waiting { json, .. }) => {
            serde_json::from_slice(json).map_err(|error| error.to_string())
        }
        _ => Err("not a notification".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use couic_plugin_api::Severity;

    #[test]
    fn sealed_and_opened() {
        let notification = Notification::new(Kind::Test, Severity::Red, "here");
        let sealed = waiting(77, &notification).unwrap();
        assert_eq!(open(&sealed).unwrap(), notification);
        let letter = Dead {
            reason: "400".to_owned(),
            notification: Some(notification),
        };
        let sealed = dead(78, &letter).unwrap();
        let Some(Envelope::Dead { at: 78, json }) = Envelope::read(&sealed) else {
            panic!("not a dead letter");
        };
        assert_eq!(serde_json::from_slice::<Dead>(json).unwrap(), letter);
        assert!(open(&sealed).is_err());
    }

    #[test]
    fn noise_is_refused() {
        for bytes in [
            &b""[..],
            b"\0short",
            b"\x09123456789",
            b"\0\0\0\0\0\0\0\0\0{",
        ] {
            assert!(open(bytes).is_err(), "{bytes:?}");
        }
    }
}
