//! The files in `state_dir` besides the checkpoints: the ladder, and bans that are not sent yet.
//!
//! The ladder is text, a row in a line: `ADDRESS LEVEL ENDS`, the end of the last ban in Unix ms; the last line is
//! `end COUNT`, so that half a file is known as such. A file that is damaged is put aside and told, and the ladder begins
//! anew: bans are shorter then, not wrong.

use std::{
    fmt::Write as _,
    fs,
    hash::{DefaultHasher, Hasher},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use couic_detect::{Detector, LadderRow};
use couic_files::{read_regular, replace_file};
use couic_inject::{Injector, Limits, Pending};
use parking_lot::Mutex;
use tracing::{error, warn};

use super::core::clock_ms;

/// The first line of the ladder's file, with its version.
const MAGIC: &str = "couicmon-ladder-1";

/// The largest file of a ladder, in bytes: some 16 million rows.
const LARGEST: u64 = 1 << 30;

/// The mode of the files.
const MODE: u32 = 0o600;

/// A ladder of more rows is written more rarely, to spare the disk: each 30 s for so many.
const ROWS: usize = 100_000;

/// The state of a run.
#[derive(Debug)]
pub(crate) struct State {
    dir: PathBuf,
    written: Mutex<Written>,
}

/// The ladder on the disk.
#[derive(Debug, Default)]
struct Written {
    hash: u64,
    /// Not before then again.
    due: Option<Instant>,
}

impl State {
    /// In this directory, which exists.
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            written: Mutex::default(),
        }
    }

    fn ladder(&self) -> PathBuf {
        self.dir.join("ladder")
    }

    fn pending(&self) -> PathBuf {
        self.dir.join("pending")
    }

    /// Gives a detector the ladder of a former run.
    pub(crate) fn restore_ladder(&self, detector: &mut Detector) {
        let path = self.ladder();
        let rows = match read_regular(&path, LARGEST) {
            Ok(bytes) => parse(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => {
                let path = path.display();
                return error!(
                    "how often sources were banned is forgotten: {path} cannot be read: {error}"
                );
            }
        };
        match rows {
            Some(rows) => detector.restore_ladder(rows, clock_ms()),
            None => {
                let aside = self.dir.join("ladder.damaged");
                let moved = fs::rename(&path, &aside).err();
                let moved = moved.map_or_else(
                    || aside.display().to_string(),
                    |error| format!("where it was ({error})"),
                );
                error!(
                    "how often sources were banned is forgotten: {} is damaged, and is now {moved}",
                    path.display()
                );
            }
        }
    }

    /// Writes the ladder if it has changed. At the end of the run it is written in any case.
    ///
    /// # Errors
    /// Those of the system; the old file is unchanged then.
    pub(crate) fn save_ladder(&self, rows: &[LadderRow], at_end: bool) -> io::Result<()> {
        let mut written = self.written.lock();
        let now = Instant::now();
        if !at_end && written.due.is_some_and(|due| now < due) {
            return Ok(());
        }
        let text = text(rows);
        let mut hasher = DefaultHasher::new();
        hasher.write(text.as_bytes());
        let hash = hasher.finish();
        if hash != written.hash {
            replace_file(&self.ladder(), MODE, text.as_bytes())?;
            written.hash = hash;
            let pause = u64::try_from(rows.len() / ROWS).unwrap_or(u64::MAX);
            written.due = now.checked_add(Duration::from_secs(pause.saturating_mul(30)));
        }
        Ok(())
    }

    /// Gives an injector what a former run could not send.
    pub(crate) fn restore_pending(&self, injector: &Injector) {
        let path = self.pending();
        match Pending::load(&path, Limits::default()) {
            Ok(loaded) => {
                let count = loaded.pending.len();
                if count > 0 {
                    warn!("{count} bans of the last run were not sent: they are sent now");
                }
                injector.restore(loaded.pending);
            }
            Err(error) => error!(
                "bans that were not sent are lost: {} cannot be read: {error}",
                path.display()
            ),
        }
    }

    /// Writes the bans that wait, in case this process is killed.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn save_pending(&self, injector: &Injector) -> io::Result<()> {
        injector.save(&self.pending())
    }

    /// Keeps what was not sent by the end.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn keep(&self, rest: Pending) -> io::Result<()> {
        rest.save(&self.pending())
    }
}

fn text(rows: &[LadderRow]) -> String {
    let mut text = format!("{MAGIC}\n");
    for LadderRow {
        addr,
        level,
        ends_ms,
    } in rows
    {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{addr} {level} {ends_ms}");
    }
    let _ = writeln!(text, "end {}", rows.len());
    text
}

/// None if it is not such a file, or not whole.
fn parse(bytes: &[u8]) -> Option<Vec<LadderRow>> {
    let text = std::str::from_utf8(bytes).ok()?.strip_prefix(MAGIC)?;
    let (rows, end) = text.strip_suffix('\n')?.rsplit_once('\n')?;
    let row = |line: &str| {
        let mut words = line.split(' ');
        let row = LadderRow {
            addr: words.next()?.parse().ok()?,
            level: words.next()?.parse().ok()?,
            ends_ms: words.next()?.parse().ok()?,
        };
        words.next().is_none().then_some(row)
    };
    let lines = rows.lines().filter(|line| !line.is_empty());
    let rows: Vec<_> = lines.map(row).collect::<Option<_>>()?;
    (end == format!("end {}", rows.len())).then_some(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ladder_is_read_as_it_was_written_and_half_of_it_is_damage() {
        let row = |addr: &str, level| LadderRow {
            addr: addr.parse().unwrap(),
            level,
            ends_ms: 1_700_000_000_123,
        };
        let rows = [row("192.0.2.7", 3), row("2001:db8::", u32::MAX)];
        for rows in [&rows[..], &[]] {
            let text = text(rows);
            assert_eq!(parse(text.as_bytes()).unwrap(), rows);
            for cut in 0..text.len() {
                assert_eq!(parse(&text.as_bytes()[..cut]), None, "{cut}");
            }
        }
        for bad in [
            "",
            "x",
            "couicmon-ladder-1\n1.2.3.4 1 2 3\nend 1\n",
            "couicmon-ladder-1\n1.2.3.4 1\nend 1\n",
        ] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn an_unchanged_ladder_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::new(dir.path());
        state.save_ladder(&[], false).unwrap();
        fs::remove_file(state.ladder()).unwrap();
        state.save_ladder(&[], true).unwrap();
        assert!(!state.ladder().exists());
    }
}
