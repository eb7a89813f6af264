//! Append logs on disk: what the journal of rules, the notification spools and the ledger of couic-report share.
//!
//! A log is a [`Folder`] of numbered files. A [`Segment`] takes frames; a snapshot ([`Folder::write_snapshot`])
//! replaces the segments before it. Records, and what becomes of them, are the caller's.
//!
//! What holds:
//! - A frame that is read back was written so, to this file: its checksum is salted with a random number of the file's
//!   name. A payload chosen by an attacker, or a stale block of an older file, never passes for a frame.
//! - Damage costs the frames that it hits: behind it, the next frame is looked for byte by byte. A torn end is normal.
//!   [`Scanned`] says what was lost, once for each file; [`Folder::retire`] keeps a damaged file under another name.
//! - A segment or a snapshot is whole under its name or not there. [`Segment::begin`] and [`Folder::write_snapshot`]
//!   return when the name is on the disk.
//! - After a failed write or sync a segment is never appended to again ([`Segment::abandon`]): the kernel forgets
//!   what it could not write.
//! - A failing disk is reported at once and then once a minute ([`Alarm`]), and tried again ([`Pause`]).
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
