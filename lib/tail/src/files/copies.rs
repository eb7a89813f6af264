//! Truncation in place (`copytruncate`): what is in a copy, and what of it was read before.
//!
//! A copy is known by its first bytes and by a name of the same log. While its original is read, it waits; once the original
//! is truncated, what was not read of it is read from the copy. A log that began more than once between two looks has left
//! copies that fit nothing known: they are read as a whole.

use std::{
    fs,
    path::Path,
    time::{Instant, SystemTime},
};

use super::{
    Files, MAX_PAST,
    checkpoint::Past,
    identity::{FileId, Print},
    look::{CLOCK_STEP_MS, ms_of},
    names::{is_kin, may_be_copy},
    siblings::siblings,
};
use crate::figures::count;

impl Files {
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
        let Some((path, born)) = self
            .known
            .get(&id)
            .map(|file| (file.path.clone(), file.born))
        else {
            return false;
        };
        let alike = |print: &Print| print.tells_copies() && print.fits(start);
        let past = self
            .past
            .iter()
            .filter(|past| alike(&past.print) && may_be_copy(&past.path, &path));
        let mut read_before = past.map(|past| past.offset).max().unwrap_or(0);
        let mut original = None;
        for other in self
            .known
            .values_mut()
            .filter(|other| other.id != id && other.copy_of.is_none() && alike(&other.print))
        {
            if other.born <= born && may_be_copy(&other.path, &path) {
                original = Some(other.id);
            } else if other.born > born && may_be_copy(&path, &other.path) {
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
            for found in siblings(&past.path, |sibling, _| may_be_copy(&past.path, sibling)) {
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
}

/// Whether a file came into being since then, in Unix milliseconds, and was written to. Not all file systems know the
/// former.
fn is_created_since(path: &Path, since: u64) -> bool {
    let since = |at: SystemTime| ms_of(at) + CLOCK_STEP_MS >= since;
    fs::metadata(path)
        .is_ok_and(|is| is.modified().is_ok_and(since) && is.created().map_or(true, since))
}
