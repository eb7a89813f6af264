//! Newline-delimited JSON, for lists and batches of any length in bounded memory.

use std::ops::Range;

use bytes::Bytes;

/// The maximum length of a line, far longer than any entry.
const MAX_LINE: usize = 1 << 20;

/// A line exceeds the maximum length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineTooLong;

/// Splits chunks, as received from the network, into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pending: Vec<u8>,
    start: usize,
    /// No newline before this offset.
    searched: usize,
}

impl Lines {
    /// Appends the next chunk.
    ///
    /// # Errors
    /// If the pending line exceeds the limit.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), LineTooLong> {
        self.pending.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        if self.pending.len() > MAX_LINE {
            return Err(LineTooLong);
        }
        self.pending.extend_from_slice(chunk);
        Ok(())
    }

    /// The next complete line that is not blank, without its newline.
    pub(crate) fn next(&mut self) -> Option<&[u8]> {
        loop {
            let line = self.find()?;
            if !self.pending[line.clone()].trim_ascii().is_empty() {
                return Some(&self.pending[line]);
            }
        }
    }

    /// The next complete line, without its newline.
    pub(crate) fn next_or_blank(&mut self) -> Option<&[u8]> {
        self.find().map(|line| &self.pending[line])
    }

    fn find(&mut self) -> Option<Range<usize>> {
        let Some(length) = self.pending[self.searched..]
            .iter()
            .position(|b| *b == b'\n')
        else {
            self.searched = self.pending.len();
            return None;
        };
        let line = self.start..self.searched + length;
        self.start = line.end + 1;
        self.searched = self.start;
        Some(line)
    }

    /// The rest after the last newline, unless it is blank.
    pub(crate) fn rest(&mut self) -> Option<&[u8]> {
        let from = std::mem::replace(&mut self.start, self.pending.len());
        self.searched = self.start;
        Some(self.pending[from..].trim_ascii()).filter(|line| !line.is_empty())
    }
}

/// Encodes values as one chunk of lines.
pub(crate) fn encode<T: serde::Serialize>(values: &[T]) -> Result<Bytes, serde_json::Error> {
    let mut chunk = Vec::with_capacity(values.len() * 96);
    for value in values {
        serde_json::to_writer(&mut chunk, value)?;
        chunk.push(b'\n');
    }
    Ok(chunk.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<Vec<u8>> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        for chunk in chunks {
            lines.push(chunk).unwrap();
            while let Some(line) = lines.next() {
                out.push(line.to_vec());
            }
        }
        out.extend(lines.rest().map(<[u8]>::to_vec));
        out
    }

    #[test]
    fn lines_over_chunks() {
        assert_eq!(
            all(&[b"a\nb", b"c\n\n \nd"]),
            [&b"a"[..], &b"bc"[..], &b"d"[..]]
        );
        assert_eq!(all(&[b"", b"\n"]), Vec::<Vec<u8>>::new());
    }

    #[test]
    fn a_line_without_end_is_refused() {
        let mut lines = Lines::default();
        let chunk = vec![b'x'; MAX_LINE];
        lines.push(&chunk).unwrap();
        assert_eq!(lines.next(), None);
        lines.push(b"x").unwrap();
        assert_eq!(lines.push(b"x"), Err(LineTooLong));
    }

    proptest! {
        #[test]
        fn chunk_boundaries_do_not_matter(
            text in "[ab\n ]{0,60}",
            cuts in prop::collection::vec(0usize..60, 0..6),
        ) {
            let whole: Vec<Vec<u8>> = text
                .split('\n')
                .filter(|l| !l.trim().is_empty())
                .map(|l| l.as_bytes().to_vec())
                .collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            let mut got = all(&chunks);
            // Only the last line, which has no newline, is trimmed.
            if let (Some(last), Some(expected)) = (got.last_mut(), whole.last())
                && last.trim_ascii() == expected.trim_ascii()
            {
                last.clone_from(expected);
            }
            prop_assert_eq!(got, whole);
        }
    }
}
