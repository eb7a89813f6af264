//! Why a plugin is not usable: every message names the file and says what to do about it.

use std::{io, path::PathBuf};

/// A plugin that cannot be used. It never stops the firewall: the notifier has failed, for this reason.
#[derive(Debug, thiserror::Error)]
#[error("plugin {}: {reason}", path.display())]
pub struct LoadError {
    /// The file.
    pub path: PathBuf,
    /// The cause.
    #[source]
    pub reason: Reason,
}

/// Why a plugin cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// Missing, or not readable.
    #[error("cannot be read: {0}")]
    Read(#[source] io::Error),
    /// No file of that name.
    #[error(
        "there is no such file: looked for {tried} in its folder{}",
        if near.is_empty() { String::new() } else { format!(", which has {near}: rename that, or give its path") }
    )]
    Missing {
        /// The names that were looked for.
        tried: String,
        /// Files there that may be meant; empty if there are none.
        near: String,
    },
    /// An invalid name.
    #[error(
        "is not a plugin name: give the name of a file in the plugin folder, or an absolute path"
    )]
    Name,
    /// A directory, a fifo, a device.
    #[error("is {0}, not a regular file")]
    NotRegular(&'static str),
    /// Too large.
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
        /// Its target.
        target: PathBuf,
    },
    /// Owned by another user.
    #[error("{} belongs to uid {uid}: it must belong to root or to uid {us}", path.display())]
    Owner {
        /// The file or a folder above it.
        path: PathBuf,
        /// Its owner.
        uid: u32,
        /// The effective uid of this process.
        us: u32,
    },
    /// Writable by others.
    #[error("{} has mode {mode:04o}: group and others must not be able to write (chmod go-w)", path.display())]
    Writable {
        /// The file or a folder above it.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Not an ELF file, or a broken one.
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
    /// Another library.
    #[error("is not a Couic plugin: it has no note COUIC")]
    NoNote,
    /// The note or the head is invalid.
    #[error("has a broken plugin head: {0}")]
    Head(String),
    /// For another major of the ABI.
    #[error(
        "has plugin ABI {found}, this host has {ours}: get a build of it for this version of Couic"
    )]
    Major {
        /// Its major.
        found: u16,
        /// Ours.
        ours: u16,
    },
    /// Needs a newer host.
    #[error("needs plugin ABI {major}.{needs}, this host has {major}.{ours}: update Couic")]
    HostTooOld {
        /// The major of both.
        major: u16,
        /// The minor that it needs.
        needs: u16,
        /// Ours.
        ours: u16,
    },
    /// The symbol is missing or not data.
    #[error("{0}")]
    Symbol(String),
    /// The pin does not match.
    #[error("has the sha256 {found}, but {pinned} is configured")]
    Pin {
        /// The hash of the file.
        found: String,
        /// The configured hash.
        pinned: String,
    },
    /// Built for musl.
    #[error(
        "is built for musl (it needs {needs}), this program uses glibc: build it for a -gnu target"
    )]
    Musl {
        /// The musl library that it needs.
        needs: String,
    },
    /// A static build has no dynamic linker.
    #[error(
        "this is a static build, which loads no plugin files, isolated or not; webhook, discord and slack are built in, for others install the dynamic build"
    )]
    Static,
    /// It aborts on a panic, which would end the firewall.
    #[error("aborts on a panic (it does not set COUIC_F_UNWIND): it can only run isolated")]
    Aborts,
    /// The dynamic linker refuses it.
    #[error("the dynamic linker refuses it: {0}")]
    Dlopen(String),
    /// The exported descriptor is invalid.
    #[error("exports a broken descriptor: {0}")]
    Descriptor(&'static str),
    /// Its create function failed.
    #[error("does not start: {0}")]
    Create(String),
    /// It did not start in time.
    #[error("has not started within {0} s")]
    CreateTimeout(f64),
    /// Its process cannot be started.
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
