//! The start: where the checkpoint left each file, whatever became of it since.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use couic_common::unix_time;

use super::{
    Files,
    checkpoint::{Checkpoint, SavedFile, SavedGap},
    gaps::Gap,
    identity::{FileId, Print, head},
    names::is_rotated,
    siblings::{Sibling, siblings},
    tailed::{line_after, line_before},
};
use crate::{figures::count, lines::Lines, saver::Saver};

/// Back so soon, lines that were written meanwhile are news: no rate that counts over as long sees them too close
/// together.
const SOON: Duration = Duration::from_secs(10);
/// Clocks of file systems go in steps of up to 10 ms, behind the clock.
const MTIME_STEP_MS: u64 = 100;

/// The checkpoint of the last run. One that cannot be read is told, and as none.
pub(super) fn load(path: &Path) -> Option<Checkpoint> {
    let content = match Saver::load(path) {
        Ok(content) => content?,
        Err(error) => {
            tracing::warn!(path = %path.display(), "the checkpoint cannot be read, so logs are read from their ends: {error}");
            return None;
        }
    };
    match serde_json::from_slice(&content) {
        Ok(checkpoint) => Some(checkpoint),
        Err(error) => {
            tracing::warn!(path = %path.display(), "the checkpoint is damaged, so logs are read from their ends: {error}");
            None
        }
    }
}

/// For how long nobody read, and since when.
struct Away {
    since_ms: u64,
    lasted: Duration,
}

impl Files {
    pub(super) fn resume(&mut self, saved: Option<Checkpoint>) {
        let found = self.found();
        let Some(saved) = saved else {
            for (path, _) in found {
                self.start_at_end(path);
            }
            return;
        };
        let now = unix_time();
        let away = Away {
            since_ms: saved.taken_ms,
            lasted: now.saturating_sub(Duration::from_millis(saved.taken_ms)),
        };
        let same_patterns = saved.patterns == self.patterns.texts();
        self.past.extend(saved.past.iter().cloned());
        let mut left: HashMap<FileId, &SavedFile> =
            saved.files.iter().map(|file| (file.id, file)).collect();
        let mut replaced = Vec::new();
        // Renamed ones before the new files of their names, as they were written.
        let mut logs: Vec<PathBuf> = Vec::new();
        let mut starts = Vec::new();
        for (path, is) in found {
            logs.push(path.clone());
            match left.remove(&FileId::of(&is)) {
                Some(entry) if self.is_same(&path, entry) => {
                    starts.push((path, Some(entry.offset)))
                }
                Some(entry) => {
                    replaced.push(entry);
                    starts.push((path, Some(0)));
                }
                None if same_patterns => starts.push((path, Some(0))),
                None => starts.push((path, None)),
            }
        }
        replaced.extend(left.into_values());
        self.past.extend(replaced.iter().map(|entry| super::Past {
            path: entry.path.clone(),
            print: entry.print,
            offset: entry.offset,
        }));
        self.resume_renamed(&replaced, &logs, &away);
        for (path, offset) in starts {
            match offset {
                Some(offset) => {
                    if let Some((file, is)) = self.open_found(&path) {
                        self.resume_at(path, file, &is, offset, &away, false);
                    }
                }
                None => self.start_at_end(path),
            }
        }
        for gap in saved.gaps {
            self.resume_gap(gap);
        }
        self.changed = true;
    }

    fn is_same(&self, path: &Path, entry: &SavedFile) -> bool {
        let looked =
            super::tailed::open(path).and_then(|file| Ok((head(&file)?, file.metadata()?)));
        looked.is_ok_and(|((head, len), is)| {
            is.len() >= entry.offset && entry.print.fits(head.get(..len).unwrap_or_default())
        })
    }

    /// Files that lost their name or were truncated while nobody looked, and those that came and went meanwhile.
    fn resume_renamed(&mut self, replaced: &[&SavedFile], logs: &[PathBuf], away: &Away) {
        let mut origins: Vec<&Path> = logs.iter().map(PathBuf::as_path).collect();
        origins.extend(replaced.iter().map(|entry| entry.path.as_path()));
        origins.sort_unstable();
        origins.dedup();
        let mut dirs: Vec<&Path> = origins.clone();
        dirs.dedup_by_key(|origin| origin.parent());
        for dir in dirs {
            let found = siblings(dir, |path, ino| {
                !logs.iter().any(|log| log == path)
                    && (origins.iter().any(|log| is_rotated(log, path))
                        || replaced.iter().any(|entry| entry.id.ino() == ino))
            });
            for sibling in found {
                self.resume_sibling(sibling, replaced, away);
            }
        }
    }

    fn resume_sibling(&mut self, sibling: Sibling, replaced: &[&SavedFile], away: &Away) {
        if self.known.contains_key(&sibling.id) || self.own.has(&sibling.path, &sibling.is) {
            return;
        }
        let fits =
            |entry: &&&SavedFile| sibling.len >= entry.offset && entry.print.fits(&sibling.head);
        let same = replaced
            .iter()
            .find(|entry| entry.id == sibling.id && fits(entry));
        let copy = || {
            replaced
                .iter()
                .find(|entry| entry.print.tells_copies() && fits(entry))
        };
        let offset = match same.or_else(copy) {
            Some(entry) => entry.offset,
            // Written to since then: it came and went. A copy of what is known is seen at the first reading.
            None if changed_ms(&sibling.is) + MTIME_STEP_MS >= away.since_ms => 0,
            None => return,
        };
        self.resume_at(sibling.path, sibling.file, &sibling.is, offset, away, true);
    }

    /// Reads on at `offset`; if nobody read for long, what was written meanwhile is a gap.
    fn resume_at(
        &mut self,
        path: PathBuf,
        file: File,
        is: &Metadata,
        offset: u64,
        away: &Away,
        retired: bool,
    ) {
        if away.lasted <= SOON || offset >= is.len() {
            self.add(path, file, is, offset, retired);
            return;
        }
        match self.split(&file, is, offset, away) {
            Ok((at, end)) => {
                count(&self.output.counters.skipped_bytes, end - offset);
                let gap = gap_of(FileId::of(is), &path, &file, at, end);
                if let Ok(Some(gap)) = gap {
                    self.gaps.add(gap, &self.output);
                }
                self.add(path, file, is, end, retired);
            }
            Err(error) => {
                count(&self.output.counters.errors, 1);
                tracing::warn!(path = %path.display(), "cannot look for where to read on: {error}");
                self.add(path, file, is, is.len(), retired);
            }
        }
    }

    /// The part of a file since `offset` that is no older than `catch_up`, as far as can be told without reading times:
    /// as if it had been written evenly.
    fn split(
        &self,
        file: &File,
        is: &Metadata,
        offset: u64,
        away: &Away,
    ) -> io::Result<(u64, u64)> {
        let end = line_before(file, is.len())?.unwrap_or(offset).max(offset);
        let age = unix_time().saturating_sub(Duration::from_millis(changed_ms(is)));
        let catch_up = self.options.catch_up;
        if age > catch_up {
            return Ok((end, end));
        }
        let bytes = end - offset;
        let share = (catch_up.as_secs_f64() / away.lasted.as_secs_f64()).min(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an estimate between 0 and `bytes`"
        )]
        let young = (bytes as f64 * share) as u64;
        let keep = young.min(bytes).min(self.options.catch_up_bytes);
        if keep == bytes {
            return Ok((offset, end));
        }
        Ok((line_after(file, end - keep, end)?.unwrap_or(end), end))
    }

    fn start_at_end(&mut self, path: PathBuf) {
        let Some((file, is)) = self.open_found(&path) else {
            return;
        };
        let start = line_before(&file, is.len());
        let (offset, within) = match start {
            Ok(Some(start)) => (start, false),
            _ => (is.len(), true),
        };
        self.add(path, file, &is, offset, false);
        if within && let Some(file) = self.known.get_mut(&FileId::of(&is)) {
            file.lines = Lines::within_a_line();
        }
    }

    fn resume_gap(&mut self, saved: SavedGap) {
        let by_inode = |_: &Path, ino| ino == saved.id.ino();
        let open = self
            .known
            .get_mut(&saved.id)
            .and_then(|file| file.opened().ok());
        let open = open.or_else(|| {
            let found = siblings(&saved.path, by_inode);
            let same = found.into_iter().find(|found| found.id == saved.id);
            same.map(|found| Arc::new(found.file))
        });
        let fits = |file: &Arc<File>| {
            head(file)
                .is_ok_and(|(head, len)| saved.print.fits(head.get(..len).unwrap_or_default()))
        };
        let Some(file) = open.filter(fits) else {
            count(
                &self.output.counters.lost_bytes,
                saved.end.saturating_sub(saved.at),
            );
            tracing::warn!(path = %saved.path.display(), "a part that was jumped over cannot be read any more: its file is gone");
            return;
        };
        let gap = Gap {
            id: saved.id,
            path: saved.path,
            file,
            print: saved.print,
            at: saved.at,
            end: saved.end,
        };
        self.gaps.add(gap, &self.output);
    }
}

fn gap_of(id: FileId, path: &Path, file: &File, at: u64, end: u64) -> io::Result<Option<Gap>> {
    if at >= end {
        return Ok(None);
    }
    let (head, len) = head(file)?;
    Ok(Some(Gap {
        id,
        path: path.to_owned(),
        file: Arc::new(file.try_clone()?),
        print: Print::of(head.get(..len).unwrap_or_default()),
        at,
        end,
    }))
}

/// When a file was written to last, in Unix milliseconds.
fn changed_ms(is: &Metadata) -> u64 {
    let changed = is.modified().ok();
    let since = changed.and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
