//! The log files of container runtimes: Docker's `json-file`, and CRI (containerd, CRI-O, Kubernetes).
//!
//! Runtimes cut long lines (at 16 KiB). The parts are joined per stream up to [`LONGEST`]; a longer line is left out whole,
//! never in parts: the second part of a line begins where its client likes, for example with an address.

use std::borrow::Cow;

use super::{
    Unparsed,
    clock::iso,
    json_text::{Keys, Slots, Value, unescape},
    scan::{cut, cut_quote},
};

/// The longest line that is put together, in bytes; of a longer one nothing is read.
const LONGEST: usize = 8192;

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
            parts.text.clear();
            parts.state = State::Skipping;
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
    /// After `Ok` the text is a whole line.
    fn push(&mut self, part: &[u8], ends: bool) -> Result<(), Unparsed> {
        self.seen = true;
        if self.state == State::Start {
            self.text.clear();
        }
        let fits = self.text.len() + part.len() <= LONGEST;
        let skips = self.state == State::Skipping || !fits;
        self.state = match (ends, skips) {
            (true, _) => State::Start,
            (false, true) => State::Skipping,
            (false, false) => State::Inside,
        };
        if skips {
            self.text.clear();
            return Err(if ends {
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
mod tests {
    use super::*;
    use crate::Format;

    const LINE: &str =
        r#"192.0.2.7 - - [01/Dec/2026:06:25:01 +0000] "GET /a HTTP/1.1" 404 0 "-" "agent""#;
    /// The end of a long line as its client wants it.
    const FORGED: &str =
        r#"6.6.6.6 - - [01/Dec/2026:06:25:01 +0000] "GET /login HTTP/1.1" 401 0 "-" "agent""#;

    fn docker_line(text: &str, end: &str, stream: &str) -> String {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!(r#"{{"log":"{text}{end}","stream":"{stream}","time":"2026-12-01T06:25:02.5Z"}}"#)
    }

    fn cri_line(text: &str, end: &str, stream: &str) -> String {
        let tag = if end.is_empty() { "P" } else { "F" };
        format!("2026-12-01T06:25:02.500000001Z {stream} {tag} {text}")
    }

    type Writer = fn(&str, &str, &str) -> String;
    const BOTH: [(Container, Writer); 2] =
        [(Container::Docker, docker_line), (Container::Cri, cri_line)];

    #[test]
    fn whole_lines_and_parts_are_read_per_stream() {
        for (container, line) in BOTH {
            let mut format = Format::named("combined").unwrap().within(container);
            let mut parse = |line: String| format.parse(line.as_bytes()).map(|event| event.peer);
            let peer = Ok("192.0.2.7".parse().ok());
            assert_eq!(parse(line(LINE, "\\n", "stdout")), peer);
            let (first, second) = LINE.split_at(70);
            assert_eq!(parse(line(first, "", "stdout")), Err(Unparsed::Partial));
            assert_eq!(
                parse(line("6.6.6.6 - - x", "\\n", "stderr")),
                Err(Unparsed::Malformed)
            );
            assert_eq!(parse(line(second, "\\n", "stdout")), peer);
            assert_eq!(parse(line(LINE, "\\n", "stderr")), peer);
        }
    }

    #[test]
    fn the_time_of_the_container_counts_where_the_line_has_none() {
        for (container, line) in BOTH {
            let mut format = Format::named("plain").unwrap().within(container);
            let line = line("a \"b\"", "\\n", "stdout");
            let event = format.parse(line.as_bytes()).unwrap();
            assert_eq!(event.time_ms, Some(1_796_106_302_500));
            assert_eq!(&*event.message, b"a \"b\"");
        }
    }

    #[test]
    fn the_end_of_a_line_that_is_too_long_is_never_a_line() {
        for (container, line) in BOTH {
            let mut format = Format::named("combined").unwrap().within(container);
            let mut parse = |line: String| format.parse(line.as_bytes()).map(|event| event.peer);
            let long = "x".repeat(5000);
            assert_eq!(parse(line(&long, "", "stdout")), Err(Unparsed::Partial));
            assert_eq!(parse(line(&long, "", "stdout")), Err(Unparsed::Partial));
            assert_eq!(
                parse(line(FORGED, "\\n", "stdout")),
                Err(Unparsed::Malformed)
            );
            assert_eq!(
                parse(line(LINE, "\\n", "stdout")),
                Ok("192.0.2.7".parse().ok())
            );
            assert_eq!(
                parse(line(&"x".repeat(8200), "\\n", "stdout")),
                Err(Unparsed::Malformed)
            );
            assert_eq!(
                parse(line(LINE, "\\n", "stdout")),
                Ok("192.0.2.7".parse().ok())
            );
        }
    }

    #[test]
    fn the_head_of_a_long_record_is_read_where_it_begins_a_line() {
        let long = LINE.replace("agent", &"x".repeat(9000));
        for (container, line) in BOTH {
            let mut format = Format::named("combined").unwrap().within(container);
            let head = |text: &str, end| line(text, end, "stdout").as_bytes()[..8000].to_vec();
            for _ in 0..3 {
                let long = head(&long, "\\n");
                let event = format.parse_head(&long).unwrap();
                assert_eq!((event.peer, event.status), ("192.0.2.7".parse().ok(), 404));
                // Whether the line went on, Docker says behind the head.
                let rest = line(FORGED, "\\n", "stdout");
                if container == Container::Docker {
                    assert_eq!(format.parse(rest.as_bytes()), Err(Unparsed::Malformed));
                }
                let good = line(LINE, "\\n", "stdout");
                assert!(format.parse(good.as_bytes()).is_ok());
            }
            assert_eq!(
                format.parse(line("part", "", "stdout").as_bytes()),
                Err(Unparsed::Partial)
            );
            let forged = FORGED.replace("agent", &"x".repeat(9000));
            assert_eq!(
                format.parse_head(&head(&forged, "")),
                Err(Unparsed::Malformed)
            );
            assert_eq!(
                format.parse_head(&head(&forged, "\\n")),
                Err(Unparsed::Malformed)
            );
            format.lost();
            assert_eq!(
                format.parse_head(&head(&forged, "\\n")),
                Err(Unparsed::Malformed)
            );
        }
    }

    #[test]
    fn after_a_loss_reading_begins_with_the_next_line() {
        for (container, line) in BOTH {
            let mut format = Format::named("combined").unwrap().within(container);
            format.lost();
            let forged = line(FORGED, "\\n", "stdout");
            assert_eq!(format.parse(forged.as_bytes()), Err(Unparsed::Malformed));
            let good = line(LINE, "\\n", "stdout");
            assert_eq!(
                format.parse(good.as_bytes()).unwrap().peer,
                "192.0.2.7".parse().ok()
            );
            let mut format = Format::named("combined").unwrap();
            format.lost();
            assert!(
                format.parse(LINE.as_bytes()).is_ok(),
                "without container a line is a line"
            );
        }
    }

    #[test]
    fn what_no_runtime_writes_is_malformed() {
        let mut docker = Format::named("plain").unwrap().within(Container::Docker);
        for line in [
            "",
            "{}",
            r#"{"stream":"stdout"}"#,
            r#"{"log":1}"#,
            r#"{"log":"a\n"} x"#,
            LINE,
        ] {
            assert_eq!(
                docker.parse(line.as_bytes()),
                Err(Unparsed::Malformed),
                "{line}"
            );
        }
        assert_eq!(
            docker.parse(br#"{"log":"a\n","log":"b\n"}"#),
            Err(Unparsed::Ambiguous)
        );
        let mut after_junk = Format::named("plain").unwrap().within(Container::Docker);
        assert!(after_junk.parse(b"{\"log\":\"cut").is_err());
        assert!(
            after_junk
                .parse(br#"{"log":"perhaps the rest of it\n"}"#)
                .is_err()
        );
        assert!(after_junk.parse(br#"{"log":"a\n"}"#).is_ok());
        let cri = Format::named("plain").unwrap().within(Container::Cri);
        for line in [
            "",
            "2026-12-01T06:25:02Z",
            "2026-12-01T06:25:02Z stdout X a",
            "now stdout F a",
            "2026-12-01T06:25:02Z log F a",
        ] {
            assert_eq!(
                cri.clone().parse(line.as_bytes()),
                Err(Unparsed::Malformed),
                "{line}"
            );
        }
        assert_eq!(
            &*cri
                .clone()
                .parse(b"2026-12-01T06:25:02Z stdout F:x a b")
                .unwrap()
                .message,
            b"a b"
        );
    }
}
