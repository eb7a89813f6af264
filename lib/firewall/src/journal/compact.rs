//! Snapshots, and removal of the files that they replace.
//!
//! First a new log is started, then the state is walked while changes continue, then the snapshot gets its name, and only
//! then older files are removed, the oldest first: at any moment the files have every acknowledged change.

use std::{io, mem, sync::atomic::Ordering::Release, time::Duration};

use couic_common::StateProblem;
use couic_durable::{Kind, Listing, Name, Pause, Segment, Snapshot};

use super::{Journal, Rows, record, recover::Suspect};

/// Logs shorter than this are never worth a snapshot.
const SHORT: u64 = 32 << 20;

/// This many logs are replaced by a snapshot, however short: each start creates one.
const MANY: usize = 8;

/// How long to wait after a failed snapshot. Doubles up to the longest pause.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// The files, and when they need a snapshot.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// Files that the next snapshot replaces, the oldest first.
    old: Vec<Name>,
    /// Those of them that are damaged, and will be set aside.
    suspects: Vec<Suspect>,
    /// Files that are set aside.
    kept: Vec<String>,
    current: Option<Name>,
    /// The next log's number; None if the folder could not be listed.
    next: Option<u64>,
    /// A snapshot is due regardless of sizes.
    due: bool,
    /// The current log was started for a snapshot that is not complete yet.
    begun: bool,
    pause: Pause,
}

impl Upkeep {
    pub(super) fn new(listing: Option<Listing>, suspects: Vec<Suspect>) -> Self {
        let next = listing.as_ref().map(next_number);
        let Listing { files, kept } = listing.unwrap_or_default();
        let logs = files.iter().filter(|name| name.kind == Kind::Log);
        Self {
            due: !suspects.is_empty() || logs.count() >= MANY,
            next,
            old: files,
            suspects,
            kept,
            current: None,
            begun: false,
            pause: Pause::new(FIRST_PAUSE, LONGEST_PAUSE),
        }
    }

    pub(super) fn log_suspects(&self) {
        for Suspect { name, message } in &self.suspects {
            tracing::error!("state: {name} {message}; it will be kept under another name");
        }
    }

    /// Adds files that could not be listed at the start: they were not read.
    fn take_unread(&mut self, listing: Listing) -> u64 {
        let next = next_number(&listing);
        let suspect = |name: &Name| Suspect {
            name: *name,
            message: "could not be read at the start: its rules are NOT in force".to_owned(),
        };
        self.suspects.extend(listing.files.iter().map(suspect));
        self.old.extend(listing.files);
        self.kept.extend(listing.kept);
        next
    }

    /// Problems of single files.
    pub(super) fn problems(&self) -> Vec<StateProblem> {
        let problem = |file: String, message: &str| StateProblem {
            file: Some(file),
            message: message.to_owned(),
        };
        let suspects = self.suspects.iter();
        let suspects = suspects.map(|s| problem(s.name.to_string(), &s.message));
        let kept = self.kept.iter().map(|name| {
            let message = "is kept because it was damaged or unreadable; its readable part is in force: check the disk, \
                           then delete it";
            problem(name.clone(), message)
        });
        suspects.chain(kept).collect()
    }
}

fn next_number(listing: &Listing) -> u64 {
    let numbers = listing.files.iter().map(|name| name.number);
    numbers.max().unwrap_or(0) + 1
}

impl Journal {
    /// Writes a snapshot if one is due: the logs have grown, files were damaged, or a failed disk may work again.
    /// `sources` are all owners of records.
    pub fn maintain(&self, sources: &[&dyn Rows]) {
        let mut upkeep = self.upkeep.lock();
        let folder = &self.folder;
        let kept = upkeep.kept.len();
        upkeep.kept.retain(|name| folder.exists(name));
        if upkeep.kept.len() < kept {
            self.health.lock().files = upkeep.problems();
        }
        let current = upkeep.current;
        if current.is_some_and(|name| !folder.exists(&name.to_string())) {
            self.lose_log();
        }
        let is_long = {
            let writer = self.writer.lock();
            writer.log_bytes() > SHORT + 2 * writer.snapshot_bytes
        };
        let wanted = upkeep.due || is_long || !self.pending.lock().recording;
        if wanted && upkeep.pause.is_over() {
            // An error is logged, reported as a problem, and retried.
            let _ = self.compact_with(&mut upkeep, sources);
        }
    }

    /// The log was removed by hand: its content would be lost with the process.
    fn lose_log(&self) {
        let mut writer = self.writer.lock();
        if writer.segment.is_some() {
            self.stop_recording(&mut writer, &[], "find the log, it was removed by hand");
        }
    }

    /// Writes a snapshot now.
    ///
    /// # Errors
    /// The system's error. The alarm is raised then, and nothing more is lost.
    pub fn compact(&self, sources: &[&dyn Rows]) -> io::Result<()> {
        self.compact_with(&mut self.upkeep.lock(), sources)
    }

    fn compact_with(&self, upkeep: &mut Upkeep, sources: &[&dyn Rows]) -> io::Result<()> {
        let done = self.try_compact(upkeep, sources);
        self.health.lock().files = upkeep.problems();
        upkeep.pause.tried(done.is_ok());
        upkeep.due = done.is_err();
        if let Err(e) = &done {
            self.health.lock().raise(&format!("write a snapshot: {e}"));
        }
        done
    }

    fn try_compact(&self, upkeep: &mut Upkeep, sources: &[&dyn Rows]) -> io::Result<()> {
        let recording = self.pending.lock().recording;
        let current = match upkeep.current {
            Some(current) if recording && upkeep.begun => current,
            _ => self.rotate(upkeep)?,
        };
        upkeep.begun = true;
        let mut records = 0;
        let snapshot = self.folder.write_snapshot(current.number, |out| {
            fill(out, sources)?;
            records = out.records();
            out.put(|out| record::write_end(out, records))
        })?;
        upkeep.begun = false;
        {
            let mut writer = self.writer.lock();
            writer.log_bytes = 0;
            writer.snapshot_bytes = snapshot.bytes;
        }
        self.tidy(upkeep);
        upkeep.old.push(snapshot.name);
        let mut pending = self.pending.lock();
        if pending.recording {
            let missing = mem::take(&mut pending.missing);
            pending.has_hole = false;
            drop(pending);
            self.health.lock().clear(records, missing);
        }
        Ok(())
    }

    /// Starts the next log.
    pub(super) fn rotate(&self, upkeep: &mut Upkeep) -> io::Result<Name> {
        self.folder.ensure()?;
        let number = match upkeep.next {
            Some(number) => number,
            None => upkeep.take_unread(self.folder.list()?),
        };
        upkeep.next = Some(number);
        let segment = Segment::begin(&self.folder, number)?;
        let name = segment.name();
        upkeep.next = Some(number + 1);
        let before = self.switch(segment);
        if let Some(Err(e)) = before.map(|segment| segment.sync()) {
            tracing::warn!("state: cannot sync the log before {name}: {e}; a snapshot replaces it");
            upkeep.due = true;
        }
        upkeep.old.extend(upkeep.current.replace(name));
        Ok(name)
    }

    /// Directs records to another segment. Returns the previous one.
    fn switch(&self, segment: Segment) -> Option<Segment> {
        let mut writer = self.writer.lock();
        let mut pending = self.pending.lock();
        // These are salted for the previous log. On error nothing is lost, since a snapshot follows.
        let frames = mem::take(&mut pending.frames);
        let _ = writer.write(&frames);
        self.settled.fetch_max(pending.records, Release);
        writer.unsynced = false;
        pending.salt = segment.salt();
        pending.recording = true;
        let before = writer.segment.replace(segment);
        writer.log_bytes += before.as_ref().map_or(0, Segment::bytes);
        before
    }

    /// Removes the files that the last snapshot replaces, and sets damaged ones aside.
    fn tidy(&self, upkeep: &mut Upkeep) {
        let mut left = Vec::new();
        for name in mem::take(&mut upkeep.old) {
            let suspect = upkeep.suspects.iter().position(|s| s.name == name);
            match self.folder.retire(&name, suspect.is_some()) {
                Ok(kept) => {
                    if let (Some(at), Some(kept)) = (suspect, kept) {
                        tracing::error!("state: {name} is kept as {kept}");
                        upkeep.suspects.remove(at);
                        upkeep.kept.push(kept);
                    }
                }
                Err(e) => {
                    tracing::warn!("state: cannot remove or rename {name}: {e}");
                    left.push(name);
                }
            }
        }
        upkeep.old = left;
        for name in self.folder.forget_oldest(&mut upkeep.kept) {
            tracing::warn!("state: removed {name}, since there are many damaged files");
        }
    }
}

/// Adds the state of all sources.
fn fill(out: &mut Snapshot, sources: &[&dyn Rows]) -> io::Result<()> {
    for source in sources {
        source.rows(&mut |record| out.put(|out| record.write(out)))?;
    }
    Ok(())
}
