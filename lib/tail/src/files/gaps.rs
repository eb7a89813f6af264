//! Parts of files that were jumped over: read when there is nothing newer.

use std::{collections::VecDeque, fs::File, io, os::unix::fs::FileExt, path::PathBuf, sync::Arc};

use super::{
    checkpoint::SavedGap,
    identity::{FileId, Print, head},
};
use crate::{StreamId, When, figures::count, lines::Lines, output::Output};

/// Gaps kept at most, each with a descriptor that its file may share; of more the oldest is lost.
const MAX_GAPS: usize = 256;

/// Whole lines from `at` up to `end`.
pub(super) struct Gap {
    pub(super) id: FileId,
    pub(super) path: PathBuf,
    /// Keeps the file readable when it is renamed or removed.
    pub(super) file: Arc<File>,
    pub(super) print: Print,
    pub(super) at: u64,
    pub(super) end: u64,
}

/// The gaps of one source, the newest last.
#[derive(Default)]
pub(super) struct Gaps {
    waiting: VecDeque<Gap>,
    reading: Option<Reading>,
}

struct Reading {
    gap: Gap,
    stream: StreamId,
    lines: Lines,
}

impl Gaps {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.reading.is_none()
    }

    pub(super) fn add(&mut self, gap: Gap, output: &Output<'_>) {
        if gap.at >= gap.end {
            return;
        }
        if self.waiting.len() >= MAX_GAPS
            && let Some(lost) = self.waiting.pop_front()
        {
            tracing::warn!(
                path = %lost.path.display(),
                bytes = lost.end - lost.at,
                "too many gaps: the oldest will not be read"
            );
            count(&output.counters.lost_bytes, lost.end - lost.at);
        }
        self.waiting.push_back(gap);
    }

    /// Reads a chunk of the newest gap.
    pub(super) fn read(&mut self, buffer: &mut [u8], output: &mut Output<'_>) {
        let Some(mut reading) = self.reading.take().or_else(|| self.next(output)) else {
            return;
        };
        match reading.step(buffer, output) {
            Ok(true) => self.reading = Some(reading),
            Ok(false) => reading.close(output),
            Err(error) => {
                let Gap { path, at, end, .. } = &reading.gap;
                tracing::warn!(path = %path.display(), bytes = end - at, "the rest of a gap is lost: {error}");
                count(&output.counters.lost_bytes, end - at);
                count(&output.counters.errors, 1);
                reading.close(output);
            }
        }
    }

    fn next(&mut self, output: &mut Output<'_>) -> Option<Reading> {
        let gap = self.waiting.pop_back()?;
        let stream = output.open(&gap.path.to_string_lossy());
        Some(Reading {
            gap,
            stream,
            lines: Lines::default(),
        })
    }

    /// What is still to be read.
    pub(super) fn saved(&self) -> Vec<SavedGap> {
        let reading = self
            .reading
            .iter()
            .map(|reading| (&reading.gap, reading.lines.pending()));
        let all = self.waiting.iter().map(|gap| (gap, 0)).chain(reading);
        all.map(|(gap, pending)| SavedGap {
            id: gap.id,
            path: gap.path.clone(),
            print: gap.print,
            at: gap.at.saturating_sub(pending),
            end: gap.end,
        })
        .collect()
    }
}

impl Reading {
    /// Hands over the next chunk. Returns whether there is more.
    fn step(&mut self, buffer: &mut [u8], output: &mut Output<'_>) -> io::Result<bool> {
        let Gap {
            file,
            print,
            at,
            end,
            ..
        } = &mut self.gap;
        let left = usize::try_from(*end - *at).unwrap_or(usize::MAX);
        let most = buffer.len().min(left);
        let read = file.read_at(buffer.get_mut(..most).unwrap_or_default(), *at)?;
        let (head, len) = head(file)?;
        if read == 0 || !print.fits(head.get(..len).unwrap_or_default()) {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file was truncated",
            ));
        }
        *at += read as u64;
        let chunk = buffer.get(..read).unwrap_or_default();
        output.chunk(self.stream, &mut self.lines, chunk, When::Late);
        count(&output.counters.late_bytes, read as u64);
        Ok(self.gap.at < self.gap.end)
    }

    fn close(mut self, output: &mut Output<'_>) {
        output.finish(self.stream, &mut self.lines, false, When::Late);
        output.close(self.stream);
    }
}
