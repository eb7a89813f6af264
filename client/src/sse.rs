//! Server-sent events, in bounded memory: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.

use crate::ndjson::{LineTooLong, Lines};

/// The longest data of an event, far longer than any change.
const MAX_DATA: usize = 1 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    /// Its type; empty if none was sent.
    pub(crate) kind: String,
    pub(crate) data: String,
}

/// Puts events together from chunks, as received from the network.
#[derive(Debug, Default)]
pub(crate) struct Events {
    lines: Lines,
    next: Sent,
    has_data: bool,
    /// The id that comes with the next event.
    id: Option<String>,
    /// That of the last event that was complete, also if it had no data.
    pub(crate) last_id: Option<String>,
}

impl Events {
    /// Appends the next chunk.
    ///
    /// # Errors
    /// If a line exceeds the limit.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), LineTooLong> {
        self.lines.push(chunk)
    }

    /// The next complete event that has data.
    ///
    /// # Errors
    /// If its data exceed the limit.
    pub(crate) fn next(&mut self) -> Result<Option<Sent>, LineTooLong> {
        while let Some(line) = self.lines.next_or_blank() {
            let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
            if line.is_empty() {
                if self.id.is_some() {
                    self.last_id = self.id.take();
                }
                let sent = std::mem::take(&mut self.next);
                if std::mem::take(&mut self.has_data) {
                    return Ok(Some(sent));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => self.next.kind = value.to_owned(),
                "id" => self.id = Some(value.to_owned()),
                "data" => {
                    if self.next.data.len() + value.len() > MAX_DATA {
                        return Err(LineTooLong);
                    }
                    if std::mem::replace(&mut self.has_data, true) {
                        self.next.data.push('\n');
                    }
                    self.next.data += value;
                }
                // A comment, or what later versions send.
                _ => {}
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(chunks: &[&[u8]]) -> (Vec<Sent>, Option<String>) {
        let mut events = Events::default();
        let mut out = Vec::new();
        for chunk in chunks {
            events.push(chunk).unwrap();
            while let Some(event) = events.next().unwrap() {
                out.push(event);
            }
        }
        (out, events.last_id)
    }

    fn sent(kind: &str, data: &str) -> Sent {
        Sent {
            kind: kind.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn fields_comments_and_positions() {
        let text = b":\nid: 1\n\nid: 2\ndata: a\n\n: hello\nevent: gap\ndata:b\r\ndata: c\r\nmore: x\r\n\r\nid: 3\n\nid: 4\ndata: cut off";
        let (events, last) = all(&[text]);
        assert_eq!(events, [sent("", "a"), sent("gap", "b\nc")]);
        assert_eq!(last.as_deref(), Some("3"));
    }

    #[test]
    fn data_without_end_are_refused() {
        let mut events = Events::default();
        let line = format!("data: {}\n", "x".repeat(1 << 19));
        events.push(line.as_bytes()).unwrap();
        assert_eq!(events.next(), Ok(None));
        events.push(line.as_bytes()).unwrap();
        events.push(line.as_bytes()).unwrap();
        assert_eq!(events.next(), Err(LineTooLong));
    }

    proptest! {
        #[test]
        fn chunk_boundaries_do_not_matter(
            text in "(id: [12]|data: a|data|event: gap|:|\n|\r){0,20}",
            cuts in prop::collection::vec(0usize..120, 0..6),
        ) {
            let whole = all(&[text.as_bytes()]);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(all(&chunks), whole);
        }
    }
}
