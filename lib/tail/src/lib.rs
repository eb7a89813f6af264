//! Sources of log lines: bytes from files, journald, syslog or standard input, as lines to a [`Sink`].
//!
//! Guarantees:
//! - Memory is bounded, whatever is written to the logs: see [`MAX_LINE`], [`Options::max_open`] and the constants of
//!   each module.
//! - A file is read through rotation by renaming, also twice between two looks, and through truncation in place
//!   (`copytruncate`): what its copy has and we had not read is read from the copy. Only what is written between the copy
//!   and the truncation is lost, as for everybody.
//! - A kill loses no line. At the next start lines may be handed over again that were read after the last checkpoint, at
//!   most [`CHECKPOINT_EVERY`] old.
//! - Behind by more than [`STORM_BYTES`] or [`STORM_LAG`], the newest [`STORM_KEEP`] bytes come first. What was jumped
//!   over is counted, and handed over as [`When::Late`] when there is nothing newer.
//! - Nothing polls when idle, apart from a look each second for file systems without inotify.
//!
//! Each source has one thread (and one that writes checkpoints, so that a slow disk does not keep lines waiting).

mod figures;
mod files;
mod journal;
mod lines;
mod output;
mod replay;
mod saver;
mod start;
mod stdin;
mod stop;
mod syslog;
#[cfg(test)]
mod testing;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

pub use figures::{Figures, Unread};
pub use lines::{Lines, Piece};
pub use replay::{Read, read_file};
pub use start::{Handle, TailError, start};
pub use stop::Stop;

/// Longest line, in bytes without its end, that is handed over whole: target, referer and agent of 8 KiB each, the most that
/// nginx takes by default, with each byte written as `\xFF`; or a part of a line of Docker, 16 KiB, written as `\u0000`.
pub const MAX_LINE: usize = 131_072;
/// What a buffer of lines keeps for the next one: longer lines are rare, streams are many.
pub(crate) const USUAL_LINE: usize = 8_192;
/// Longest time between a change and the checkpoint that has it.
pub const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
/// Bytes not yet read beyond which a source jumps to the newest.
pub const STORM_BYTES: u64 = 8 << 20;
/// For how long a source may not be at the newest line before it jumps there.
pub const STORM_LAG: Duration = Duration::from_secs(2);
/// Bytes before the newest line that are read first after a jump.
pub const STORM_KEEP: u64 = 4 << 20;

/// Where lines come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// Files whose absolute paths match one of the patterns. `*` and `?` match within one component, and not a leading
    /// dot. Compressed files are left out, and files that cannot be opened are tried again.
    File {
        /// Absolute paths with wildcards.
        patterns: Vec<String>,
    },
    /// The journal of systemd: the `MESSAGE` of each entry, by `journalctl`.
    Journal {
        /// Matches as of journalctl(1), such as `_SYSTEMD_UNIT=ssh.service`.
        matches: Vec<String>,
    },
    /// Syslog over UDP: a datagram is one message.
    Udp(SocketAddr),
    /// Syslog over a Unix datagram socket that is made at this path.
    Unix(PathBuf),
    /// Standard input, until its end.
    Stdin,
}

/// How a source is read.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the checkpoints: one file for each source.
    pub state_dir: PathBuf,
    /// How much of what was written while nobody read is read at the start, by age; at most [`Options::catch_up_bytes`].
    pub catch_up: Duration,
    /// The same, in bytes of each file.
    pub catch_up_bytes: u64,
    /// Logs of the program itself: refused as sources, under any name, and so are their rotated files.
    pub own_log: Vec<PathBuf>,
    /// Files that a source keeps open. Beyond, those that are idle for the longest are closed, and opened again when
    /// they are written to.
    pub max_open: usize,
    /// The program for the journal; tests put another in its place.
    pub journalctl: PathBuf,
    /// Bytes of the receive buffer of sockets. Above `net.core.rmem_max` the kernel takes that.
    pub receive_buffer: usize,
    /// Mode of a Unix socket: who may send lines may have addresses banned.
    pub unix_mode: u32,
}

impl Options {
    /// The defaults: catch up 10 minutes and 64 MiB, 256 open files, a receive buffer of 4 MiB, sockets of mode 0660.
    #[must_use]
    pub fn new(state_dir: PathBuf) -> Self {
        Self {
            state_dir,
            catch_up: Duration::from_secs(600),
            catch_up_bytes: 64 << 20,
            own_log: Vec::new(),
            max_open: 256,
            journalctl: PathBuf::from("journalctl"),
            receive_buffer: 4 << 20,
            unix_mode: 0o660,
        }
    }
}

/// One file, socket or unit of the journal, as long as it is read. Never used twice by a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u64);

/// Whether a line is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum When {
    /// Written just now.
    Live,
    /// Older than lines that were handed over before: from a part that was jumped over, or from the time when nobody
    /// read. Many come at once, so the moment of arrival says nothing about rates.
    Late,
}

/// What takes the lines of one source, on the thread of the source.
pub trait Sink: Send {
    /// A file, a unit or a socket begins. `name` is its path, identifier or address.
    fn open(&mut self, stream: StreamId, name: &str);

    /// Whether [`begins`](Self::begins) is of use. It costs a look at each file and its directory.
    fn looks_back(&self) -> bool {
        false
    }

    /// What stands before the first line of a stream that was just opened: whole lines, at most 64 KiB; nothing if it is
    /// the first line of all, and its file continues no other. Not called if that is not known.
    fn begins(&mut self, stream: StreamId, before: &[u8]) {
        let _ = (stream, before);
    }

    /// What stood before the next line of this stream was not handed over.
    fn gap(&mut self, stream: StreamId) {
        let _ = stream;
    }

    /// A line, without its end. From the journal and from sockets it may have newlines in it: they are the client's text.
    fn line(&mut self, stream: StreamId, line: &[u8], when: When);

    /// The head of a line whose end is not known: longer than [`MAX_LINE`], or its file ended within it. Its writer, an
    /// attacker maybe, chose where it ends: take from it only what stands before any text of a client, such as the
    /// address that `combined` begins with. By default nothing is done with it.
    fn cut(&mut self, stream: StreamId, head: &[u8], when: When) {
        let _ = (stream, head, when);
    }

    /// The end of a chunk: act on what was found.
    fn flush(&mut self) {}

    /// A checkpoint is about to be written: what came of the lines so far must be as safe as that, since they are not read
    /// again after a crash. The source waits for it.
    fn settle(&mut self) {}

    /// Nothing more comes from this stream.
    fn close(&mut self, stream: StreamId) {
        let _ = stream;
    }
}

impl<S: Sink + ?Sized> Sink for &mut S {
    fn open(&mut self, stream: StreamId, name: &str) {
        (**self).open(stream, name);
    }

    fn looks_back(&self) -> bool {
        (**self).looks_back()
    }

    fn begins(&mut self, stream: StreamId, before: &[u8]) {
        (**self).begins(stream, before);
    }

    fn gap(&mut self, stream: StreamId) {
        (**self).gap(stream);
    }

    fn line(&mut self, stream: StreamId, line: &[u8], when: When) {
        (**self).line(stream, line, when);
    }

    fn cut(&mut self, stream: StreamId, head: &[u8], when: When) {
        (**self).cut(stream, head, when);
    }

    fn flush(&mut self) {
        (**self).flush();
    }

    fn settle(&mut self) {
        (**self).settle();
    }

    fn close(&mut self, stream: StreamId) {
        (**self).close(stream);
    }
}
