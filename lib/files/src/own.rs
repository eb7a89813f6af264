//! Files of ours by a fixed name, in a directory of a less privileged user: before root writes to one or gives it away.
//!
//! What holds for root: a file with a second name (a hard link) is never written to, emptied or given away, since its
//! other name may be any file of the system; nor is one of a third user. Opening a FIFO does not wait.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{MetadataExt, OpenOptionsExt, fchown},
    path::Path,
};

use nix::unistd::geteuid;

use crate::{Account, owner_name};

/// An opened file, as [`give_to`] judges it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is ours, and belongs to the configured user now.
    Ours,
    /// It has a second name, and is untouched: remove this name, and create the file anew.
    Linked,
}

/// Opens a file of ours. Neither a symbolic link nor a FIFO is waited for or followed.
///
/// # Errors
/// Those of open(2); `ELOOP` for a symbolic link.
pub fn open_own(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    options.custom_flags(flags).open(path)
}

/// Gives an opened file to `owner` if this process is root, which is judged by its descriptor.
///
/// # Errors
/// It is no regular file, or belongs to a third user, with what to do; those of fchown(2).
pub fn give_to(file: &File, owner: &Account) -> io::Result<Standing> {
    let found = file.metadata()?;
    let refuse = |text: String| Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    if !found.is_file() {
        return refuse("it is not a regular file: move it away".to_owned());
    }
    if !geteuid().is_root() {
        return Ok(Standing::Ours);
    }
    if found.nlink() != 1 {
        return Ok(Standing::Linked);
    }
    if ![0, owner.uid].contains(&found.uid()) {
        let (other, Account { user, group, .. }) = (owner_name(found.uid()), owner);
        return refuse(format!(
            "it belongs to {other}: give it to {user}:{group} (chown), or move it away"
        ));
    }
    fchown(file, Some(owner.uid), Some(owner.gid))?;
    Ok(Standing::Ours)
}

/// Whether a directory is a symbolic link of a user other than root: what root makes there would be made where that user
/// chooses.
#[must_use]
pub fn is_foreign_link(dir: &Path) -> bool {
    let found = dir.symlink_metadata();
    geteuid().is_root() && found.is_ok_and(|found| found.is_symlink() && found.uid() != 0)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::chown};

    use super::*;

    fn owner() -> Account {
        Account {
            user: "couic".to_owned(),
            group: "couic".to_owned(),
            uid: 4242,
            gid: 4343,
        }
    }

    #[test]
    fn only_a_file_of_root_or_the_user_with_one_name_is_given_away() {
        if !geteuid().is_root() {
            println!("skipped: only root can give files away");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let open = || open_own(&path, OpenOptions::new().read(true).write(true)).unwrap();
        let uid = || fs::metadata(&path).unwrap().uid();
        fs::write(&path, "content").unwrap();
        let second = dir.path().join("second");
        fs::hard_link(&path, &second).unwrap();
        assert_eq!(give_to(&open(), &owner()).unwrap(), Standing::Linked);
        assert_eq!((uid(), fs::read(&path).unwrap()), (0, b"content".to_vec()));
        fs::remove_file(second).unwrap();
        chown(&path, Some(77), None).unwrap();
        let told = give_to(&open(), &owner()).unwrap_err().to_string();
        assert!(told.starts_with("it belongs to 77: give it to couic:couic"));
        assert_eq!(uid(), 77);
        for from in [0, 4242] {
            chown(&path, Some(from), None).unwrap();
            assert_eq!(give_to(&open(), &owner()).unwrap(), Standing::Ours);
            assert_eq!(uid(), 4242);
        }
    }

    #[test]
    fn neither_a_fifo_nor_a_link_is_opened_as_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, link) = (dir.path().join("fifo"), dir.path().join("link"));
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let opened = open_own(&fifo, OpenOptions::new().read(true).write(true)).unwrap();
        assert!(give_to(&opened, &owner()).is_err(), "and without waiting");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        let error = open_own(&link, OpenOptions::new().read(true)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
        assert!(!is_foreign_link(&link), "one of the user that runs this");
    }
}
