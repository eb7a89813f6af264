//! The log files of container runtimes: Docker's `json-file`, and CRI (containerd, CRI-O, Kubernetes).
//!
//! Runtimes cut long lines (at 16 KiB). The parts are joined per stream up to [`LONGEST`]; a longer line is left out whole,
//! but for its head, never in parts: the second part of a line begins where its client likes, for example with an address.

use std::borrow::Cow;

use super::{
    Unparsed,
    clock::iso,
    json_text::{Keys, Slots, Value, unescape},
    scan::{cut, cut_quote},
};

/// The longest line that is put together, in bytes. Of a longer one at most the head of its first part is read.
const LONGEST: usize = 131_072;
/// What is kept of the buffer of a line for the next one.
const USUAL: usize = 8_192;

/// Which runtime wrote a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Container {
    /// Docker's `json-file`: `{"log":"…\n","stream":"stdout","time":"…"}`. A part of a line has no `\n`.
    Docker,
    /// `2026-12-01T06:25:01.123456789Z stdout F …`, with `P` for a part of a line.
    Cri,
}

/// Unwraps and joins.
#[derive(Clone, Debug)]
pub(super) struct Unwrap {
    container: Container,
    keys: Keys,
    /// stdout and stderr: their parts may alternate.
    streams: [Parts; 2],
}

/// The parts of a line that is not at its end.
#[derive(Clone, Debug, Default)]
struct Parts {
    text: Vec<u8>,
    state: State,
    /// Something came from this stream.
    seen: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The next part begins a line.
    #[default]
    Start,
    /// Parts were kept.
    Inside,
    /// Up to the end of the line nothing is to be read.
    Skipping,
    /// The next part may begin a line, or not.
    Unknown,
}

impl Unwrap {
    pub(super) fn new(container: Container) -> Self {
        Self {
            container,
            keys: Keys::flat(&["log", "stream", "time"]),
            streams: [Parts::default(), Parts::default()],
        }
    }

    /// The next part may be in the midst of a line.
    pub(super) fn lost(&mut self) {
        for parts in &mut self.streams {
            parts.clear();
            parts.state = State::Unknown;
        }
    }

    /// See [`Format::follow`](crate::Format::follow).
    pub(super) fn follow(&mut self, before: &[u8]) {
        self.lost();
        if before.is_empty() {
            self.streams = [Parts::default(), Parts::default()];
        }
        for line in before.split(|byte| *byte == b'\n') {
            let line = super::scan::trim_end(line);
            if !line.is_empty() {
                // What it says was read before, if by anybody.
                let _ = self.unwrap(line);
            }
        }
    }

    /// The line inside and its time.
    pub(super) fn unwrap<'a>(
        &'a mut self,
        line: &'a [u8],
    ) -> Result<(&'a [u8], Option<i64>), Unparsed> {
        let record = match self.container {
            Container::Docker => docker(&self.keys, line),
            Container::Cri => cri(line).ok_or(Unparsed::Malformed),
        };
        // Whatever this was, it may have been the part of a line.
        let record = record.inspect_err(|_| self.lost())?;
        let parts = &mut self.streams[usize::from(record.stderr)];
        parts.push(&record.text, record.ends)?;
        Ok((super::scan::trim_end(&parts.text), record.time_ms))
    }

    /// What is there of a line inside a record that has no end. Docker tells neither before the end which stream it is,
    /// nor whether the line ends in it.
    pub(super) fn unwrap_head<'a>(
        &'a mut self,
        head: &'a [u8],
    ) -> Result<(&'a [u8], Option<i64>), Unparsed> {
        let record = match self.container {
            Container::Docker => docker_head(head),
            Container::Cri => cri(head),
        };
        let at_start = |parts: &Parts| parts.state == State::Start;
        let starts = match (&record, self.container) {
            (Some(record), Container::Cri) => at_start(&self.streams[usize::from(record.stderr)]),
            // Whichever it is of those that the container uses.
            _ => {
                let used = |parts: &Parts| !parts.seen || at_start(parts);
                self.streams.iter().all(used) && self.streams.iter().any(at_start)
            }
        };
        self.lost();
        let record = record.filter(|_| starts).ok_or(Unparsed::Malformed)?;
        let parts = &mut self.streams[usize::from(record.stderr)];
        if record.ends {
            parts.state = State::Start;
        }
        parts
            .text
            .extend_from_slice(&record.text[..record.text.len().min(LONGEST)]);
        Ok((&parts.text, record.time_ms))
    }
}

impl Parts {
    fn clear(&mut self) {
        self.text.clear();
        self.text.shrink_to(USUAL);
    }

    /// After `Ok` the text is a whole line.
    fn push(&mut self, part: &[u8], ends: bool) -> Result<(), Unparsed> {
        self.seen = true;
        if self.state == State::Start {
            self.clear();
        }
        let fits = self.text.len() + part.len() <= LONGEST;
        let is_known = self.state != State::Unknown;
        let skips = self.state == State::Skipping || !is_known || !fits;
        self.state = match (ends, skips) {
            (true, _) => State::Start,
            (false, true) if is_known => State::Skipping,
            (false, true) => State::Unknown,
            (false, false) => State::Inside,
        };
        if skips {
            self.clear();
            return Err(if ends && is_known {
                Unparsed::Malformed
            } else {
                Unparsed::Partial
            });
        }
        self.text.extend_from_slice(part);
        if ends { Ok(()) } else { Err(Unparsed::Partial) }
    }
}

struct Record<'a> {
    text: Cow<'a, [u8]>,
    stderr: bool,
    time_ms: Option<i64>,
    ends: bool,
}

fn docker<'a>(keys: &Keys, line: &'a [u8]) -> Result<Record<'a>, Unparsed> {
    let mut slots = Slots::default();
    keys.scan(line, &mut slots)?;
    let text = |slot: usize| match &slots[slot] {
        Some(value @ Value::Text { .. }) => value.text(),
        _ => None,
    };
    let log = text(0).ok_or(Unparsed::Malformed)?;
    Ok(Record {
        ends: log.ends_with(b"\n"),
        text: log,
        stderr: text(1).as_deref() == Some(b"stderr"),
        time_ms: text(2).and_then(|time| iso(&time)),
    })
}

/// The text inside a record without end. An escape at the end that is cut stays as it is.
fn docker_head(head: &[u8]) -> Option<Record<'_>> {
    let text = head.strip_prefix(br#"{"log":""#)?;
    // A record that ends its string is not cut within it.
    cut_quote(text).is_none().then(|| Record {
        text: unescape(text),
        stderr: false,
        time_ms: None,
        ends: false,
    })
}

fn cri(line: &[u8]) -> Option<Record<'_>> {
    let (time, rest) = cut(line, b' ')?;
    let (stream, rest) = cut(rest, b' ')?;
    let (tags, text) = cut(rest, b' ').unwrap_or((rest, b""));
    // More tags may follow behind colons.
    let ends = match tags.split(|byte| *byte == b':').next() {
        Some(b"F") => true,
        Some(b"P") => false,
        _ => return None,
    };
    let stderr = match stream {
        b"stdout" => false,
        b"stderr" => true,
        _ => return None,
    };
    Some(Record {
        text: Cow::Borrowed(text),
        stderr,
        time_ms: Some(iso(time)?),
        ends,
    })
}

#[cfg(test)]
mod tests;
