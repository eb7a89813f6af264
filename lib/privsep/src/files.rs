//! Which files a process may open, by Landlock (Linux 5.13; what later kernels add is used where it is there).
//!
//! A domain concerns what is opened, made, renamed and removed from then on. What is open stays open, and stat(2),
//! chmod(2) and the like are not covered: for those the owner and the mode of a file count.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr,
};

/// The rights that are asked for: later kernels know more, which concern no files that are named here.
const KNOWN: ABI = ABI::V5;

/// What may be opened: whatever is not named may not.
#[derive(Clone, Debug, Default)]
pub struct Files {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    remove: Vec<PathBuf>,
}

impl Files {
    /// This file, or everything below this folder, may be read.
    #[must_use]
    pub fn read(mut self, path: impl Into<PathBuf>) -> Self {
        self.read.push(path.into());
        self
    }

    /// Below this folder everything may be done with files, folders and sockets, other than running them; a file may be
    /// read and written.
    #[must_use]
    pub fn write(mut self, path: impl Into<PathBuf>) -> Self {
        self.write.push(path.into());
        self
    }

    /// Files below this folder may be removed.
    #[must_use]
    pub fn remove(mut self, path: impl Into<PathBuf>) -> Self {
        self.remove.push(path.into());
        self
    }

    /// The rules, for [`ThreadStep::domain`](crate::ThreadStep::domain). Paths that are not there are left out: a rule
    /// is about a file, not about a name. `None` where this kernel has no Landlock.
    ///
    /// # Errors
    /// What the system says.
    pub fn domain(&self) -> io::Result<Option<Domain>> {
        let created = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(KNOWN))
            .and_then(Ruleset::create)
            .map_err(io::Error::other)?;
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let kinds = [
            (&self.read, read),
            (&self.write, read | writing()),
            (&self.remove, AccessFs::ReadDir | AccessFs::RemoveFile),
        ];
        let mut created = created;
        for (paths, rights) in kinds {
            for path in paths {
                if let Some(rule) = rule(path, rights) {
                    created = created.add_rule(rule).map_err(io::Error::other)?;
                }
            }
        }
        let rules: Option<OwnedFd> = created.into();
        Ok(rules.map(|rules| Domain { rules }))
    }
}

fn rule(path: &Path, rights: BitFlags<AccessFs>) -> Option<PathBeneath<PathFd>> {
    let rights = if path.is_dir() {
        rights
    } else {
        rights & AccessFs::from_file(KNOWN)
    };
    Some(PathBeneath::new(PathFd::new(path).ok()?, rights))
}

/// Everything but devices, and running what is there.
fn writing() -> BitFlags<AccessFs> {
    let not = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev | AccessFs::Execute;
    AccessFs::from_all(KNOWN) & !not
}

/// Rules that a thread can submit to.
#[derive(Debug)]
pub struct Domain {
    rules: OwnedFd,
}

impl AsFd for Domain {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.rules.as_fd()
    }
}

/// The version of Landlock that this kernel has; 0 where it has none, or where it is switched off (`lsm=` at boot).
#[must_use]
pub fn version() -> i64 {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the call takes no structure.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            std::ptr::null::<u8>(),
            0_usize,
            VERSION,
        )
    };
    version.max(0)
}
