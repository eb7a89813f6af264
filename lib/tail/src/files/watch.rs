//! What the kernel tells of directories and files (inotify), and what became of files that were renamed meanwhile.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor},
};

use super::{identity::FileId, patterns::Patterns};

/// Events taken in at once; the rest waits for the next round.
const MAX_READS: usize = 512;

pub(super) struct Watch {
    inotify: Inotify,
    targets: HashMap<WatchDescriptor, Target>,
    dirs: HashMap<PathBuf, WatchDescriptor>,
    files: HashMap<FileId, WatchDescriptor>,
}

enum Target {
    Dir(PathBuf),
    File(FileId),
}

/// What has happened since the last look.
#[derive(Default)]
pub(super) struct Events {
    /// Files that were written to or truncated.
    pub(super) dirty: HashSet<FileId>,
    /// Names have changed.
    pub(super) rescan: bool,
    /// Where files are now that had a name of a log and lost it by renaming, in the order of the first renaming.
    pub(super) renamed: Vec<PathBuf>,
    /// The kernel had to drop events: anything may have happened.
    pub(super) overflow: bool,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        Ok(Self {
            inotify,
            targets: HashMap::new(),
            dirs: HashMap::new(),
            files: HashMap::new(),
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Whether everything that happened has been taken in.
    pub(super) fn is_quiet(&self) -> bool {
        let mut fds = [PollFd::new(self.fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO) == Ok(0)
    }

    /// Watches these directories and no others. Returns whether some are new: what happened in them before is not known.
    pub(super) fn set_dirs(&mut self, dirs: &BTreeSet<PathBuf>) -> (bool, Option<io::Error>) {
        let gone: Vec<PathBuf> = self
            .dirs
            .keys()
            .filter(|dir| !dirs.contains(*dir))
            .cloned()
            .collect();
        for dir in gone {
            if let Some(wd) = self.dirs.remove(&dir)
                && !self.dirs.values().any(|other| *other == wd)
            {
                self.remove(wd);
            }
        }
        let (mut new, mut failed) = (false, None);
        for dir in dirs {
            if !self.dirs.contains_key(dir) {
                match self.inotify.add_watch(dir, dir_events()) {
                    Ok(wd) => {
                        self.dirs.insert(dir.clone(), wd);
                        self.targets.insert(wd, Target::Dir(dir.clone()));
                        new = true;
                    }
                    Err(error) => failed = Some(error.into()),
                }
            }
        }
        (new, failed)
    }

    /// Watches an open file, whatever its name is by now.
    pub(super) fn add_file(&mut self, id: FileId, file: &File, path: &Path) -> io::Result<()> {
        let by_descriptor = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let wd = match self
            .inotify
            .add_watch(&by_descriptor, AddWatchFlags::IN_MODIFY)
        {
            // No /proc: by its name, which is nearly always right, and the look each second finds the others.
            Err(Errno::ENOENT) => self.inotify.add_watch(path, AddWatchFlags::IN_MODIFY)?,
            other => other?,
        };
        self.targets.insert(wd, Target::File(id));
        self.files.insert(id, wd);
        Ok(())
    }

    pub(super) fn remove_file(&mut self, id: FileId) {
        if let Some(wd) = self.files.remove(&id) {
            self.remove(wd);
        }
    }

    fn remove(&mut self, wd: WatchDescriptor) {
        self.targets.remove(&wd);
        // It fails when the kernel has removed it already.
        let _ = self.inotify.rm_watch(wd);
    }

    /// Takes in what has happened to the files of these patterns.
    pub(super) fn drain(&mut self, patterns: &Patterns) -> io::Result<Events> {
        let mut events = Events::default();
        let mut moves = Moves::default();
        for _ in 0..MAX_READS {
            match self.inotify.read_events() {
                Ok(some) => some
                    .iter()
                    .for_each(|event| self.take(event, patterns, &mut moves, &mut events)),
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        events.renamed = moves.now;
        Ok(events)
    }

    fn take(
        &mut self,
        event: &InotifyEvent,
        patterns: &Patterns,
        moves: &mut Moves,
        events: &mut Events,
    ) {
        use AddWatchFlags as Flag;
        if event.mask.contains(Flag::IN_Q_OVERFLOW) {
            events.overflow = true;
            return;
        }
        let dir = match self.targets.get(&event.wd) {
            Some(Target::File(id)) => {
                events.dirty.insert(*id);
                return;
            }
            Some(Target::Dir(dir)) => dir,
            None => return,
        };
        if event.mask.intersects(Flag::IN_IGNORED | Flag::IN_MOVE_SELF) {
            // Gone, or it is another's now: the next scan watches what is there.
            events.rescan = true;
            let dir = dir.clone();
            self.dirs.remove(&dir);
            self.remove(event.wd);
            return;
        }
        let Some(name) = &event.name else {
            return;
        };
        let path = dir.join(name);
        events.rescan |= patterns.lead_through(&path);
        if event.mask.contains(Flag::IN_MOVED_FROM) {
            moves.from(event.cookie, &path, patterns.matches(&path));
        } else if event.mask.contains(Flag::IN_MOVED_TO) {
            moves.to(event.cookie, path);
        } else if event.mask.contains(Flag::IN_DELETE) {
            moves.now.retain(|now| *now != path);
        }
    }
}

fn dir_events() -> AddWatchFlags {
    use AddWatchFlags as Flag;
    // IN_ATTRIB: a file that may be read from now on.
    Flag::IN_CREATE
        | Flag::IN_MOVED_FROM
        | Flag::IN_MOVED_TO
        | Flag::IN_DELETE
        | Flag::IN_ATTRIB
        | Flag::IN_MOVE_SELF
        | Flag::IN_DELETE_SELF
        | Flag::IN_ONLYDIR
}

/// Follows files from the name of a log through any number of renamings.
#[derive(Default)]
struct Moves {
    now: Vec<PathBuf>,
    /// The renaming that is half told: its cookie, and which of `now` it is, if any.
    open: Option<(u32, Option<usize>)>,
}

impl Moves {
    fn from(&mut self, cookie: u32, path: &Path, is_log: bool) {
        // The newest of that name: an earlier one was overwritten.
        let mut at = self.now.iter().rposition(|now| now == path);
        if at.is_none() && is_log {
            at = Some(self.now.len());
            self.now.push(path.to_owned());
        }
        self.open = Some((cookie, at));
    }

    fn to(&mut self, cookie: u32, path: PathBuf) {
        // The kernel tells both halves one after the other.
        if let Some((from, Some(at))) = self.open.take()
            && from == cookie
            && let Some(now) = self.now.get_mut(at)
        {
            *now = path;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn logs(dir: &Path, name: &str) -> Patterns {
        Patterns::new(vec![dir.join(name).to_str().unwrap().to_owned()]).unwrap()
    }

    fn watching(dir: &Path) -> Watch {
        let mut watch = Watch::new().unwrap();
        let (new, failed) = watch.set_dirs(&BTreeSet::from([dir.to_owned()]));
        assert!(new && failed.is_none());
        watch
    }

    #[test]
    fn a_log_renamed_many_times_between_two_looks_is_found_where_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let mut watch = watching(dir.path());
        // As logrotate does it, three times.
        for round in 0..3 {
            fs::write(at("a.log"), round.to_string()).unwrap();
            for n in [2, 1] {
                let _ = fs::rename(at(&format!("a.log.{n}")), at(&format!("a.log.{}", n + 1)));
            }
            fs::rename(at("a.log"), at("a.log.1")).unwrap();
        }
        fs::write(at("other"), "").unwrap();
        fs::rename(at("other"), at("other.1")).unwrap();
        let events = watch.drain(&logs(dir.path(), "a.log")).unwrap();
        assert!(events.rescan && !events.overflow && events.dirty.is_empty());
        assert_eq!(
            events.renamed,
            [at("a.log.3"), at("a.log.2"), at("a.log.1")]
        );
        fs::rename(at("a.log.3"), at("b")).unwrap();
        assert!(
            watch
                .drain(&logs(dir.path(), "none"))
                .unwrap()
                .renamed
                .is_empty()
        );
    }

    #[test]
    fn a_file_is_watched_under_any_name_and_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.log");
        fs::write(&path, "").unwrap();
        let mut watch = Watch::new().unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        let id = FileId::of(&file.metadata().unwrap());
        fs::rename(&path, dir.path().join("b")).unwrap();
        watch.add_file(id, &file, &path).unwrap();
        io::Write::write_all(&mut &file, b"line\n").unwrap();
        assert!(
            watch
                .drain(&logs(dir.path(), "*"))
                .unwrap()
                .dirty
                .contains(&id)
        );
        watch.remove_file(id);
        io::Write::write_all(&mut &file, b"line\n").unwrap();
        assert!(
            watch
                .drain(&logs(dir.path(), "*"))
                .unwrap()
                .dirty
                .is_empty()
        );
    }

    #[test]
    fn a_removed_directory_asks_for_a_scan_and_is_watched_again() {
        let outer = tempfile::tempdir().unwrap();
        let dir = outer.path().join("logs");
        fs::create_dir(&dir).unwrap();
        let mut watch = watching(&dir);
        fs::remove_dir(&dir).unwrap();
        assert!(watch.drain(&logs(&dir, "*")).unwrap().rescan);
        fs::create_dir(&dir).unwrap();
        let (new, failed) = watch.set_dirs(&BTreeSet::from([dir.clone()]));
        assert!(new && failed.is_none());
        fs::write(dir.join("x"), "").unwrap();
        assert!(watch.drain(&logs(&dir, "*")).unwrap().rescan);
    }
}
