//! What Couic's programs have to do with systemd: lines for its journal, with priorities that `journalctl -p warning`
//! finds ([`Prefixed`], [`Level`]), and its notifications ([`Notify`]).
//!
//! systemd connects the standard streams of a service to the journal and reads a priority from the first characters of
//! each line: `<4>` is a warning (sd-daemon(3)). Elsewhere, as in a terminal or a file, lines stay as they are.
//!
//! ```
//! use couic_journald::{Prefixed, is_journal};
//!
//! let to_journal = is_journal(std::io::stderr());
//! let subscriber = tracing_subscriber::fmt()
//!     .with_writer(Prefixed::new(std::io::stderr, to_journal))
//!     .finish();
//! # drop(subscriber);
//! ```

mod level;
mod notify;

pub use level::Level;
pub use notify::Notify;

use std::{
    env,
    io::{self, Write},
    os::fd::AsFd,
};

use nix::sys::stat::fstat;
use tracing::{Level as Severity, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Whether this stream is the one that systemd has connected to the journal: `JOURNAL_STREAM` names its device and
/// inode (systemd.exec(5)).
#[must_use]
pub fn is_journal(stream: impl AsFd) -> bool {
    env::var("JOURNAL_STREAM").is_ok_and(|named| is_named(stream, &named))
}

fn is_named(stream: impl AsFd, named: &str) -> bool {
    fstat(stream).is_ok_and(|found| named == format!("{}:{}", found.st_dev, found.st_ino))
}

/// The priority of a level, as a line begins with it.
#[must_use]
pub const fn prefix(level: &Severity) -> &'static str {
    match *level {
        Severity::ERROR => "<3>",
        Severity::WARN => "<4>",
        Severity::INFO => "<6>",
        Severity::DEBUG | Severity::TRACE => "<7>",
    }
}

/// A writer for the formatter of tracing, that puts the priority before each event.
#[derive(Clone, Debug)]
pub struct Prefixed<M> {
    inner: M,
    to_journal: bool,
}

impl<M> Prefixed<M> {
    /// Around the stream's writer.
    pub const fn new(inner: M, to_journal: bool) -> Self {
        Self { inner, to_journal }
    }
}

impl<'a, M: MakeWriter<'a>> MakeWriter<'a> for Prefixed<M> {
    type Writer = Line<M::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        Line {
            inner: self.inner.make_writer(),
            prefix: "",
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Self::Writer {
        Line {
            inner: self.inner.make_writer_for(meta),
            prefix: if self.to_journal {
                prefix(meta.level())
            } else {
                ""
            },
        }
    }
}

/// The writer of one event.
#[derive(Debug)]
pub struct Line<W> {
    inner: W,
    prefix: &'static str,
}

impl<W: Write> Write for Line<W> {
    /// In one piece, so that lines of other threads do not come between.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let prefix = std::mem::take(&mut self.prefix);
        if prefix.is_empty() {
            return self.inner.write(bytes);
        }
        self.inner.write_all(&[prefix.as_bytes(), bytes].concat())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(to_journal: bool) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Severity::TRACE)
            .with_writer(Prefixed::new(move || writer.clone(), to_journal))
            .without_time()
            .with_ansi(false)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!("e");
            tracing::warn!("w");
            tracing::info!("i");
            tracing::debug!("d");
            tracing::trace!("t");
        });
        let text = sink.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn each_line_has_its_priority_in_the_journal_and_none_elsewhere() {
        let text = logged(true);
        let marks: Vec<&str> = text.lines().map(|line| &line[..3]).collect();
        assert_eq!(marks, ["<3>", "<4>", "<6>", "<7>", "<7>"]);
        let text = logged(false);
        assert!(!text.contains('<') && text.lines().count() == 5, "{text}");
    }

    #[test]
    fn a_stream_is_the_journal_if_device_and_inode_agree() {
        let file = tempfile::tempfile().unwrap();
        let found = fstat(&file).unwrap();
        let named = format!("{}:{}", found.st_dev, found.st_ino);
        assert!(is_named(&file, &named));
        for other in ["", "1", "1:2", &format!("{named}0"), &format!("0{named}")] {
            assert!(!is_named(&file, other), "{other}");
        }
    }
}
