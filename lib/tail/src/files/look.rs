//! Looking at names: files that appear, lose their name, or are truncated.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use nix::sys::stat::fstat;

use super::{
    Files, MAX_PAST, RESCAN, TICK,
    checkpoint::Past,
    identity::{FileId, Print, head},
    names::{is_kin, is_rotated},
    siblings::siblings,
    tailed::{Tailed, open},
    unix_ms,
};
use crate::figures::{count, gauge};

/// A file whose name is another's is read until nothing was written to it for this long.
const RETIRED_FOR: Duration = Duration::from_secs(60);
/// Less if its name was given away twice.
const RETIRED_TWICE: Duration = Duration::from_secs(3);
/// Clocks of file systems go in steps of up to 10 ms, behind the clock.
pub(super) const CLOCK_STEP_MS: u64 = 100;
/// A new file whose last change is older has been moved here, and is no news.
const NEWS: Duration = Duration::from_secs(60);

/// Logs of the program itself.
pub(crate) struct OwnLog {
    paths: Vec<PathBuf>,
    /// All that these paths have been, and the standard streams.
    seen: HashSet<(u64, u64)>,
}

impl OwnLog {
    pub(crate) fn new(paths: Vec<PathBuf>) -> Self {
        let paths = paths.into_iter().map(|path| {
            let parent = path
                .parent()
                .and_then(|parent| fs::canonicalize(parent).ok());
            match (parent, path.file_name()) {
                (Some(parent), Some(name)) => parent.join(name),
                _ => path,
            }
        });
        let mut own = Self {
            paths: paths.collect(),
            seen: HashSet::new(),
        };
        for stream in [io::stdout().as_fd(), io::stderr().as_fd()] {
            if let Ok(is) = fstat(stream) {
                own.seen.insert((is.st_dev, is.st_ino));
            }
        }
        own
    }

    /// Looks at the paths again: own logs are rotated as well.
    fn look(&mut self) {
        for path in &self.paths {
            if let Ok(is) = fs::metadata(path) {
                self.seen.insert(key(&is));
            }
        }
    }

    /// Whether a file is one of them, or one that was rotated.
    pub(crate) fn has(&mut self, path: &Path, is: &fs::Metadata) -> bool {
        self.look();
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.seen.contains(&key(is))
            || self
                .paths
                .iter()
                .any(|own| *own == real || is_rotated(own, &real))
    }
}

fn key(is: &fs::Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (is.dev(), is.ino())
}

/// Whether a file came into being since then, in Unix milliseconds, and was written to. Not all file systems know the
/// former.
fn is_created_since(path: &Path, since: u64) -> bool {
    let since = |at: SystemTime| ms_of(at) + CLOCK_STEP_MS >= since;
    fs::metadata(path).is_ok_and(|is| is.modified().is_ok_and(since) && is.created().map_or(true, since))
}

/// In Unix milliseconds.
pub(super) fn ms_of(at: SystemTime) -> u64 {
    let since = at
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl Files {
    pub(super) fn take_events(&mut self) -> io::Result<()> {
        // Before: what happens from here on is not in the events.
        let looked_ms = unix_ms();
        let events = self.watch.drain(&self.patterns)?;
        for id in &events.dirty {
            if let Some(file) = self.known.get_mut(id) {
                file.dirty = true;
            }
        }
        if events.overflow {
            count(&self.output.counters.errors, 1);
            tracing::warn!(
                "the kernel dropped events of log files: all are looked at again; raise fs.inotify.max_queued_events if this recurs"
            );
            self.known
                .values_mut()
                .for_each(|file| file.dirty = true);
        }
        // Before the scan, so that the older file has the older stream.
        for path in events.renamed {
            if path.to_str().is_some() {
                self.adopt_renamed(path);
            }
        }
        if events.rescan || events.overflow {
            self.scan();
        }
        self.looked_ms = looked_ms;
        Ok(())
    }

    /// A file that had the name of a log and was renamed. It is news if it was never seen under that name.
    fn adopt_renamed(&mut self, path: PathBuf) {
        let Ok(file) = open(&path) else {
            return;
        };
        let Ok(is) = file.metadata() else {
            return;
        };
        if let Some(known) = self.known.get_mut(&FileId::of(&is)) {
            // It may be closed, and its old name leads to another file.
            known.file.get_or_insert_with(|| Arc::new(file));
            return;
        }
        if self.own.has(&path, &is) {
            return;
        }
        count(&self.output.counters.rotations, 1);
        let offset = if self.is_news(&is) { 0 } else { is.len() };
        self.add(path, file, &is, offset, None).retired = Some(Instant::now());
    }

    fn is_news(&self, is: &fs::Metadata) -> bool {
        let age = is
            .modified()
            .ok()
            .and_then(|at| SystemTime::now().duration_since(at).ok());
        age.unwrap_or_default() <= self.options.catch_up.max(NEWS)
    }

    /// Looks which files the patterns find now.
    pub(super) fn scan(&mut self) {
        for (path, is) in self.found() {
            let id = FileId::of(&is);
            if let Some(file) = self.known.get_mut(&id) {
                file.retired = None;
                file.path = path;
                continue;
            }
            let Some((file, is)) = self.open_found(&path) else {
                continue;
            };
            let offset = if self.is_news(&is) { 0 } else { is.len() };
            self.add(path, file, &is, offset, None);
        }
    }

    /// What the patterns find, with new directories watched; files that are not found any more are retired.
    pub(super) fn found(&mut self) -> Vec<(PathBuf, fs::Metadata)> {
        self.next_scan = Instant::now() + RESCAN;
        let mut found = self.patterns.scan();
        self.unsettled = false;
        // What happens in a directory before it is watched is found by looking again.
        for _ in 0..3 {
            let (new, failed) = self.watch.set_dirs(&found.dirs);
            if let Some(error) = failed {
                self.unsettled = true;
                self.cannot_watch(&error);
            }
            if !new {
                break;
            }
            found = self.patterns.scan();
        }
        for (path, why) in &found.problems {
            self.unsettled = true;
            if self.told.problem(path, why) {
                count(&self.output.counters.errors, 1);
            }
        }
        if found.too_many {
            let why = "there are more files than a source can have: name fewer";
            for pattern in self.patterns.texts().to_vec() {
                self.told.problem(Path::new(&pattern), why);
            }
        }
        let now: HashSet<FileId> = found.files.values().map(FileId::of).collect();
        for file in self.known.values_mut() {
            if !now.contains(&file.id) && file.retired.is_none() {
                file.retired = Some(Instant::now());
                file.dirty = true;
                self.changed = true;
                count(&self.output.counters.rotations, 1);
            }
        }
        found.files.into_iter().collect()
    }

    fn cannot_watch(&mut self, error: &io::Error) {
        let why = format!(
            "cannot watch it ({error}): it is looked at each second; raise fs.inotify.max_user_watches"
        );
        if self.told.problem(Path::new("inotify"), &why) {
            count(&self.output.counters.errors, 1);
        }
    }

    /// Opens a file that is new, unless it is one of our own logs.
    pub(super) fn open_found(&mut self, path: &Path) -> Option<(File, fs::Metadata)> {
        let opened = open(path).and_then(|file| {
            let is = file.metadata()?;
            Ok((file, is))
        });
        match opened {
            Ok((_, is)) if self.own.has(path, &is) => {
                let why = "it is this program's own log, which would feed itself";
                self.told.problem(path, why);
                None
            }
            Ok(opened) => {
                self.told.settled(path);
                Some(opened)
            }
            Err(error) => {
                self.unsettled = true;
                if error.kind() != io::ErrorKind::NotFound
                    && self.told.problem(path, &error.to_string())
                {
                    count(&self.output.counters.errors, 1);
                }
                None
            }
        }
    }

    /// Begins to read a file that is not known yet at `offset`, where a line starts. `print` is what it was when that
    /// offset was right; by default what it is.
    pub(super) fn add(
        &mut self,
        path: PathBuf,
        file: File,
        is: &fs::Metadata,
        offset: u64,
        print: Option<Print>,
    ) -> &mut Tailed {
        let id = FileId::of(is);
        let file = Arc::new(file);
        let now = || match head(&file) {
            Ok((head, len)) => Print::of(head.get(..len).unwrap_or_default()),
            Err(_) => Print::default(),
        };
        let print = print.unwrap_or_else(now);
        if let Err(error) = self.watch.add_file(id, &file, &path) {
            self.unsettled = true;
            self.cannot_watch(&error);
        }
        let stream = self.output.open(&path.to_string_lossy());
        let mut tailed = Tailed::new(path, file, id, print, offset, stream);
        tailed.looked_ms = self.looked_ms;
        tailed.born = is.created().ok();
        self.changed = true;
        let known = self.known.len() as u64 + 1;
        gauge(&self.output.counters.files, known);
        self.known.entry(id).insert_entry(tailed).into_mut()
    }

    /// A file was looked at. If it has begun since the last look, it may have begun more than once, and the copies of what
    /// it was in between are files that nobody has seen.
    pub(super) fn looked_at(&mut self, id: FileId, now: u64) {
        let Some(file) = self.known.get_mut(&id) else {
            return;
        };
        let since = std::mem::replace(&mut file.looked_ms, now);
        if !file.fresh || file.retired.is_some() {
            return;
        }
        let log = file.path.clone();
        let new = siblings(&log, |path, _| {
            is_kin(&log, path) && is_created_since(path, since)
        });
        for found in new {
            if !self.known.contains_key(&found.id) && !self.own.has(&found.path, &found.is) {
                let added = self.add(found.path, found.file, &found.is, 0, None);
                added.retired = Some(Instant::now());
            }
        }
    }

    /// Whether a file whose first bytes are in the buffer is a copy of one that is read. One of the two waits: what the copy
    /// is good for is known when the original is truncated. If it was before, it is known now.
    pub(super) fn is_copy(&mut self, id: FileId, read: usize) -> bool {
        let start = self.buffer.get(..read).unwrap_or_default();
        let Some((path, born)) = self.known.get(&id).map(|file| (file.path.clone(), file.born)) else {
            return false;
        };
        let alike = |of: &Path, print: &Print| print.tells_copies() && print.fits(start) && is_kin(of, &path);
        let past = self.past.iter().filter(|past| alike(&past.path, &past.print));
        let mut read_before = past.map(|past| past.offset).max().unwrap_or(0);
        let mut original = None;
        for other in self.known.values_mut().filter(|other| other.id != id && alike(&other.path, &other.print)) {
            if other.copy_of.is_none() && other.born <= born {
                original = Some(other.id);
            } else if other.copy_of.is_none() {
                read_before = read_before.max(other.line_start()).max(other.ours);
                other.lines.reset();
                other.copy_of = Some(id);
                other.dirty = false;
            }
        }
        let Some(file) = self.known.get_mut(&id) else {
            return false;
        };
        file.ours = read_before;
        if original.is_some() {
            file.copy_of = original;
            file.dirty = false;
        }
        original.is_some()
    }

    /// Something happened to a file that waits as a copy of another. The longer of the two has everything, and is read.
    pub(super) fn look_at_copy(&mut self, id: FileId) {
        let Some(file) = self.known.get_mut(&id) else {
            return;
        };
        file.dirty = false;
        let of = file.copy_of;
        let Ok(length) = file.length() else {
            // Truncated, so it is none.
            file.copy_of = None;
            file.dirty = true;
            return;
        };
        let Some(other) = of.and_then(|of| self.known.get_mut(&of)) else {
            return;
        };
        match other.length() {
            Ok(most) if length > most => {}
            Ok(_) => return,
            Err(_) => {
                other.dirty = true;
                return;
            }
        }
        let read_before = other.line_start().max(other.ours);
        other.lines.reset();
        other.copy_of = Some(id);
        if let Some(file) = self.known.get_mut(&id) {
            file.copy_of = None;
            file.ours = file.ours.max(read_before);
            file.dirty = true;
        }
    }

    /// A file was truncated. What was not read of it may be in a copy.
    pub(super) fn truncated(&mut self, id: FileId) {
        let Some(file) = self.known.get_mut(&id) else {
            return;
        };
        let past = Past {
            path: file.path.clone(),
            print: file.print,
            offset: file.line_start(),
        };
        // An unfinished line is none that its writer had torn: its rest is gone, or in the copy.
        let restarted = file.restart();
        file.dirty = true;
        count(&self.output.counters.rotations, 1);
        for copy in self
            .known
            .values_mut()
            .filter(|copy| copy.copy_of == Some(id))
        {
            copy.copy_of = None;
            copy.ours = past.offset.max(copy.ours);
            copy.dirty = true;
        }
        if past.print.tells_copies() {
            for found in siblings(&past.path, |sibling, _| is_kin(&past.path, sibling)) {
                let new = found.len > past.offset && !self.known.contains_key(&found.id);
                if new && past.print.fits(&found.head) {
                    let print = Some(past.print);
                    let added = self.add(found.path, found.file, &found.is, past.offset, print);
                    added.retired = Some(Instant::now());
                }
            }
        }
        self.past.push_back(past);
        if self.past.len() > MAX_PAST {
            self.past.pop_front();
        }
        self.changed = true;
        if let Err(error) = restarted {
            self.failed(id, &error);
        }
    }

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
            for copy in self.known.values_mut().filter(|copy| copy.copy_of == Some(id)) {
                copy.copy_of = None;
                copy.ours = copy.ours.max(file.line_start());
                copy.dirty = true;
            }
            self.watch.remove_file(id);
            self.output
                .finish(file.stream, &mut file.lines, false, crate::When::Live);
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
