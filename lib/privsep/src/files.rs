//! The files that a process may open, and the TCP ports that it may use, by Landlock (Linux 5.13, TCP 6.7; rights of later
//! kernels are used if present).
//!
//! A domain restricts opening, creating, renaming and removing from then on. Open descriptors stay open, and stat(2),
//! chmod(2) and the like are not covered: they are subject to the owner and mode of a file only. Of the network, TCP is
//! covered: UDP, which asks for names, and Unix sockets are not.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, PathBeneath,
    PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
};

/// The rights that are handled: those of later versions concern neither files nor TCP.
const KNOWN: ABI = ABI::V5;

/// The files that may be opened; all others may not. Ports are free unless [`Files::tcp`] names some.
#[derive(Clone, Debug, Default)]
pub struct Files {
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    remove: Vec<PathBuf>,
    execute: Vec<PathBuf>,
    tcp: Option<Ports>,
}

/// TCP ports.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    /// Those of other machines, and of this one, that may be connected to.
    pub connect: Vec<u16>,
    /// Those that may be listened on.
    pub listen: Vec<u16>,
}

impl Files {
    /// Allows reading this file, or everything below this directory.
    #[must_use]
    pub fn read(mut self, path: impl Into<PathBuf>) -> Self {
        self.read.push(path.into());
        self
    }

    /// Allows reading and writing this file, or everything but execution and devices below this directory.
    #[must_use]
    pub fn write(mut self, path: impl Into<PathBuf>) -> Self {
        self.write.push(path.into());
        self
    }

    /// Allows removing files below this directory.
    #[must_use]
    pub fn remove(mut self, path: impl Into<PathBuf>) -> Self {
        self.remove.push(path.into());
        self
    }

    /// Allows reading this file, or everything below this directory, and executing it.
    #[must_use]
    pub fn execute(mut self, path: impl Into<PathBuf>) -> Self {
        self.execute.push(path.into());
        self
    }

    /// Allows these ports of TCP, and no others.
    #[must_use]
    pub fn tcp(mut self, ports: Ports) -> Self {
        self.tcp = Some(ports);
        self
    }

    /// The rules, for [`ThreadStep::domain`](crate::ThreadStep::domain). Missing paths are skipped: a rule refers to an
    /// inode, not to a name. `None` if this kernel has no Landlock.
    ///
    /// # Errors
    /// Those of the system calls.
    pub fn domain(&self) -> io::Result<Option<Domain>> {
        let mut ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(KNOWN))
            .map_err(io::Error::other)?;
        if self.tcp.is_some() {
            ruleset = ruleset
                .handle_access(AccessNet::from_all(KNOWN))
                .map_err(io::Error::other)?;
        }
        let created = ruleset.create().map_err(io::Error::other)?;
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let kinds = [
            (&self.read, read),
            (&self.write, read | writing()),
            (&self.remove, AccessFs::ReadDir | AccessFs::RemoveFile),
            (&self.execute, read | AccessFs::Execute),
        ];
        let mut created = ports(created, self.tcp.as_ref())?;
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

fn ports(mut created: RulesetCreated, ports: Option<&Ports>) -> io::Result<RulesetCreated> {
    let kinds = ports.into_iter().flat_map(|ports| {
        [
            (&ports.connect, AccessNet::ConnectTcp),
            (&ports.listen, AccessNet::BindTcp),
        ]
    });
    for (ports, right) in kinds {
        for &port in ports {
            let rule = NetPort::new(port, right);
            created = created.add_rule(rule).map_err(io::Error::other)?;
        }
    }
    Ok(created)
}

fn rule(path: &Path, rights: BitFlags<AccessFs>) -> Option<PathBeneath<PathFd>> {
    let rights = if path.is_dir() {
        rights
    } else {
        rights & AccessFs::from_file(KNOWN)
    };
    Some(PathBeneath::new(PathFd::new(path).ok()?, rights))
}

/// Everything but devices and execution.
fn writing() -> BitFlags<AccessFs> {
    let not = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev | AccessFs::Execute;
    AccessFs::from_all(KNOWN) & !not
}

/// A Landlock ruleset that a thread can enter.
#[derive(Debug)]
pub struct Domain {
    rules: OwnedFd,
}

impl AsFd for Domain {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.rules.as_fd()
    }
}

/// The Landlock ABI version of this kernel; 0 if it has none, or if Landlock is disabled (`lsm=` at boot).
#[must_use]
pub fn version() -> i64 {
    const VERSION: u32 = 1;
    // SAFETY: with this flag the call reads no structure.
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

/// The version from which on TCP ports are covered.
pub const TCP_SINCE: i64 = 4;
