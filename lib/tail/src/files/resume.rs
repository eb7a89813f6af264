//! The start: where the checkpoint left each file, whatever became of it since.

use std::{
    collections::HashMap,
    fs::{File, Metadata},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use couic_common::unix_time;

use super::{
    Files,
    checkpoint::{Checkpoint, Past, SavedFile, SavedGap},
    gaps::Gap,
    identity::{FileId, Print, head},
    look::{CLOCK_STEP_MS, ms_of},
    names::{is_rotated, may_be_copy},
    siblings::{Sibling, siblings},
    tailed::{line_after, line_before},
};
use crate::{figures::count, lines::Lines, saver::Saver};

/// Back so soon, lines that were written meanwhile are news: no rate that counts over as long sees them too close
/// together.
const SOON: Duration = Duration::from_secs(10);

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

/// Files that the patterns find, where reading begins, and of which fingerprint that is known; at the end if `None`.
type Starts = HashMap<FileId, (PathBuf, File, Metadata, Option<(u64, Option<Print>)>)>;

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
                if let Some((file, is)) = self.open_found(&path) {
                    self.start_at_end(path, file, &is);
                }
            }
            return;
        };
        let away = Away {
            since_ms: saved.taken_ms,
            lasted: unix_time().saturating_sub(Duration::from_millis(saved.taken_ms)),
        };
        let new_at = (saved.patterns == self.patterns.texts()).then_some((0, None));
        self.past.extend(saved.past);
        let mut left: HashMap<FileId, SavedFile> = saved
            .files
            .into_iter()
            .map(|file| (file.id, file))
            .collect();
        let (mut starts, mut replaced) = (HashMap::new(), Vec::new());
        for (path, _) in found {
            // Opened once: the name may be another file's a moment later.
            let Some((file, is)) = self.open_found(&path) else {
                continue;
            };
            let id = FileId::of(&is);
            let at = match left.remove(&id) {
                Some(entry) if is_same(&file, &is, &entry) => {
                    Some((entry.offset, Some(entry.print)))
                }
                Some(entry) => {
                    replaced.push(entry);
                    Some((0, None))
                }
                None => new_at,
            };
            starts.entry(id).or_insert((path, file, is, at));
        }
        replaced.extend(left.into_values());
        self.past.extend(replaced.iter().map(|entry| Past {
            path: entry.path.clone(),
            print: entry.print,
            offset: entry.offset,
        }));
        // Twice: a file that is renamed while a directory is listed may be left out of the list.
        for _ in 0..2 {
            self.resume_renamed(&replaced, &starts, &away);
        }
        for (_, (path, file, is, at)) in starts {
            match at {
                Some((offset, print)) => {
                    self.resume_at(path, file, &is, offset, print, &away, None);
                }
                None => self.start_at_end(path, file, &is),
            }
        }
        for gap in saved.gaps {
            self.resume_gap(gap);
        }
        self.changed = true;
    }

    /// Files that lost their name or were truncated while nobody looked, and those that came and went meanwhile.
    fn resume_renamed(&mut self, replaced: &[SavedFile], starts: &Starts, away: &Away) {
        let logs = starts.values().map(|(path, ..)| path.as_path());
        let mut origins: Vec<&Path> = logs
            .chain(replaced.iter().map(|entry| entry.path.as_path()))
            .collect();
        origins.sort_unstable();
        origins.dedup();
        let mut dirs: Vec<&Path> = origins.clone();
        dirs.dedup_by_key(|origin| origin.parent());
        for dir in dirs {
            let found = siblings(dir, |path, ino| {
                origins.iter().any(|log| is_rotated(log, path))
                    || replaced.iter().any(|entry| entry.id.ino() == ino)
            });
            for sibling in found {
                if !starts.contains_key(&sibling.id) {
                    self.resume_sibling(sibling, replaced, away);
                }
            }
        }
    }

    fn resume_sibling(&mut self, sibling: Sibling, replaced: &[SavedFile], away: &Away) {
        if self.known.contains_key(&sibling.id) || self.own.has(&sibling.path, &sibling.is) {
            return;
        }
        let fits =
            |entry: &&SavedFile| sibling.len >= entry.offset && entry.print.fits(&sibling.head);
        let same = replaced
            .iter()
            .find(|entry| entry.id == sibling.id && fits(entry));
        let copy = || {
            replaced.iter().find(|entry| {
                let names = may_be_copy(&entry.path, &sibling.path);
                names && entry.print.tells_copies() && fits(entry)
            })
        };
        let (offset, print) = match same.or_else(copy) {
            Some(entry) => (entry.offset, Some(entry.print)),
            // Written to since then: it came and went. A copy of what is known is seen at the first reading.
            None if changed_ms(&sibling.is) + CLOCK_STEP_MS >= away.since_ms => (0, None),
            None => return,
        };
        let retired = Some(Instant::now());
        self.resume_at(
            sibling.path,
            sibling.file,
            &sibling.is,
            offset,
            print,
            away,
            retired,
        );
    }

    /// Reads on at `offset`; if nobody read for long, what was written meanwhile is a gap.
    #[expect(
        clippy::too_many_arguments,
        reason = "all that is known of one file, at two places"
    )]
    fn resume_at(
        &mut self,
        path: PathBuf,
        file: File,
        is: &Metadata,
        offset: u64,
        print: Option<Print>,
        away: &Away,
        retired: Option<Instant>,
    ) {
        let mut from = offset;
        if away.lasted > SOON && offset < is.len() {
            from = match self.leave_gap(&path, &file, is, offset, away) {
                Ok(end) => end,
                Err(error) => {
                    count(&self.output.counters.errors, 1);
                    tracing::warn!(path = %path.display(), "cannot look for where to read on: {error}");
                    is.len()
                }
            };
        }
        self.add(path, file, is, from, print).retired = retired;
    }

    /// Returns where live lines begin.
    fn leave_gap(
        &mut self,
        path: &Path,
        file: &File,
        is: &Metadata,
        offset: u64,
        away: &Away,
    ) -> io::Result<u64> {
        let (at, end) = self.split(file, is, offset, away)?;
        count(&self.output.counters.skipped_bytes, end - offset);
        let (head, len) = head(file)?;
        let gap = Gap {
            id: FileId::of(is),
            path: path.to_owned(),
            file: Arc::new(file.try_clone()?),
            print: Print::of(head.get(..len).unwrap_or_default()),
            at,
            end,
        };
        self.gaps.add(gap, &self.output);
        Ok(end)
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

    fn start_at_end(&mut self, path: PathBuf, file: File, is: &Metadata) {
        let start = line_before(&file, is.len());
        let (offset, within) = match start {
            Ok(Some(start)) => (start, false),
            _ => (is.len(), true),
        };
        let added = self.add(path, file, is, offset, None);
        if within {
            added.lines = Lines::within_a_line();
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

fn is_same(file: &File, is: &Metadata, entry: &SavedFile) -> bool {
    is.len() >= entry.offset
        && head(file).is_ok_and(|(head, len)| entry.print.fits(head.get(..len).unwrap_or_default()))
}

/// When a file was written to last, in Unix milliseconds.
fn changed_ms(is: &Metadata) -> u64 {
    is.modified().map_or(0, ms_of)
}
