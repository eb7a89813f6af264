//! Snapshots, and the files that they make needless.
//!
//! First a new log is begun, then all that holds is walked over while changes go on, then the snapshot gets its name,
//! and only then older files go, the oldest first: at any moment the files say all that was acknowledged.

use std::{
    fs::File,
    io::{self, Write},
    mem,
    sync::{Arc, atomic::Ordering::Release},
    time::{Duration, Instant},
};

use couic_common::StateProblem;

use super::{
    BUFFER, Journal, Rows,
    folder::{Kind, Listing, Name, damaged_name},
    frame, record,
    recover::Suspect,
};

/// Logs shorter than this are never worth a snapshot.
const SHORT: u64 = 32 << 20;

/// More logs than this are not left lying, however short: each start makes one.
const MANY: usize = 8;

/// How long to wait after a snapshot that failed. Doubles up to the longest pause.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// The files, and when there is something to do about them.
#[derive(Debug)]
pub(super) struct Upkeep {
    /// Those that a snapshot makes needless, the oldest first.
    old: Vec<Name>,
    /// Some of them: these are kept.
    suspects: Vec<Suspect>,
    /// What was kept already.
    kept: Vec<String>,
    current: Option<Name>,
    /// The next log's number; None where it is not known what there is.
    next: Option<u64>,
    /// A snapshot is due whatever the sizes are.
    due: bool,
    /// The current log was begun for a snapshot that is not done yet.
    begun: bool,
    pause: Duration,
    not_before: Option<Instant>,
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
            pause: FIRST_PAUSE,
            not_before: None,
        }
    }

    pub(super) fn log_suspects(&self) {
        for Suspect { name, message } in &self.suspects {
            tracing::error!("state: {name} {message}; it will be kept under another name");
        }
    }

    /// Files that could not be listed at the start and can be now: nobody knows what they say.
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

    /// What is to be said about single files.
    pub(super) fn problems(&self) -> Vec<StateProblem> {
        let problem = |file: String, message: &str| StateProblem {
            file: Some(file),
            message: message.to_owned(),
        };
        let suspects = self.suspects.iter();
        let suspects = suspects.map(|s| problem(s.name.to_string(), &s.message));
        let kept = self.kept.iter().map(|name| {
            let message = "is kept because it was damaged or could not be read; what could be read of it is in force: \
                           look after the disk, then delete it";
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
    /// Writes a snapshot where one is due: the logs have grown, files were damaged, or the disk takes data again.
    /// `sources` are all who append.
    pub fn maintain(&self, sources: &[&dyn Rows]) {
        let mut upkeep = self.upkeep.lock();
        let folder = &self.folder;
        let kept = upkeep.kept.len();
        upkeep.kept.retain(|name| folder.exists(name));
        if upkeep.kept.len() < kept {
            self.alarm.lock().files = upkeep.problems();
        }
        let current = upkeep.current;
        if current.is_some_and(|name| !folder.exists(&name.to_string())) {
            self.lose_log();
        }
        let is_long = {
            let writer = self.writer.lock();
            writer.log_bytes > SHORT + 2 * writer.snapshot_bytes
        };
        let wanted = upkeep.due || is_long || !self.pending.lock().recording;
        let now = Instant::now();
        if wanted && upkeep.not_before.is_none_or(|time| now >= time) {
            // A failure is in the log and in the problems, and is tried again.
            let _ = self.compact_with(&mut upkeep, sources);
        }
    }

    /// Somebody has removed the log: what is written there is gone with the process.
    fn lose_log(&self) {
        let mut writer = self.writer.lock();
        if writer.file.is_some() {
            self.stop_recording(&mut writer, &[], "find the log, somebody has removed it");
        }
    }

    /// Writes a snapshot now.
    ///
    /// # Errors
    /// What the system says. The alarm is on then, and nothing is lost that was not before.
    pub fn compact(&self, sources: &[&dyn Rows]) -> io::Result<()> {
        self.compact_with(&mut self.upkeep.lock(), sources)
    }

    fn compact_with(&self, upkeep: &mut Upkeep, sources: &[&dyn Rows]) -> io::Result<()> {
        let done = self.try_compact(upkeep, sources);
        self.alarm.lock().files = upkeep.problems();
        match &done {
            Ok(()) => {
                upkeep.pause = FIRST_PAUSE;
                upkeep.not_before = None;
                upkeep.due = false;
            }
            Err(e) => {
                upkeep.not_before = Some(Instant::now() + upkeep.pause);
                upkeep.pause = (upkeep.pause * 2).min(LONGEST_PAUSE);
                upkeep.due = true;
                self.alarm.lock().raise(&format!("write a snapshot: {e}"));
            }
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
        let name = Name::new(current.number, Kind::Snapshot);
        let (records, bytes) = self.write_snapshot(name, sources)?;
        upkeep.begun = false;
        {
            let mut writer = self.writer.lock();
            writer.log_bytes = writer.current_bytes;
            writer.snapshot_bytes = bytes;
        }
        self.tidy(upkeep);
        upkeep.old.push(name);
        let mut pending = self.pending.lock();
        if pending.recording {
            let missing = mem::take(&mut pending.missing);
            pending.has_hole = false;
            drop(pending);
            self.alarm.lock().clear(records, missing);
        }
        Ok(())
    }

    /// Begins the next log.
    pub(super) fn rotate(&self, upkeep: &mut Upkeep) -> io::Result<Name> {
        self.folder.ensure()?;
        let number = match upkeep.next {
            Some(number) => number,
            None => upkeep.take_unread(self.folder.list()?),
        };
        upkeep.next = Some(number);
        let name = Name::new(number, Kind::Log);
        let mut file = self.folder.create(&name)?;
        let begun = file
            .write_all(&frame::header())
            .and_then(|()| file.sync_all())
            .and_then(|()| self.folder.sync());
        if let Err(e) = begun {
            // Where it stays, it says nothing.
            let _ = self.folder.remove(&name);
            return Err(e);
        }
        upkeep.next = Some(number + 1);
        let before = self.switch(name, file);
        if let Some(Err(e)) = before.map(|file| file.sync_data()) {
            tracing::warn!("state: cannot sync the log before {name}: {e}; a snapshot replaces it");
            upkeep.due = true;
        }
        upkeep.old.extend(upkeep.current.replace(name));
        Ok(name)
    }

    /// Lets records go to another log. Returns the one before.
    fn switch(&self, name: Name, file: File) -> Option<Arc<File>> {
        let mut writer = self.writer.lock();
        let mut pending = self.pending.lock();
        // These are salted for the log before. A snapshot follows, so that one that does not take them loses nothing.
        let frames = mem::take(&mut pending.frames);
        let _ = writer.write(&frames);
        self.settled.fetch_max(pending.records, Release);
        writer.unsynced = false;
        writer.log_bytes += frame::HEADER;
        writer.current_bytes = frame::HEADER;
        pending.salt = name.salt;
        pending.recording = true;
        writer.file.replace(Arc::new(file))
    }

    /// Returns how many records it has, and how many bytes.
    fn write_snapshot(&self, name: Name, sources: &[&dyn Rows]) -> io::Result<(u64, u64)> {
        let temporary = format!("{name}.tmp");
        let written = self
            .folder
            .create(&temporary)
            .and_then(|file| fill(file, name.salt, sources))
            .and_then(|sizes| {
                self.folder.rename(&temporary, &name.to_string())?;
                self.folder.sync()?;
                Ok(sizes)
            });
        if written.is_err() {
            // It may not be there; where it stays, the next start removes it.
            let _ = self.folder.remove(&temporary);
        }
        written
    }

    /// Removes what the last snapshot made needless, and renames what is to be kept.
    fn tidy(&self, upkeep: &mut Upkeep) {
        let mut left = Vec::new();
        for name in mem::take(&mut upkeep.old) {
            let suspect = upkeep.suspects.iter().position(|s| s.name == name);
            let done = match suspect {
                None => self.folder.remove(&name),
                Some(at) => {
                    let kept = damaged_name(name);
                    self.folder.rename(&name.to_string(), &kept).map(|()| {
                        tracing::error!("state: {name} is kept as {kept}");
                        upkeep.suspects.remove(at);
                        upkeep.kept.push(kept);
                    })
                }
            };
            match done {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!("state: cannot remove or rename {name}: {e}");
                    left.push(name);
                }
                _ => {}
            }
        }
        upkeep.old = left;
        for name in self.folder.forget_oldest(&mut upkeep.kept) {
            tracing::warn!("state: removed {name}, since there are many damaged files");
        }
    }
}

/// Writes all that holds, to the disk. Returns how many records that are, and how many bytes.
fn fill(mut file: File, salt: u32, sources: &[&dyn Rows]) -> io::Result<(u64, u64)> {
    let mut frames = frame::header().to_vec();
    let (mut records, mut bytes) = (0, 0);
    let mut flush = |frames: &mut Vec<u8>| -> io::Result<()> {
        file.write_all(frames)?;
        bytes += frames.len() as u64;
        frames.clear();
        Ok(())
    };
    for source in sources {
        source.rows(&mut |record| {
            if frame::put(&mut frames, salt, |out| record.write(out)) {
                records += 1;
            }
            if frames.len() >= BUFFER {
                flush(&mut frames)?;
            }
            Ok(())
        })?;
    }
    frame::put(&mut frames, salt, |out| record::write_end(out, records));
    flush(&mut frames)?;
    file.sync_all()?;
    Ok((records, bytes))
}
