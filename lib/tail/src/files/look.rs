//! Looking at names: files that appear, and files that lose their name.

use std::{
    collections::{BTreeSet, HashSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Files, RESCAN,
    identity::{FileId, Print, head},
    patterns::MOST_PROBLEMS,
    tailed::{Tailed, open},
    unix_ms,
};
use crate::{
    Unread,
    figures::{count, gauge},
};

/// Clocks of file systems go in steps of up to 10 ms, behind the clock.
pub(super) const CLOCK_STEP_MS: u64 = 100;
/// What is missing for so long is a problem.
const MISSING: Duration = Duration::from_secs(60);
/// A new file whose last change is older has been moved here, and is no news.
const NEWS: Duration = Duration::from_secs(60);

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
            self.known.values_mut().for_each(|file| file.dirty = true);
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
        self.tell_unread();
    }

    /// Makes known what cannot be read at present.
    pub(super) fn tell_unread(&self) {
        self.output.counters.unread.lock().clone_from(&self.unread);
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
        self.unread.clear();
        for problem in std::mem::take(&mut found.problems) {
            self.unsettled = true;
            self.not_read(problem);
        }
        self.look_for_missing(&found.missing);
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

    fn not_read(&mut self, unread: Unread) {
        if self.told.problem(&unread.path, &unread.why) {
            count(&self.output.counters.errors, 1);
        }
        // What was found and is no file is left out on purpose.
        if unread.kind != io::ErrorKind::InvalidInput && self.unread.len() < MOST_PROBLEMS {
            self.unread.push(unread);
        }
    }

    /// What is not there for a while: no rotation, but a wrong path, or a writer that does not run.
    fn look_for_missing(&mut self, missing: &BTreeSet<PathBuf>) {
        let gone = |path: &PathBuf| !missing.contains(path);
        for path in self.missing.keys().filter(|path| gone(path)) {
            self.told.settled(path);
        }
        self.missing.retain(|path, _| !gone(path));
        for path in missing {
            let since = *self
                .missing
                .entry(path.clone())
                .or_insert_with(Instant::now);
            if since.elapsed() >= MISSING {
                self.not_read(Unread {
                    path: path.clone(),
                    kind: io::ErrorKind::NotFound,
                    why: "it does not exist".to_owned(),
                });
            }
        }
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
                if error.kind() != io::ErrorKind::NotFound {
                    self.not_read(Unread::new(path.to_owned(), &error));
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
        if self.output.looks_back()
            && let Some(before) = self.before(&path, &file, id, offset)
        {
            self.output.begins(stream, &before);
        }
        let mut tailed = Tailed::new(path, file, id, print, offset, stream);
        tailed.looked_ms = self.looked_ms;
        tailed.born = is.created().ok();
        self.changed = true;
        let known = self.known.len() as u64 + 1;
        gauge(&self.output.counters.files, known);
        self.known.entry(id).insert_entry(tailed).into_mut()
    }
}
