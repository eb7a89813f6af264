//! Owners and modes of existing files in the working directory and the log directory.
//!
//! Files of root, left by a daemon that kept root or by an administrator, are given to the configured user, who could
//! not write to them otherwise. That is root changing owners in a directory of a less privileged user, so: no path is
//! resolved twice, no symbolic link is followed, and only directories and regular files with one link that belong to
//! root are given away.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{MetadataExt, fchown},
    },
    path::Path,
};

use nix::{
    dir::Dir,
    fcntl::{AtFlags, OFlag, openat},
    sys::stat::{Mode, SFlag, fstatat},
    unistd::geteuid,
};

use crate::{Account, is_foreign_link};

/// Deeper than any tree of ours.
const DEPTH: usize = 6;
/// More files than a daemon has, and few enough for a start.
const MOST: usize = 100_000;
/// World-writable files named in the log.
const MAX_WARNINGS: usize = 5;

/// Gives root's files in the working directory to its owner, if this process is root, and warns of world-writable
/// files.
pub fn inspect_working_dir(working_dir: &Path, owner: &Account) {
    let mut walk = Walk::new(owner);
    let walked = open(working_dir).and_then(|dir| walk.down(dir, working_dir, DEPTH));
    walk.report(working_dir, walked);
}

/// The same for the log directory, if it contains only log files of ours.
pub fn inspect_log_dir(dir: &Path, owner: &Account) {
    let only_ours = Dir::open(dir, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).is_ok_and(
        |mut dir| {
            dir.iter().flatten().all(|item| {
                let name = item.file_name().to_bytes();
                matches!(name, b"." | b"..")
                    || name.starts_with(b"couic.log")
                    || name.starts_with(b"audit.log")
            })
        },
    );
    let mut walk = Walk::new(owner);
    if is_foreign_link(dir) {
        let shown = dir.display();
        tracing::warn!(
            "the log directory {shown} is a symbolic link that does not belong to root: owners behind it are not changed"
        );
    } else if only_ours {
        let walked = open(dir).and_then(|file| {
            walk.take_over(&file)?;
            walk.down(file, dir, 1)
        });
        walk.report(dir, walked);
    } else if walk.may_give && !belongs_to(dir, owner) {
        let (shown, user) = (dir.display(), &owner.user);
        tracing::warn!(
            "the log directory {shown} has other files, too, and does not belong to {user}, the user of couic: new log files cannot be created there; set [logging] dir to a directory of couic's own"
        );
    }
}

fn belongs_to(dir: &Path, owner: &Account) -> bool {
    dir.metadata().is_ok_and(|found| found.uid() == owner.uid)
}

fn open(dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
    Ok(nix::fcntl::open(dir, flags, Mode::empty())?)
}

struct Walk<'a> {
    owner: &'a Account,
    may_give: bool,
    left: usize,
    given: usize,
    world_writable: Vec<String>,
}

impl<'a> Walk<'a> {
    fn new(owner: &'a Account) -> Self {
        Self {
            owner,
            may_give: geteuid().is_root() && owner.uid != 0,
            left: MOST,
            given: 0,
            world_writable: Vec::new(),
        }
    }

    fn down(&mut self, dir: OwnedFd, path: &Path, depth: usize) -> io::Result<()> {
        let mut dir = Dir::from_fd(dir)?;
        let names: Vec<_> = dir
            .iter()
            .flatten()
            .map(|item| item.file_name().to_owned())
            .filter(|name| !matches!(name.to_bytes(), b"." | b".."))
            .take(self.left)
            .collect();
        self.left -= names.len();
        for name in names {
            let found = fstatat(&dir, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
            let kind = SFlag::from_bits_truncate(found.st_mode) & SFlag::S_IFMT;
            let is_dir = kind == SFlag::S_IFDIR;
            if !is_dir && kind != SFlag::S_IFREG {
                continue;
            }
            let path = path.join(name.to_string_lossy().as_ref());
            if found.st_mode & 0o002 != 0 {
                self.world_writable.push(path.display().to_string());
            }
            let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_RDONLY;
            // A file that this process may not read is not ours to give away.
            let Ok(file) = openat(&dir, name.as_c_str(), flags, Mode::empty()) else {
                continue;
            };
            self.take_over(&file)?;
            if is_dir && depth > 1 {
                self.down(file, &path, depth - 1)?;
            }
        }
        Ok(())
    }

    /// By descriptor, so that the file cannot be exchanged in between.
    fn take_over(&mut self, file: &OwnedFd) -> io::Result<()> {
        let found = File::from(file.try_clone()?).metadata()?;
        let whole = found.is_dir() || (found.is_file() && found.nlink() == 1);
        if self.may_give && found.uid() == 0 && whole {
            fchown(file.as_fd(), Some(self.owner.uid), Some(self.owner.gid))?;
            self.given += 1;
        }
        Ok(())
    }

    fn report(&self, dir: &Path, walked: io::Result<()>) {
        let (shown, user) = (dir.display(), &self.owner.user);
        if let Err(error) = walked {
            tracing::warn!("cannot check owners and modes in {shown}: {error}");
        }
        if self.given > 0 {
            tracing::info!(
                "{} files and directories in {shown} belonged to root; they are {user}'s now",
                self.given
            );
        }
        for path in self.world_writable.iter().take(MAX_WARNINGS) {
            tracing::warn!("{path} is world-writable: run chmod o-w {path}");
        }
        let more = self.world_writable.len().saturating_sub(MAX_WARNINGS);
        if more > 0 {
            tracing::warn!(
                "{more} more files in {shown} are world-writable: run chmod -R o-w {shown}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt, symlink},
    };

    use super::*;

    fn owner() -> Account {
        Account {
            user: "couic".to_owned(),
            group: "couic".to_owned(),
            uid: 4242,
            gid: 4343,
        }
    }

    fn uid(path: impl AsRef<Path>) -> u32 {
        fs::symlink_metadata(path).unwrap().uid()
    }

    #[test]
    fn only_files_of_root_are_given_away() {
        if !geteuid().is_root() {
            println!("skipped: only root can give files away");
            return;
        }
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("sets/drop")).unwrap();
        fs::write(at("sets/drop/a.couic"), "").unwrap();
        fs::write(at("theirs"), "").unwrap();
        std::os::unix::fs::chown(at("theirs"), Some(77), None).unwrap();
        // Links that the directory's owner could create to be given foreign files.
        fs::write(outside.path().join("shadow"), "").unwrap();
        symlink(outside.path().join("shadow"), at("link")).unwrap();
        symlink(outside.path(), at("sets/link")).unwrap();
        fs::hard_link(outside.path().join("shadow"), at("hard")).unwrap();
        inspect_working_dir(dir.path(), &owner());
        for ours in ["sets", "sets/drop", "sets/drop/a.couic"] {
            assert_eq!(uid(at(ours)), 4242, "{ours}");
        }
        assert_eq!(uid(at("theirs")), 77);
        for not in [
            at("link"),
            at("sets/link"),
            at("hard"),
            outside.path().join("shadow"),
        ] {
            assert_eq!(uid(&not), 0, "{}", not.display());
        }
        assert_eq!(
            uid(dir.path()),
            0,
            "the directory itself is checked elsewhere"
        );
    }

    #[test]
    fn a_log_directory_is_given_away_only_without_foreign_files() {
        if !geteuid().is_root() {
            println!("skipped: only root can give files away");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("couic.log.2026-11-21"), "").unwrap();
        fs::write(dir.path().join("syslog"), "").unwrap();
        inspect_log_dir(dir.path(), &owner());
        assert_eq!((uid(dir.path()), uid(dir.path().join("syslog"))), (0, 0));
        fs::remove_file(dir.path().join("syslog")).unwrap();
        inspect_log_dir(dir.path(), &owner());
        assert_eq!(uid(dir.path()), 4242);
        assert_eq!(uid(dir.path().join("couic.log.2026-11-21")), 4242);
    }

    #[test]
    fn world_writable_files_are_found() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sets")).unwrap();
        for (name, mode) in [("sets/open", 0o666), ("sets/closed", 0o664)] {
            let path = dir.path().join(name);
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        let owner = owner();
        let mut walk = Walk::new(&owner);
        walk.may_give = false;
        walk.down(open(dir.path()).unwrap(), dir.path(), DEPTH)
            .unwrap();
        let open = dir.path().join("sets/open").display().to_string();
        assert_eq!(walk.world_writable, [open]);
    }
}
