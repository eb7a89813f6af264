//! Files that are read at their end, through rotation, truncation and restarts.
//!
//! A file is its inode and its first bytes ([`identity`]), never its name. Names are looked at when the kernel tells of a
//! change in a directory ([`watch`], [`look`]); a file that was renamed is read under its old descriptor until its writer
//! has surely left it. At a start the checkpoint says where each file was left, also if it has been renamed or copied
//! since ([`resume`]).

mod before;
mod checkpoint;
mod copies;
mod gaps;
mod identity;
mod look;
mod names;
mod own;
mod patterns;
mod resume;
mod retire;
mod siblings;
mod storm;
#[cfg(test)]
mod stress;
mod tailed;
#[cfg(test)]
mod tests;
mod told;
mod watch;

use std::{
    collections::{HashMap, VecDeque},
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use couic_common::unix_time;

use self::{
    checkpoint::{Checkpoint, Past, SavedFile},
    gaps::Gaps,
    identity::FileId,
    tailed::{Step, Tailed},
    told::Told,
    watch::Watch,
};
pub(crate) use self::{own::OwnLog, patterns::Patterns};
use crate::{
    CHECKPOINT_EVERY, Options, Stop, Unread, When,
    figures::{count, gauge},
    output::Output,
    saver::Saver,
};

/// How long the first write waits for more: at 40,000 single lines a second this takes a sixth of the CPU time of a
/// wake-up for each.
const COALESCE: Duration = Duration::from_millis(10);
/// Pause between looks at the sizes of files, for file systems that inotify does not cover.
const TICK: Duration = Duration::from_secs(1);
/// Pause between looks at all names, for the same.
const RESCAN: Duration = Duration::from_secs(10);
/// Bytes read at once.
const CHUNK: usize = 256 << 10;
/// Fingerprints of truncated files that are kept to know their copies.
const MAX_PAST: usize = 256;

/// The files of one source.
pub(crate) struct Files {
    patterns: Patterns,
    own: OwnLog,
    options: Options,
    output: Output<'static>,
    saver: Saver,
    watch: Watch,
    told: Told,
    /// What the last scan could not read, and since when what it names is not there.
    unread: Vec<Unread>,
    missing: HashMap<PathBuf, Instant>,
    known: HashMap<FileId, Tailed>,
    gaps: Gaps,
    past: VecDeque<Past>,
    buffer: Vec<u8>,
    /// Until when all changes of names have been taken in, in Unix milliseconds.
    looked_ms: u64,
    /// Something was not readable, or could not be watched: looked at again each [`TICK`].
    unsettled: bool,
    caught_up: Instant,
    next_tick: Instant,
    next_scan: Instant,
    next_save: Instant,
    changed: bool,
}

impl Files {
    /// Starts where the checkpoint at `state` says, at the end without one.
    pub(crate) fn new(
        patterns: Patterns,
        options: Options,
        state: PathBuf,
        output: Output<'static>,
    ) -> io::Result<Self> {
        let saved = resume::load(&state);
        let now = Instant::now();
        let mut files = Self {
            own: OwnLog::new(options.own_log.clone()),
            saver: Saver::new(state, output.counters.clone())?,
            patterns,
            options,
            output,
            watch: Watch::new()?,
            told: Told::default(),
            unread: Vec::new(),
            missing: HashMap::new(),
            known: HashMap::new(),
            gaps: Gaps::default(),
            past: VecDeque::new(),
            buffer: vec![0; CHUNK],
            looked_ms: unix_ms(),
            unsettled: false,
            caught_up: now,
            next_tick: now + TICK,
            next_scan: now + RESCAN,
            // At once: after a kill in the first seconds the next start must know where this one began.
            next_save: now,
            changed: true,
        };
        files.resume(saved);
        files.tell_unread();
        Ok(files)
    }

    /// Until asked to stop.
    pub(crate) fn run(mut self, stop: &Stop) -> io::Result<()> {
        while !stop.is_asked() {
            self.turn(stop)?;
        }
        self.save();
        self.saver.settle();
        for (_, file) in self.known.drain() {
            self.output.close(file.stream);
        }
        self.output.flush();
        Ok(())
    }

    /// Waits for something to do and does some of it.
    fn turn(&mut self, stop: &Stop) -> io::Result<()> {
        let busy = self.known.values().any(|file| file.dirty);
        let wait = if busy || !self.gaps.is_empty() {
            Duration::ZERO
        } else {
            self.until_next_duty()
        };
        let before = unix_ms();
        let [events] = stop.wait([self.watch.fd()], wait)?;
        if !events {
            self.looked_ms = before;
        } else {
            if !busy {
                self.coalesce(stop)?;
            }
            self.take_events()?;
        }
        if Instant::now() >= self.next_tick {
            self.tick();
        }
        self.jump_if_behind();
        self.read_round();
        if !self.known.values().any(|file| file.dirty) {
            self.caught_up = Instant::now();
            gauge(&self.output.counters.behind_bytes, 0);
            self.read_gap();
        }
        let lag = u64::try_from(self.caught_up.elapsed().as_millis()).unwrap_or(u64::MAX);
        gauge(&self.output.counters.lag_ms, lag);
        if Instant::now() >= self.next_save {
            if self.changed {
                self.save();
            }
            self.next_save = Instant::now() + CHECKPOINT_EVERY;
        }
        Ok(())
    }

    fn until_next_duty(&self) -> Duration {
        let next = if self.changed {
            self.next_tick.min(self.next_save)
        } else {
            self.next_tick
        };
        next.saturating_duration_since(Instant::now())
    }

    /// Lets more be written before reading; meanwhile there is time for gaps.
    fn coalesce(&mut self, stop: &Stop) -> io::Result<()> {
        let until = Instant::now() + COALESCE;
        while !self.gaps.is_empty() && Instant::now() < until && !stop.is_asked() {
            self.read_gap();
        }
        stop.sleep_until(until)
    }

    fn read_gap(&mut self) {
        if !self.gaps.is_empty() {
            self.gaps.read(&mut self.buffer, &mut self.output);
            self.changed = true;
        }
    }

    /// One chunk of each file that may have something, older files first.
    fn read_round(&mut self) {
        let mut dirty: Vec<_> = self.known.values().filter(|file| file.dirty).collect();
        dirty.sort_unstable_by_key(|file| file.stream);
        let dirty: Vec<FileId> = dirty.into_iter().map(|file| file.id).collect();
        for id in dirty {
            self.read_chunk(id);
        }
    }

    fn read_chunk(&mut self, id: FileId) {
        let Some(file) = self.known.get_mut(&id) else {
            return;
        };
        if file.copy_of.is_some() {
            self.look_at_copy(id);
            return;
        }
        let now = unix_ms();
        match file.read(&mut self.buffer) {
            Ok(Step::Data(read)) => {
                file.failing = false;
                if file.fresh && (file.jump_hole(&self.buffer) || self.is_copy(id, read)) {
                    return;
                }
                self.looked_at(id, now);
                self.hand_over(id, read);
            }
            Ok(Step::End) => {
                file.dirty = false;
                self.looked_at(id, now);
            }
            Ok(Step::Truncated) => {
                self.truncated(id);
                self.looked_at(id, now);
            }
            Err(error) => {
                file.dirty = false;
                self.failed(id, &error);
            }
        }
    }

    fn hand_over(&mut self, id: FileId, read: usize) {
        let Some(file) = self.known.get_mut(&id) else {
            return;
        };
        let chunk = self.buffer.get(..read).unwrap_or_default();
        let skip = file.ours.saturating_sub(file.offset);
        let skip = usize::try_from(skip).unwrap_or(read).min(read);
        if skip > 0 || std::mem::take(&mut file.torn) {
            self.output.gap(file.stream);
        }
        file.offset += read as u64;
        file.fresh = false;
        file.last_data = Instant::now();
        // A short read is the end, nearly always; if not, the kernel tells of what came meanwhile.
        file.dirty = read == self.buffer.len();
        let chunk = chunk.get(skip..).unwrap_or_default();
        self.output
            .chunk(file.stream, &mut file.lines, chunk, When::Live);
        self.changed = true;
    }

    /// Until when everything is in a checkpoint that is taken now. What became of a file since it was read last is found by
    /// reading it.
    fn taken_ms(&self) -> u64 {
        let read = self.known.values().filter(|file| file.copy_of.is_none());
        let named = read.filter(|file| file.retired.is_none());
        let unread = named.filter(|file| file.fresh || file.dirty);
        let looked = unread.map(|file| file.looked_ms);
        looked.min().unwrap_or(u64::MAX).min(self.looked_ms)
    }

    /// Writes a checkpoint.
    fn save(&mut self) {
        self.changed = false;
        self.output.settle();
        let files = self.known.values().filter(|file| file.copy_of.is_none());
        let checkpoint = Checkpoint {
            patterns: self.patterns.texts().to_vec(),
            taken_ms: self.taken_ms(),
            files: files
                .map(|file| SavedFile {
                    id: file.id,
                    path: file.path.clone(),
                    print: file.print,
                    offset: file.line_start().max(file.ours),
                    named: file.retired.is_none(),
                })
                .collect(),
            past: self.past.iter().cloned().collect(),
            gaps: self.gaps.saved(),
        };
        match serde_json::to_vec(&checkpoint) {
            Ok(content) => self.saver.save(content),
            Err(error) => {
                count(&self.output.counters.errors, 1);
                tracing::error!("cannot make a checkpoint: {error}");
            }
        }
    }
}

fn unix_ms() -> u64 {
    u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX)
}
