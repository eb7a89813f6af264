//! Files that nobody writes to any more, and descriptors that others need.

use std::{
    fs, io,
    time::{Duration, Instant},
};

use super::{Files, TICK, identity::FileId, unix_ms};
use crate::{
    When,
    figures::{count, gauge},
};

/// A file whose name is another's is read until nothing was written to it for this long.
const RETIRED_FOR: Duration = Duration::from_secs(60);
/// Less if its name was given away twice.
const RETIRED_TWICE: Duration = Duration::from_secs(3);

impl Files {
    pub(super) fn failed(&mut self, id: FileId, error: &io::Error) {
        let Some(file) = self.known.get_mut(&id) else {
            return;
        };
        file.dirty = false;
        // A file that was closed while idle and has no name any more: nothing was written to it since.
        let gone = file.file.is_none();
        if gone {
            self.forget(id);
            self.unsettled = true;
        } else if !std::mem::replace(&mut file.failing, true) {
            count(&self.output.counters.errors, 1);
            tracing::warn!(path = %file.path.display(), "reading failed, and is tried again: {error}");
        }
    }

    fn forget(&mut self, id: FileId) {
        if let Some(mut file) = self.known.remove(&id) {
            for copy in self
                .known
                .values_mut()
                .filter(|copy| copy.copy_of == Some(id))
            {
                copy.copy_of = None;
                copy.ours = copy.ours.max(file.line_start());
                copy.dirty = true;
            }
            self.watch.remove_file(id);
            self.output
                .finish(file.stream, &mut file.lines, false, When::Live);
            self.output.close(file.stream);
            self.changed = true;
            gauge(&self.output.counters.files, self.known.len() as u64);
        }
    }

    /// Each second: sizes, for file systems without inotify; files that nobody writes to any more.
    pub(super) fn tick(&mut self) {
        self.next_tick = Instant::now() + TICK;
        let now = unix_ms();
        // What happened until now has been taken in.
        let quiet = self.watch.is_quiet();
        for file in self.known.values_mut() {
            let size = match &file.file {
                Some(open) => open.metadata().map(|is| is.len()),
                None => fs::metadata(&file.path).map(|is| is.len()),
            };
            let changed = size.is_ok_and(|size| size != file.offset);
            if quiet && !changed && !file.dirty {
                file.looked_ms = now;
            }
            file.dirty |= file.copy_of.is_none() && changed;
        }
        if self.unsettled || Instant::now() >= self.next_scan {
            self.scan();
        }
        self.forget_retired();
        self.close_idle();
    }

    fn forget_retired(&mut self) {
        let mut retired: Vec<_> = self
            .known
            .values()
            .filter(|file| file.retired.is_some())
            .collect();
        retired.sort_unstable_by_key(|file| std::cmp::Reverse(file.stream));
        let named = self.known.len() - retired.len();
        let done = retired.iter().enumerate().filter(|(newer, file)| {
            let twice = *newer >= 2 * named.max(1);
            let idle = if twice { RETIRED_TWICE } else { RETIRED_FOR };
            !file.dirty && file.last_data.elapsed() >= idle
        });
        let done: Vec<FileId> = done.map(|(_, file)| file.id).collect();
        for id in done {
            self.forget(id);
        }
    }

    /// Closes the files that are idle for the longest, if too many are open.
    fn close_idle(&mut self) {
        let open = self
            .known
            .values()
            .filter(|file| file.file.is_some())
            .count();
        let Some(excess) = open
            .checked_sub(self.options.max_open)
            .filter(|excess| *excess > 0)
        else {
            return;
        };
        let mut idle: Vec<_> = self
            .known
            .values_mut()
            .filter(|file| file.file.is_some() && !file.dirty)
            .collect();
        idle.sort_unstable_by_key(|file| (file.retired.is_none(), file.last_data));
        let mut nameless = Vec::new();
        for file in idle.into_iter().take(excess) {
            if file.retired.is_some() {
                nameless.push(file.id);
            }
            file.file = None;
        }
        for id in nameless {
            self.forget(id);
        }
    }
}
