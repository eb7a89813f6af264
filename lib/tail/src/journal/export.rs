//! The export format of the journal, <https://systemd.io/JOURNAL_EXPORT_FORMATS>, read as it comes and in bounded memory.
//!
//! An entry is a list of fields and ends with an empty line. A field is `KEY=value` and a newline; or, where the value has
//! control characters, `KEY`, a newline, the length as 64 bits in little endian, the value, and a newline.

use memchr::memchr2;

use crate::{MAX_LINE, USUAL_LINE};

/// Longest name that journald takes.
const MAX_KEY: usize = 64;
/// Longest value that journald takes (`DATA_SIZE_MAX`).
const MAX_VALUE: u64 = 768 << 20;
/// Bytes of the other fields that are kept.
const MAX_SHORT: usize = 512;

/// What is used of an entry. A field longer than its bound is cut.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) cursor: Vec<u8>,
    pub(super) identifier: Vec<u8>,
    pub(super) unit: Vec<u8>,
    pub(super) pid: Vec<u8>,
    /// When it was written, in microseconds since the epoch, as text.
    pub(super) time: Vec<u8>,
    /// At most one byte more than a line may have.
    pub(super) message: Vec<u8>,
    /// Bytes of the message that are not in it.
    pub(super) dropped: u64,
}

impl Entry {
    /// When it was written, in Unix milliseconds.
    pub(super) fn time_ms(&self) -> Option<u64> {
        let micros: u64 = std::str::from_utf8(&self.time).ok()?.parse().ok()?;
        Some(micros / 1_000)
    }

    fn clear(&mut self) {
        for field in [
            &mut self.cursor,
            &mut self.identifier,
            &mut self.unit,
            &mut self.pid,
            &mut self.time,
            &mut self.message,
        ] {
            field.clear();
        }
        self.message.shrink_to(USUAL_LINE);
        self.dropped = 0;
    }

    fn field(&mut self, key: &[u8]) -> Option<(&mut Vec<u8>, usize)> {
        Some(match key {
            b"MESSAGE" => (&mut self.message, MAX_LINE + 1),
            b"__REALTIME_TIMESTAMP" => (&mut self.time, MAX_SHORT),
            b"__CURSOR" => (&mut self.cursor, MAX_SHORT),
            b"SYSLOG_IDENTIFIER" => (&mut self.identifier, MAX_SHORT),
            b"_SYSTEMD_UNIT" => (&mut self.unit, MAX_SHORT),
            b"_PID" => (&mut self.pid, MAX_SHORT),
            _ => return None,
        })
    }

    fn append(&mut self, key: &[u8], part: &[u8]) {
        let Some((field, most)) = self.field(key) else {
            return;
        };
        let kept = part.len().min(most - field.len().min(most));
        field.extend_from_slice(part.get(..kept).unwrap_or_default());
        if key == b"MESSAGE" {
            self.dropped += (part.len() - kept) as u64;
        }
    }
}

/// The stream is not in this format: the reader begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

#[derive(Debug, Default)]
pub(super) struct Export {
    entry: Entry,
    key: Vec<u8>,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Key,
    Text,
    Length([u8; 8], usize),
    Binary(u64),
    End,
}

impl Export {
    /// Takes a chunk; whole entries are given to `entry`.
    pub(super) fn push(
        &mut self,
        mut chunk: &[u8],
        mut entry: impl FnMut(&Entry),
    ) -> Result<(), Malformed> {
        while !chunk.is_empty() {
            let used = match self.state {
                State::Key => self.key(chunk, &mut entry)?,
                State::Text => self.text(chunk),
                State::Length(bytes, have) => self.length(chunk, bytes, have)?,
                State::Binary(left) => self.binary(chunk, left),
                State::End => self.end(chunk)?,
            };
            chunk = chunk.get(used..).unwrap_or_default();
        }
        Ok(())
    }

    fn key(&mut self, chunk: &[u8], entry: &mut impl FnMut(&Entry)) -> Result<usize, Malformed> {
        let end = memchr2(b'=', b'\n', chunk);
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        if self.key.len() + part.len() > MAX_KEY {
            return Err(Malformed);
        }
        self.key.extend_from_slice(part);
        let Some(end) = end else {
            return Ok(chunk.len());
        };
        let text = chunk.get(end) == Some(&b'=');
        match (self.key.is_empty(), text) {
            (true, true) => return Err(Malformed),
            (true, false) => {
                if self.entry != Entry::default() {
                    entry(&self.entry);
                    self.entry.clear();
                }
            }
            (false, true) => self.state = State::Text,
            (false, false) => self.state = State::Length([0; 8], 0),
        }
        Ok(end + 1)
    }

    fn text(&mut self, chunk: &[u8]) -> usize {
        let end = memchr::memchr(b'\n', chunk);
        let part = chunk.get(..end.unwrap_or(chunk.len())).unwrap_or_default();
        self.entry.append(&self.key, part);
        let Some(end) = end else {
            return chunk.len();
        };
        self.next_field();
        end + 1
    }

    fn length(
        &mut self,
        chunk: &[u8],
        mut bytes: [u8; 8],
        have: usize,
    ) -> Result<usize, Malformed> {
        let mut used = 0;
        for (to, from) in bytes.iter_mut().skip(have).zip(chunk) {
            *to = *from;
            used += 1;
        }
        self.state = if have + used < bytes.len() {
            State::Length(bytes, have + used)
        } else {
            match u64::from_le_bytes(bytes) {
                0 => State::End,
                length if length > MAX_VALUE => return Err(Malformed),
                length => State::Binary(length),
            }
        };
        Ok(used)
    }

    fn binary(&mut self, chunk: &[u8], left: u64) -> usize {
        let used = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
        self.entry
            .append(&self.key, chunk.get(..used).unwrap_or_default());
        self.state = match left - used as u64 {
            0 => State::End,
            left => State::Binary(left),
        };
        used
    }

    fn end(&mut self, chunk: &[u8]) -> Result<usize, Malformed> {
        if chunk.first() != Some(&b'\n') {
            return Err(Malformed);
        }
        self.next_field();
        Ok(1)
    }

    fn next_field(&mut self) {
        self.key.clear();
        self.state = State::Key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Cursors and messages.
    type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

    fn parse(chunks: &[&[u8]]) -> Result<Pairs, Malformed> {
        let (mut export, mut found) = (Export::default(), Vec::new());
        for chunk in chunks {
            export.push(chunk, |entry| {
                found.push((entry.cursor.clone(), entry.message.clone()));
            })?;
        }
        Ok(found)
    }

    fn binary(key: &str, value: &[u8]) -> Vec<u8> {
        let length = (value.len() as u64).to_le_bytes();
        [key.as_bytes(), b"\n", &length, value, b"\n"].concat()
    }

    #[test]
    fn long_values_take_no_memory_and_the_next_entry_is_whole() {
        let mut export = Export::default();
        let mut found = Vec::new();
        let mut take = |entry: &Entry| found.push((entry.message.len(), entry.dropped));
        let head = [b"MESSAGE\n".as_slice(), &(64_u64 << 20).to_le_bytes()].concat();
        export.push(&head, &mut take).unwrap();
        for _ in 0..64 {
            export.push(&vec![b'\n'; 1 << 20], &mut take).unwrap();
        }
        assert!(export.entry.message.capacity() < 4 * MAX_LINE);
        export
            .push(b"\n\nOTHER=x\nMESSAGE=next\n\n", &mut take)
            .unwrap();
        assert!(export.entry.message.capacity() <= USUAL_LINE);
        let kept = MAX_LINE + 1;
        assert_eq!(found, [(kept, (64 << 20) - kept as u64), (4, 0)]);
    }

    #[test]
    fn what_is_no_export_format_is_told() {
        let huge = [b"MESSAGE\n".as_slice(), &u64::MAX.to_le_bytes()].concat();
        let unended = [binary("MESSAGE", b"a\nb"), b"X".to_vec()].concat();
        let cut = unended[..unended.len() - 2].to_vec();
        for text in [
            b"=x\n".to_vec(),
            vec![b'K'; 65],
            huge,
            [cut, b"XX".to_vec()].concat(),
        ] {
            assert_eq!(parse(&[&text]), Err(Malformed), "{}", text.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn entries_are_found_whatever_the_chunks(
            messages in vec(vec(any::<u8>(), 0..60), 1..8),
            cuts in vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let mut text = Vec::new();
            for (n, message) in messages.iter().enumerate() {
                text.extend(format!("__CURSOR=s={n}\n_BOOT_ID=0\n").into_bytes());
                text.extend(binary("MESSAGE", message));
                text.extend(binary("OTHER", message));
                text.push(b'\n');
            }
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let expected: Vec<_> = messages
                .iter()
                .enumerate()
                .map(|(n, message)| (format!("s={n}").into_bytes(), message.clone()))
                .collect();
            prop_assert_eq!(parse(&chunks), Ok(expected));
        }

        #[test]
        fn any_bytes_are_taken_without_a_panic(text in vec(any::<u8>(), 0..300)) {
            let _ = parse(&[&text]);
        }
    }
}
