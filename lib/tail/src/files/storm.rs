//! Behind by too much: the newest first.

use std::{io, sync::Arc};

use super::{
    Files,
    gaps::Gap,
    identity::FileId,
    tailed::{line_after, line_before},
};
use crate::{
    STORM_BYTES, STORM_KEEP, STORM_LAG,
    figures::{count, gauge},
};

/// Shorter gaps are not worth a jump: with many files there would be too many of them.
const SMALLEST: u64 = 64 << 10;

impl Files {
    /// Jumps to the newest [`STORM_KEEP`] bytes of all files together when the source is too far behind.
    pub(super) fn jump_if_behind(&mut self) {
        let mut behind: Vec<(bool, u64, FileId)> = Vec::new();
        for file in self
            .known
            .values_mut()
            .filter(|file| file.dirty && file.copy_of.is_none())
        {
            let size = file
                .opened()
                .and_then(|open| open.metadata())
                .map_or(0, |is| is.len());
            let from = file.offset.max(file.ours);
            behind.push((file.retired.is_some(), size.saturating_sub(from), file.id));
        }
        let total: u64 = behind.iter().map(|(_, bytes, _)| bytes).sum();
        gauge(&self.output.counters.behind_bytes, total);
        let late = self.caught_up.elapsed() > STORM_LAG && total > STORM_KEEP;
        if total <= STORM_BYTES && !late {
            return;
        }
        // Files with a name have the newest lines. Those that are least behind leave the others more.
        behind.sort_unstable_by_key(|(retired, bytes, id)| {
            (
                *retired,
                *bytes,
                self.known
                    .get(id)
                    .map(|file| std::cmp::Reverse(file.stream)),
            )
        });
        let (mut left, mut files, mut skipped) = (
            STORM_KEEP,
            behind.iter().filter(|(retired, ..)| !retired).count() as u64,
            0,
        );
        for (retired, bytes, id) in behind {
            let share = if retired { left } else { left / files.max(1) };
            files = files.saturating_sub(1);
            let keep = bytes.min(share);
            left -= keep;
            if bytes > keep + SMALLEST {
                skipped += self.jump(id, keep).unwrap_or(0);
            }
        }
        if skipped > 0 {
            self.changed = true;
            count(&self.output.counters.skipped_bytes, skipped);
            tracing::warn!(
                bytes = skipped,
                "behind by too much: reading the newest lines first, and what is left out when there is time"
            );
        }
    }

    /// Leaves a gap so that `keep` bytes of a file are to be read. Returns its length: 0 if no line starts there.
    fn jump(&mut self, id: FileId, keep: u64) -> io::Result<u64> {
        let Some(file) = self.known.get_mut(&id) else {
            return Ok(0);
        };
        let open = file.opened()?;
        let size = open.metadata()?.len();
        let start = file.line_start().max(file.ours);
        let to = match line_after(&open, size.saturating_sub(keep), size)? {
            Some(to) => Some(to),
            None => line_before(&open, size)?,
        };
        let Some(to) = to.filter(|to| *to > file.offset) else {
            return Ok(0);
        };
        // A fingerprint comes with the first reading. Without one it cannot be told whether the gap is still the same.
        if file.print.is_empty() {
            return Ok(0);
        }
        let gap = Gap {
            id,
            path: file.path.clone(),
            file: Arc::clone(&open),
            print: file.print,
            at: start,
            end: to,
        };
        file.offset = to;
        file.lines.reset();
        file.torn = true;
        self.gaps.add(gap, &self.output);
        Ok(to - start)
    }
}
