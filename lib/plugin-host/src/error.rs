//! Why a plugin is not there: every message names the file and says what to do about it.

use std::{io, path::PathBuf};

/// A plugin that cannot be used. It never stops the firewall: the notifier is failed, with this as its reason.
#[derive(Debug, thiserror::Error)]
#[error("plugin {}: {reason}", path.display())]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    #[source]
    pub reason: Reason,
}

/// What is wrong with a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Absent, or not readable.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// A name that cannot be that of a plugin.
    #[error(
        "is not a plugin name: give the name of a file in the plugin folder, or an absolute path"
    )]
    Name,
    /// A directory, a fifo, a device.
    #[error("is {0}, not a regular file")]
    NotRegular(&'static str),
    /// Too large to be a plugin.
    #[error("has {size} bytes, more than the {limit} that a plugin may have")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The largest that is accepted.
        limit: u64,
    },
    /// A symbolic link that leaves its folder.
    #[error("leads out of {} to {}: put the file itself there", folder.display(), target.display())]
    Outside {
        /// The folder.
        folder: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// Somebody else's.
    #[error("{} belongs to uid {uid}: it must belong to root or to uid {us}", path.display())]
    Owner {
        /// The file or the folder above it.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// Who we are.
        us: u32,
    },
    /// Others could change it.
    #[error("{} has mode {mode:04o}: group and others must not be able to write (chmod go-w)", path.display())]
    Writable {
        /// The file or the folder above it.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// No ELF file, or a broken one.
    #[error("is not a shared library for this system: {0}")]
    NotElf(String),
    /// A program.
    #[error("is a program, not a shared library")]
    Executable,
    /// For another CPU.
    #[error("is built for {found}, this machine is {ours}")]
    Machine {
        /// What it is built for.
        found: String,
        /// What this machine is.
        ours: &'static str,
    },
    /// Some other library.
    #[error("is no Couic plugin: it has no note COUIC")]
    NoNote,
    /// The note or the head makes no sense.
    #[error("has a broken plugin head: {0}")]
    Head(String),
    /// For another generation of hosts.
    #[error(
        "speaks plugin ABI {found}, this is ABI {ours}: get a build of it for this version of Couic"
    )]
    Major {
        /// Its major.
        found: u16,
        /// Ours.
        ours: u16,
    },
    /// Needs more than this host has.
    #[error("needs plugin ABI {major}.{needs}, this host has {major}.{ours}: update Couic")]
    HostTooOld {
        /// The major, which is equal.
        major: u16,
        /// The minor that it needs.
        needs: u16,
        /// Ours.
        ours: u16,
    },
    /// The symbol is missing or no object.
    #[error("{0}")]
    Symbol(String),
    /// Not the file that was pinned.
    #[error("has the sha256 {found}, but {pinned} is configured")]
    Pin {
        /// What it has.
        found: String,
        /// What is configured.
        pinned: String,
    },
    /// Built for musl.
    #[error(
        "is built for musl (it needs {needs}), this program uses glibc: build it for a -gnu target"
    )]
    Musl {
        /// The library that gives it away.
        needs: String,
    },
    /// A static program cannot load anything.
    #[error(
        "this is a static build: it loads no plugin's file, isolated or not; webhook, discord and slack are built in, for another one install the dynamic build"
    )]
    Static,
    /// It aborts on errors, and would take the firewall along.
    #[error("aborts on a panic (it does not set COUIC_F_UNWIND): it can only run isolated")]
    Aborts,
    /// The dynamic linker says no.
    #[error("the dynamic linker refuses it: {0}")]
    Dlopen(String),
    /// What it exports makes no sense.
    #[error("exports a broken descriptor: {0}")]
    Descriptor(&'static str),
    /// It does not want to start with this configuration, or cannot.
    #[error("does not start: {0}")]
    Create(String),
    /// It is still starting.
    #[error("has not started within {0} s")]
    CreateTimeout(f64),
    /// The process for it could not be made.
    #[error("its process cannot be started: {0}")]
    Process(String),
}

impl Reason {
    pub(crate) fn at(self, path: impl Into<PathBuf>) -> LoadError {
        LoadError {
            path: path.into(),
            reason: self,
        }
    }
}
