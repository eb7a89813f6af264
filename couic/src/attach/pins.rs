//! Where links are stored while no process of ours runs.
//!
//! - In systemd's descriptor store, if there is one: it survives restarts and crashes, and is closed by
//!   `systemctl stop`.
//! - Else in pin files on a bpf filesystem, one per link, in a directory of this configuration's own.
//! - Else nowhere: the filter ends with the daemon, and health reports it.

mod dir;

use std::{
    fs, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use couic_firewall::dataplane::{Hook, link};

pub(crate) use self::dir::{is_empty, make_dirs, pin_dir, remove_dirs};

/// Where bpf filesystems are mounted.
pub(crate) const BPF_FS: &str = "/sys/fs/bpf";
/// `BPF_FS_MAGIC` of linux/magic.h.
const MAGIC: libc::c_ulong = 0xcafe_4a11;

/// Where links are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Place {
    /// In systemd's descriptor store; the serving process sends them there.
    Store,
    /// In pin files on a bpf filesystem.
    Pins,
    /// Nowhere.
    Nowhere,
}

/// The name of a stored link. By index, because names of interfaces change and may have dots, which bpf filesystems
/// refuse; and by hook, because an interface has both for a moment when its mode changes.
pub(crate) fn link_name(index: u32, hook: Hook) -> String {
    match hook {
        Hook::Xdp => format!("if{index}"),
        Hook::Tcx => format!("tcx{index}"),
    }
}

/// Whether a bpf filesystem is mounted there.
pub(crate) fn is_bpf_fs(path: &Path) -> bool {
    // statfs(2), since this process may lack the right to open it.
    let found = nix::sys::statfs::statfs(path).map(|found| found.filesystem_type().0);
    found.is_ok_and(|kind| libc::c_ulong::try_from(kind).is_ok_and(|kind| kind == MAGIC))
}

/// The pin directory: the attacher's current directory, so that it needs no access to the directories above it later.
#[derive(Debug)]
pub(crate) struct Pins {
    /// The path for access.
    dir: PathBuf,
    /// The absolute path.
    home: PathBuf,
}

impl Pins {
    /// Creates the directory for this owner if it is missing, and makes it the current directory.
    pub(crate) fn enter(dir: &Path, owner: (u32, u32)) -> io::Result<Self> {
        make_dirs(dir, owner)?;
        Self::at(dir).enter_dir()
    }

    fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            home: dir.to_owned(),
        }
    }

    /// Changes the current directory to a new pin directory.
    pub(crate) fn move_to(&self, dir: &OwnedFd) -> io::Result<()> {
        Ok(nix::unistd::fchdir(dir)?)
    }

    /// Whether the directory was removed or renamed from outside, so that no later start finds it.
    pub(crate) fn is_gone(&self) -> bool {
        let Ok(here) = fs::metadata(&self.dir) else {
            return true;
        };
        match fs::metadata(&self.home) {
            Ok(there) => (there.dev(), there.ino()) != (here.dev(), here.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            // The directories above may be closed to this process.
            Err(_) => here.nlink() == 0,
        }
    }

    /// The existing directory, by its absolute path. `None` if it does not exist.
    pub(crate) fn find(dir: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(dir) {
            Ok(_) => Ok(Some(Self::at(dir))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes it the current directory, and uses it by that from now on.
    pub(crate) fn enter_dir(self) -> io::Result<Self> {
        std::env::set_current_dir(&self.dir)?;
        let dir = PathBuf::from(".");
        Ok(Self { dir, ..self })
    }

    /// The pinned links and their names. Objects other than XDP and TCX links are not ours, and skipped.
    pub(crate) fn links(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let mut all = Vec::new();
        for file in fs::read_dir(&self.dir)? {
            let file = file?;
            let name = file.file_name().to_string_lossy().into_owned();
            let link = link::pinned(&file.path())?;
            if link::info(link.as_fd()).is_ok() {
                all.push((name, link));
            }
        }
        Ok(all)
    }

    /// Whether a link is pinned under this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.dir.join(name).exists()
    }

    /// Pins a link, replacing one of the same name atomically.
    pub(crate) fn pin(&self, name: &str, link: &OwnedFd) -> io::Result<()> {
        let new = format!("{name}-new");
        self.unpin(&new)?;
        let new = self.dir.join(new);
        link::pin(link.as_fd(), &new)?;
        fs::rename(new, self.dir.join(name))
    }

    /// Removes a pin; a missing one is fine.
    pub(crate) fn unpin(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.dir.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_directory_is_no_bpf_filesystem() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_bpf_fs(dir.path()));
        assert!(!is_bpf_fs(&dir.path().join("missing")));
        assert!(Pins::find(&dir.path().join("missing")).unwrap().is_none());
    }
}
