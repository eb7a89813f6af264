//! Append logs on disk, for the journal of rules, the notification spools and the ledger of couic-report.
//!
//! A log is a [`Folder`] of numbered files. Frames are appended to a [`Segment`]; a snapshot
//! ([`Folder::write_snapshot`]) replaces the segments before it. The content of records is up to the caller.
//!
//! What holds:
//! - A frame that is read was written to this file: its checksum is salted with a random number in the file's name. A
//!   payload chosen by an attacker, or a stale block of an older file, is never accepted as a frame.
//! - Damage costs the frames that it hits: after it, the next frame is searched byte by byte. [`Scanned`] reports the
//!   losses of each file; [`Folder::retire`] keeps a damaged file under another name.
//! - An end within a frame is normal, since a killed process leaves it. Any other end that is no frame is damage. A log
//!   records how far it was synced, and every loss before that place is damage, too.
//! - A segment or a snapshot is complete under its name or does not exist. [`Segment::begin`] and
//!   [`Folder::write_snapshot`] return when the name is on the disk.
//! - After a failed write or sync, nothing is appended to a segment again ([`Segment::abandon`]): the kernel drops data
//!   that it could not write.
//! - A failing disk is reported at once and then once a minute ([`Alarm`]), and retried ([`Pause`]).
//!
//! ```
//! use couic_durable::{Folder, Format, Kind, Segment};
//!
//! # fn main() -> std::io::Result<()> {
//! const FORMAT: Format = Format { prefix: "events", version: 1, max_payload: 1 << 20 };
//! let dir = tempfile::tempdir()?;
//! let folder = Folder::new(&dir.path().join("events"), FORMAT);
//! folder.ensure()?;
//!
//! let mut segment = Segment::begin(&folder, 1)?;
//! let mut frames = Vec::new();
//! for event in ["one", "two"] {
//!     FORMAT.put(&mut frames, segment.salt(), |out| out.extend_from_slice(event.as_bytes()));
//! }
//! segment.write(&frames)?;
//! segment.sync()?;
//!
//! let mut events = Vec::new();
//! for name in folder.list()?.files {
//!     assert_eq!(name.kind, Kind::Log);
//!     let scanned = folder.read(&name, |payload| {
//!         events.push(String::from_utf8_lossy(payload).into_owned());
//!         true
//!     })?;
//!     assert!(scanned.is_sound());
//! }
//! assert_eq!(events, ["one", "two"]);
//! # Ok(())
//! # }
//! ```

mod alarm;
mod extent;
mod folder;
mod frame;
mod medium;
mod name;
mod scan;
mod segment;
mod snapshot;
mod window;

pub use self::{
    alarm::{Alarm, Pause},
    folder::{Folder, Listing, LockError, Untrusted},
    frame::{Format, HEADER, count_frames},
    medium::{FileSystem, Medium},
    name::{Kind, Name},
    scan::Scanned,
    segment::{Handle, Segment},
    snapshot::{Snapshot, Written},
};
