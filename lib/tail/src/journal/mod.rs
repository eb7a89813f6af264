//! The journal of systemd, by a child `journalctl`: its format is stable, its library a dependency that a firewall can do
//! without, and a journal that is damaged takes down the child alone.
//!
//! The child is started again when it ends, after a pause that grows, and goes on behind the last entry that was read.

mod child;
mod export;

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use couic_common::{Backoff, unix_time};
use serde::{Deserialize, Serialize};

use self::{
    child::{Child, From},
    export::{Entry, Export},
};
use crate::{
    CHECKPOINT_EVERY, MAX_LINE, Options, Stop, StreamId, TailError, When,
    figures::{count, gauge},
    lines::Piece,
    output::Output,
    saver::Saver,
};

/// Identifiers that have a stream of their own; the others share one.
const MAX_STREAMS: usize = 256;
/// An entry that is older when it comes is no news.
const NEWS_MS: u64 = 10_000;
/// Without output for so long, everything has been read.
const CAUGHT_UP: Duration = Duration::from_secs(1);
const CHUNK: usize = 64 << 10;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// A journal that is read.
pub(crate) struct Journal {
    matches: Vec<String>,
    program: PathBuf,
    catch_up: Duration,
    output: Output<'static>,
    saver: Saver,
    position: Position,
    streams: HashMap<Vec<u8>, StreamId>,
    others: Option<StreamId>,
    /// The last entry was old: there are newer ones, or nothing was written since.
    behind: bool,
    changed: bool,
    next_save: Instant,
}

/// The checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Position {
    /// Of the last entry that was read; empty if none was.
    cursor: String,
    /// When it was taken, in Unix seconds.
    taken: u64,
}

impl Journal {
    pub(crate) fn new(
        matches: Vec<String>,
        options: &Options,
        state: PathBuf,
        output: Output<'static>,
    ) -> Result<Self, TailError> {
        for one in &matches {
            if !is_match(one) {
                return Err(TailError::Match(one.clone()));
            }
        }
        let position = load(&state);
        Ok(Self {
            matches,
            program: options.journalctl.clone(),
            catch_up: options.catch_up,
            saver: Saver::new(state, output.counters.clone())?,
            output,
            position,
            streams: HashMap::new(),
            others: None,
            behind: false,
            changed: false,
            next_save: Instant::now() + CHECKPOINT_EVERY,
        })
    }

    /// Until asked to stop.
    pub(crate) fn run(&mut self, stop: &Stop) -> io::Result<()> {
        let mut from = self.first();
        let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
        while !stop.is_asked() {
            let began = Instant::now();
            let (ended, read) = self.follow(&from, stop)?;
            if stop.is_asked() {
                break;
            }
            count(&self.output.counters.errors, 1);
            if read || began.elapsed() > LONGEST_PAUSE {
                pauses.succeeded();
            }
            let refused =
                !read && ended.to_lowercase().contains("cursor") && matches!(from, From::Cursor(_));
            from = if refused {
                tracing::warn!(
                    "the journal does not know the last entry that was read any more: it is read from its end ({ended})"
                );
                From::End
            } else if self.position.cursor.is_empty() {
                From::End
            } else {
                From::Cursor(self.position.cursor.clone())
            };
            let pause = pauses.failed();
            tracing::warn!(
                "journalctl has ended and is started again in {} s: {ended}",
                pause.as_secs()
            );
            self.save_if_changed();
            stop.sleep_until(Instant::now() + pause)?;
        }
        self.save_if_changed();
        self.saver.settle();
        for stream in self.streams.values().copied().chain(self.others) {
            self.output.close(stream);
        }
        self.output.flush();
        Ok(())
    }

    fn first(&self) -> From {
        let now = unix_time().as_secs();
        let away = Duration::from_secs(now.saturating_sub(self.position.taken));
        if self.position.cursor.is_empty() {
            From::End
        } else if away > self.catch_up {
            tracing::info!(
                "nobody read the journal for {} s: it is read from {} s ago on",
                away.as_secs(),
                self.catch_up.as_secs()
            );
            From::Since(now.saturating_sub(self.catch_up.as_secs()))
        } else {
            From::Cursor(self.position.cursor.clone())
        }
    }

    /// Runs one child to its end. Returns what it said last, and whether it gave an entry.
    fn follow(&mut self, from: &From, stop: &Stop) -> io::Result<(String, bool)> {
        let mut child = match Child::start(&self.program, &self.matches, from) {
            Ok(child) => child,
            Err(error) => return Ok((format!("{}: {error}", self.program.display()), false)),
        };
        let mut export = Export::default();
        let mut buffer = vec![0; CHUNK];
        let mut read = false;
        while !stop.is_asked() {
            let wait = self.until_next_duty();
            let asked = Instant::now();
            match child.read(stop, wait, &mut buffer)? {
                Some([]) => break,
                Some(chunk) if self.take(&mut export, chunk, &mut read).is_err() => {
                    return Ok(("its output is not the export format".to_owned(), read));
                }
                Some(_) => {}
                None if self.behind && asked.elapsed() >= CAUGHT_UP => {
                    self.behind = false;
                    gauge(&self.output.counters.lag_ms, 0);
                }
                None => {}
            }
            if self.changed && Instant::now() >= self.next_save {
                self.save_if_changed();
            }
        }
        Ok((child.end(), read))
    }

    fn until_next_duty(&self) -> Duration {
        let save = self.next_save.saturating_duration_since(Instant::now());
        let save = if self.changed { save } else { Duration::MAX };
        if self.behind {
            save.min(CAUGHT_UP)
        } else {
            save
        }
    }

    fn take(
        &mut self,
        export: &mut Export,
        chunk: &[u8],
        read: &mut bool,
    ) -> Result<(), export::Malformed> {
        count(&self.output.counters.bytes, chunk.len() as u64);
        let result = export.push(chunk, |entry| {
            *read = true;
            self.entry(entry);
        });
        self.output.flush();
        result
    }

    fn entry(&mut self, entry: &Entry) {
        if !self.changed {
            self.changed = true;
            self.next_save = Instant::now() + CHECKPOINT_EVERY;
        }
        self.position.cursor.clear();
        self.position
            .cursor
            .push_str(&String::from_utf8_lossy(&entry.cursor));
        // Our own messages quote lines: as a source they would feed themselves.
        if entry.message.is_empty() || entry.pid == std::process::id().to_string().as_bytes() {
            return;
        }
        let stream = self.stream(if entry.identifier.is_empty() {
            &entry.unit
        } else {
            &entry.identifier
        });
        let when = self.when(entry);
        match entry.message.split_at_checked(MAX_LINE) {
            Some((head, rest)) if !rest.is_empty() => {
                let dropped = rest.len() as u64 + entry.dropped;
                self.output.message(stream, Piece::Cut(head), dropped, when);
            }
            _ => self
                .output
                .message(stream, Piece::Line(&entry.message), 0, when),
        }
    }

    /// Whether an entry is news: journald writes the time, on the clock of this machine.
    fn when(&mut self, entry: &Entry) -> When {
        let now = u64::try_from(unix_time().as_millis()).unwrap_or(u64::MAX);
        let age = now.saturating_sub(entry.time_ms().unwrap_or(now));
        self.behind = age > NEWS_MS;
        gauge(
            &self.output.counters.lag_ms,
            if self.behind { age } else { 0 },
        );
        if self.behind { When::Late } else { When::Live }
    }

    fn stream(&mut self, name: &[u8]) -> StreamId {
        if let Some(stream) = self.streams.get(name) {
            return *stream;
        }
        if self.streams.len() >= MAX_STREAMS {
            return *self
                .others
                .get_or_insert_with(|| self.output.open("journal"));
        }
        let stream = self.output.open(&String::from_utf8_lossy(name));
        self.streams.insert(name.to_vec(), stream);
        stream
    }

    fn save_if_changed(&mut self) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        self.output.settle();
        self.position.taken = unix_time().as_secs();
        if let Ok(content) = serde_json::to_vec(&self.position) {
            self.saver.save(content);
        }
    }
}

fn load(state: &std::path::Path) -> Position {
    let loaded = Saver::load(state).and_then(|content| {
        let parsed = content.map(|content| serde_json::from_slice(&content));
        Ok(parsed.transpose()?)
    });
    loaded
        .unwrap_or_else(|error| {
            let path = state.display();
            tracing::warn!(
                "the checkpoint {path} cannot be read, so the journal is read from its end: {error}"
            );
            None
        })
        .unwrap_or_default()
}

/// `FIELD=value`, or `+` between alternatives. Anything else would be an option or a path to journalctl.
fn is_match(text: &str) -> bool {
    let field = |name: &str| {
        let valid = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        !name.is_empty() && name.chars().all(valid)
    };
    text == "+" || text.split_once('=').is_some_and(|(name, _)| field(name))
}

#[cfg(test)]
mod tests;
