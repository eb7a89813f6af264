//! Splitting bytes into lines, in bounded memory, whatever the chunks they arrive in.
//!
//! Lines end with a newline; a carriage return before it is not part of the line; empty lines are not handed over. Of a
//! line longer than [`MAX_LINE`] the head is handed over apart, as [`Piece::Cut`]: its writer decides where it is cut, so
//! what stands last in it proves nothing.

use memchr::memchr;

use crate::{MAX_LINE, USUAL_LINE};

/// A line as the splitter found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A whole line, without its end.
    Line(&'a [u8]),
    /// The first bytes, at most [`MAX_LINE`], of a line whose end is not known.
    Cut(&'a [u8]),
}

/// The splitter of one stream: holds at most [`MAX_LINE`] bytes between chunks, and gives back what a long line took.
#[derive(Debug, Default)]
pub struct Lines {
    carry: Vec<u8>,
    /// Bytes of the unfinished line that are not in `carry`.
    dropped: u64,
    /// The stream began within a line, whose rest belongs to nobody.
    within: bool,
}

impl Lines {
    /// A splitter for a stream that begins within a line: nothing is handed over before the first newline.
    #[must_use]
    pub fn within_a_line() -> Self {
        Self {
            within: true,
            ..Self::default()
        }
    }

    /// Bytes since the last newline: where the unfinished line began, counted back from the end of the last chunk.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.carry.len() as u64 + self.dropped
    }

    /// Forgets the unfinished line.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Splits a chunk. Returns the bytes of long lines that were not handed over.
    pub fn push(&mut self, mut chunk: &[u8], mut piece: impl FnMut(Piece<'_>)) -> u64 {
        let mut lost = 0;
        while let Some(end) = memchr(b'\n', chunk) {
            let (line, rest) = chunk.split_at(end);
            chunk = rest.get(1..).unwrap_or_default();
            if self.pending() == 0 && !self.within {
                lost += hand(line, 0, &mut piece);
            } else {
                self.keep(line);
                lost += self.end_line(&mut piece);
            }
        }
        self.keep(chunk);
        lost
    }

    /// The stream has ended: its unfinished line is whole if `whole`, otherwise its head is handed over as cut. Returns
    /// the bytes that were not handed over.
    pub fn finish(&mut self, whole: bool, mut piece: impl FnMut(Piece<'_>)) -> u64 {
        if whole {
            return self.end_line(&mut piece);
        }
        let lost = self.dropped;
        if !self.carry.is_empty() && !self.within {
            piece(Piece::Cut(&self.carry));
        }
        self.reset();
        lost
    }

    fn keep(&mut self, part: &[u8]) {
        // One byte more than a line may have tells a long line from one that just fits.
        let room = if self.within {
            0
        } else {
            (MAX_LINE + 1).saturating_sub(self.carry.len())
        };
        let (kept, rest) = part.split_at(room.min(part.len()));
        self.carry.extend_from_slice(kept);
        self.dropped += rest.len() as u64;
    }

    fn end_line(&mut self, piece: &mut impl FnMut(Piece<'_>)) -> u64 {
        let lost = if self.within {
            self.dropped
        } else {
            hand(&self.carry, self.dropped, piece)
        };
        self.carry.clear();
        self.carry.shrink_to(USUAL_LINE);
        self.dropped = 0;
        self.within = false;
        lost
    }
}

fn hand(line: &[u8], dropped: u64, piece: &mut impl FnMut(Piece<'_>)) -> u64 {
    match line.split_at_checked(MAX_LINE) {
        Some((head, rest)) if !rest.is_empty() => {
            piece(Piece::Cut(head));
            rest.len() as u64 + dropped
        }
        _ => {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                piece(Piece::Line(line));
            }
            0
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq)]
    enum Owned {
        Line(Vec<u8>),
        Cut(Vec<u8>),
    }

    fn own(piece: Piece<'_>) -> Owned {
        match piece {
            Piece::Line(line) => Owned::Line(line.to_vec()),
            Piece::Cut(head) => Owned::Cut(head.to_vec()),
        }
    }

    fn oracle(text: &[u8]) -> Vec<Owned> {
        let lines = text.split(|byte| *byte == b'\n');
        lines
            .filter_map(|line| {
                if line.len() > MAX_LINE {
                    return Some(Owned::Cut(line[..MAX_LINE].to_vec()));
                }
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                (!line.is_empty()).then(|| Owned::Line(line.to_vec()))
            })
            .collect()
    }

    fn split(chunks: &[&[u8]]) -> (Vec<Owned>, u64) {
        let (mut lines, mut found, mut lost) = (Lines::default(), Vec::new(), 0);
        for chunk in chunks {
            lost += lines.push(chunk, |piece| found.push(own(piece)));
            assert!(lines.carry.len() <= MAX_LINE + 1);
        }
        lost += lines.finish(true, |piece| found.push(own(piece)));
        (found, lost)
    }

    #[test]
    fn a_line_of_64_megabytes_takes_no_memory_and_the_next_is_whole() {
        let chunk = vec![b'x'; 1 << 20];
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for _ in 0..64 {
            assert_eq!(lines.push(&chunk, |piece| found.push(own(piece))), 0);
        }
        assert_eq!(lines.pending(), 64 << 20);
        let lost = lines.push(b"\nnext\n", |piece| found.push(own(piece)));
        assert_eq!(lost, (64 << 20) - MAX_LINE as u64);
        let expected = [
            Owned::Cut(vec![b'x'; MAX_LINE]),
            Owned::Line(b"next".to_vec()),
        ];
        assert_eq!(found, expected);
        assert!(lines.carry.capacity() <= USUAL_LINE);
    }

    #[test]
    fn memory_grows_with_a_long_line_and_shrinks_after_it() {
        let mut lines = Lines::default();
        lines.push(b"a short one", |_| {});
        assert!(lines.carry.capacity() < USUAL_LINE);
        lines.push(&vec![b'x'; 16 * MAX_LINE], |_| {});
        assert!(lines.carry.capacity() <= 2 * MAX_LINE);
        lines.push(b"\nthe next", |_| {});
        assert!(lines.carry.capacity() <= USUAL_LINE);
    }

    #[test]
    fn a_line_of_just_the_limit_is_whole_and_one_byte_more_is_cut() {
        for (length, whole) in [(MAX_LINE, true), (MAX_LINE + 1, false)] {
            let text = [vec![b'a'; length], b"\n".to_vec()].concat();
            let (found, lost) = split(&[&text]);
            assert_eq!(matches!(found[..], [Owned::Line(_)]), whole);
            assert_eq!(lost, u64::from(!whole));
        }
    }

    #[test]
    fn the_rest_of_a_line_that_began_earlier_is_nobodys() {
        let mut lines = Lines::within_a_line();
        let mut found = Vec::new();
        lines.push(b"est of", |piece| found.push(own(piece)));
        assert_eq!(lines.pending(), 6);
        lines.push(b" it\nwhole\nhal", |piece| found.push(own(piece)));
        assert_eq!(found, [Owned::Line(b"whole".to_vec())]);
        lines.finish(false, |piece| found.push(own(piece)));
        assert_eq!(found[1..], [Owned::Cut(b"hal".to_vec())]);
        assert_eq!(lines.pending(), 0);
    }

    proptest! {
        #[test]
        fn any_chunks_give_the_lines_of_a_plain_split(
            parts in vec(prop_oneof![
                8 => vec(prop_oneof![Just(b'\n'), Just(b'\r'), any::<u8>()], 0..40),
                1 => (MAX_LINE - 8..MAX_LINE + 9).prop_map(|n| vec![b'l'; n]),
            ], 0..30),
            cuts in vec(any::<prop::sample::Index>(), 0..40),
        ) {
            let text = parts.concat();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            at.extend([0, text.len()]);
            at.sort_unstable();
            let chunks: Vec<&[u8]> = at.windows(2).map(|w| &text[w[0]..w[1]]).collect();
            let (found, lost) = split(&chunks);
            prop_assert_eq!(found, oracle(&text));
            let long = text.split(|byte| *byte == b'\n').map(|line| line.len().saturating_sub(MAX_LINE));
            prop_assert_eq!(lost, long.sum::<usize>() as u64);
        }
    }
}
