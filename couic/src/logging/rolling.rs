//! The log file, a new one each day or week.
//!
//! Not tracing-appender's: that one forgets a file at every start, even the one it is about to append to, and leaves
//! files with whatever owner and mode the process happens to have.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, fchown, lchown},
    },
    path::{Path, PathBuf},
    time::SystemTime,
};

use nix::unistd::geteuid;

use super::{stamp, warning};
use crate::config::{LogFormat, Logging, Rotation};
use couic_files::Account;
use couic_files::{refuses_data, way_out};

const NAME: &str = "couic.log";
const DAY: u64 = 86_400;
/// Seconds until a file that cannot be opened is tried again.
const RETRY: u64 = 60;

/// The log file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the log file {}: {source}: look at [logging] dir, its owner and its mode", path.display())]
pub struct RollingError {
    /// The file, or its directory.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// Appends to the file of the present day or week.
pub(super) struct RollingFile {
    dir: PathBuf,
    rotation: Rotation,
    keep: usize,
    owner: Account,
    format: LogFormat,
    now: fn() -> u64,
    file: File,
    /// Unix seconds: the file is right from here to there.
    span: std::ops::Range<u64>,
    /// Whether it is the file of its name, as far as we know.
    in_place: bool,
    /// Unix seconds: when that was looked at.
    looked: u64,
    trouble: Option<String>,
}

fn unix_now() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed();
    now.map_or(0, |d| d.as_secs())
}

impl RollingFile {
    pub(super) fn open(logging: &Logging, owner: &Account) -> Result<Self, RollingError> {
        Self::open_at(logging, owner, unix_now)
    }

    fn open_at(logging: &Logging, owner: &Account, now: fn() -> u64) -> Result<Self, RollingError> {
        let dir = &logging.dir;
        let now_is = now();
        let mut span = span(logging.rotation, now_is);
        let path = dir.join(name(logging.rotation, span.start));
        let opened = make_dir(dir, owner).and_then(|()| open_file(&path, owner));
        let mut trouble = None;
        let file = match opened {
            Err(source) if refuses_data(&source) => {
                let way = way_out(dir, &source);
                trouble = Some(format!(
                    "the log file {} cannot be written: {source}; lines go to {}, and the file is tried again each minute; {way}",
                    path.display(),
                    if logging.stdout {
                        "standard output alone"
                    } else {
                        "standard error"
                    }
                ));
                span = now_is..now_is.saturating_add(RETRY);
                instead(logging.stdout).map_err(|source| RollingError { path, source })?
            }
            other => other.map_err(|source| RollingError { path, source })?,
        };
        let rolling = Self {
            dir: dir.clone(),
            rotation: logging.rotation,
            keep: logging.max_log_files,
            owner: owner.clone(),
            format: logging.format,
            now,
            file,
            span,
            in_place: trouble.is_none(),
            looked: now_is,
            trouble,
        };
        rolling.prune();
        Ok(rolling)
    }

    /// Why the start could not open the file: the disk takes no data.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.clone()
    }

    /// Where the next file cannot be opened, the lines go on in the old one, which says so, once a minute.
    fn roll(&mut self, now: u64) -> io::Result<()> {
        let span = span(self.rotation, now);
        let path = self.dir.join(name(self.rotation, span.start));
        match open_file(&path, &self.owner) {
            Ok(file) => {
                self.file = file;
                self.span = span;
                self.in_place = true;
                self.prune();
                Ok(())
            }
            Err(e) => {
                self.span = now..now.saturating_add(RETRY);
                self.in_place = false;
                let shown = path.display();
                // A path with a quote in it is not worth breaking JSON for.
                let message =
                    format!("cannot open the log file {shown}: {e}").replace(['"', '\\'], "?");
                let line = warning(self.format, &message);
                self.file.write_all(line.as_bytes())
            }
        }
    }

    /// Whether somebody has moved or removed the file, as other programs that rotate logs do: then a new one is made.
    /// Looked at once a second at most.
    fn was_taken_away(&mut self, now: u64) -> bool {
        if !self.in_place || now == self.looked {
            return false;
        }
        self.looked = now;
        let path = self.dir.join(name(self.rotation, self.span.start));
        let Ok(ours) = self.file.metadata() else {
            return false;
        };
        match fs::symlink_metadata(path) {
            Ok(found) => (found.dev(), found.ino()) != (ours.dev(), ours.ino()),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Deletes the oldest files beyond those to keep. What is not named as ours are is left alone; a file that cannot
    /// be deleted is tried again the next time.
    fn prune(&self) {
        let Ok(items) = fs::read_dir(&self.dir) else {
            return;
        };
        let mut ours: Vec<String> = items
            .filter_map(|item| item.ok()?.file_name().into_string().ok())
            .filter(|name| is_dated(name))
            .collect();
        ours.sort();
        for name in ours.iter().take(ours.len().saturating_sub(self.keep)) {
            let _ = fs::remove_file(self.dir.join(name));
        }
    }
}

impl Write for RollingFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = (self.now)();
        if !self.span.contains(&now) || self.was_taken_away(now) {
            self.roll(now)?;
        }
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The seconds that share a file with `now`. Weeks begin on Sunday.
fn span(rotation: Rotation, now: u64) -> std::ops::Range<u64> {
    let today = now / DAY;
    match rotation {
        Rotation::Never => 0..u64::MAX,
        Rotation::Daily => today * DAY..(today + 1) * DAY,
        Rotation::Weekly => {
            // 1970-01-01 was a Thursday.
            let sunday = today.saturating_sub((today + 4) % 7);
            sunday * DAY..(sunday + 7) * DAY
        }
    }
}

fn name(rotation: Rotation, start: u64) -> String {
    if rotation == Rotation::Never {
        return NAME.to_owned();
    }
    let (year, month, day) = stamp::date(start / DAY);
    format!("{NAME}.{year:04}-{month:02}-{day:02}")
}

fn is_dated(name: &str) -> bool {
    let date = name.strip_prefix(NAME).and_then(|n| n.strip_prefix('.'));
    date.is_some_and(|d| {
        d.len() == 10
            && d.bytes().enumerate().all(|(n, b)| match n {
                4 | 7 => b == b'-',
                _ => b.is_ascii_digit(),
            })
    })
}

fn make_dir(dir: &Path, owner: &Account) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
    if geteuid().is_root() {
        lchown(dir, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(())
}

/// Where lines go while there is no file.
fn instead(on_stdout: bool) -> io::Result<File> {
    if on_stdout {
        return OpenOptions::new().write(true).open("/dev/null");
    }
    Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?))
}

/// A link in place of the file is not followed: the directory may belong to somebody with fewer rights than we have.
fn open_file(path: &Path, owner: &Account) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    if geteuid().is_root() {
        fchown(&file, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        os::unix::fs::{MetadataExt, PermissionsExt},
    };

    use tempfile::TempDir;

    use super::*;
    use crate::config::LogLevel;

    thread_local!(static NOW: Cell<u64> = const { Cell::new(0) });

    /// 2026-11-21, a Saturday, 23:59:50.
    const SATURDAY: u64 = 1_795_305_590;

    fn owner() -> Account {
        Account {
            user: "root".to_owned(),
            group: "root".to_owned(),
            uid: geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
        }
    }

    fn logging(dir: &Path, rotation: Rotation, keep: usize) -> Logging {
        Logging {
            dir: dir.to_owned(),
            rotation,
            max_log_files: keep,
            format: LogFormat::Text,
            level: LogLevel::Info,
            stdout: false,
        }
    }

    fn open(dir: &Path, rotation: Rotation, keep: usize, now: u64) -> RollingFile {
        NOW.set(now);
        RollingFile::open_at(&logging(dir, rotation, keep), &owner(), || NOW.get()).unwrap()
    }

    fn files(dir: &TempDir) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|i| i.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_day_a_file_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("couic.log.old"), "not ours").unwrap();
        let mut log = open(dir.path(), Rotation::Daily, 2, SATURDAY);
        for day in 0..4 {
            NOW.set(SATURDAY + day * DAY);
            log.write_all(format!("day {day}\n").as_bytes()).unwrap();
        }
        let kept = [
            "couic.log.2026-11-23",
            "couic.log.2026-11-24",
            "couic.log.old",
        ];
        assert_eq!(files(&dir), kept);
        let text = fs::read_to_string(dir.path().join(kept[1])).unwrap();
        assert_eq!(text, "day 3\n");
    }

    #[test]
    fn a_file_that_somebody_takes_away_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (file, aside) = (dir.path().join("couic.log"), dir.path().join("couic.log.1"));
        let mut log = open(dir.path(), Rotation::Never, 7, SATURDAY);
        log.write_all(b"one\n").unwrap();
        fs::rename(&file, &aside).unwrap();
        // Noticed within a second.
        NOW.set(SATURDAY + 1);
        log.write_all(b"two\n").unwrap();
        fs::remove_file(&file).unwrap();
        NOW.set(SATURDAY + 2);
        log.write_all(b"three\n").unwrap();
        assert_eq!(fs::read(&aside).unwrap(), b"one\n");
        assert_eq!(fs::read(&file).unwrap(), b"three\n");
    }

    #[test]
    fn a_week_begins_on_sunday() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path(), Rotation::Weekly, 7, SATURDAY);
        for seconds in [0, 10, 7 * DAY] {
            NOW.set(SATURDAY + seconds);
            log.write_all(b"x\n").unwrap();
        }
        assert_eq!(
            files(&dir),
            ["couic.log.2026-11-15", "couic.log.2026-11-22"]
        );
    }

    #[test]
    fn a_restart_appends_and_forgets_nothing() {
        for (rotation, name) in [
            (Rotation::Daily, "couic.log.2026-11-21"),
            (Rotation::Never, "couic.log"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            for _ in 0..3 {
                let mut log = open(dir.path(), rotation, 1, SATURDAY);
                log.write_all(b"x\n").unwrap();
            }
            assert_eq!(files(&dir), [name]);
            assert_eq!(fs::read(dir.path().join(name)).unwrap(), b"x\nx\nx\n");
        }
    }

    #[test]
    fn a_clock_that_jumps_back_appends_to_the_earlier_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path(), Rotation::Daily, 7, SATURDAY + DAY);
        NOW.set(SATURDAY);
        log.write_all(b"x\n").unwrap();
        assert_eq!(
            files(&dir),
            ["couic.log.2026-11-21", "couic.log.2026-11-22"]
        );
    }

    #[test]
    fn the_next_file_cannot_be_opened() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path(), Rotation::Daily, 7, SATURDAY);
        fs::create_dir(dir.path().join("couic.log.2026-11-22")).unwrap();
        NOW.set(SATURDAY + 20);
        log.write_all(b"kept\n").unwrap();
        log.write_all(b"kept too\n").unwrap();
        let text = fs::read_to_string(dir.path().join("couic.log.2026-11-21")).unwrap();
        assert!(text.ends_with("kept\nkept too\n"), "{text}");
        assert_eq!(text.matches("cannot open the log file").count(), 1);
        fs::remove_dir(dir.path().join("couic.log.2026-11-22")).unwrap();
        NOW.set(SATURDAY + 80);
        log.write_all(b"new\n").unwrap();
        let text = fs::read_to_string(dir.path().join("couic.log.2026-11-22")).unwrap();
        assert_eq!(text, "new\n");
    }

    #[test]
    fn the_directory_is_made_and_files_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        let mut owner = owner();
        if geteuid().is_root() {
            (owner.uid, owner.gid) = (4242, 4343);
        }
        drop(RollingFile::open(&logging(&deep, Rotation::Never, 7), &owner).unwrap());
        let file = fs::metadata(deep.join("couic.log")).unwrap();
        assert_eq!(file.permissions().mode() & 0o137, 0);
        for found in [file, fs::metadata(&deep).unwrap()] {
            assert_eq!((found.uid(), found.gid()), (owner.uid, owner.gid));
        }
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let told = |path: &Path| {
            RollingFile::open(&logging(path, Rotation::Never, 7), &owner())
                .err()
                .unwrap()
                .to_string()
        };
        assert!(told(&file).contains(&format!("{}", file.display())));
        std::os::unix::fs::symlink("/dev/null", dir.path().join("couic.log")).unwrap();
        let told = told(dir.path());
        assert!(
            told.contains("couic.log: ") && told.contains("[logging] dir"),
            "{told}"
        );
    }
}
