//! A checked plugin file, as a sealed copy in memory.
//!
//! The copy is mapped, not the file: so the checked bytes are the code that runs even if the file is replaced in between,
//! and overwriting it in place cannot crash the process that has it mapped.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read, Seek, Write},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::memfd::{MFdFlags, memfd_create},
};
use sha2::{Digest, Sha256};

use super::{
    elf,
    error::{LoadError, Reason},
};
use couic_plugin_api::abi::Head;

/// Whether this build can load files: a static program has no dynamic linker, nor has its isolated child.
pub(super) const LOADS_FILES: bool = !cfg!(target_feature = "crt-static");

/// Larger than any plugin with its debug information.
const LARGEST: u64 = 256 << 20;

/// A plugin file that may be loaded.
#[derive(Debug)]
pub struct PluginFile {
    path: PathBuf,
    copy: OwnedFd,
    head: Head,
    sha256: String,
}

impl PluginFile {
    /// Checks the file at `path` and keeps a sealed copy of it. No code of it runs.
    ///
    /// It must be a regular file that belongs to root or to this process' user; neither it nor any folder above it may
    /// be writable by others (a sticky folder further up, as `/tmp`, is fine); a symbolic link must stay in its folder.
    /// It must be an ELF library for this machine with the note and the symbol of a plugin, for this ABI. With a `pin`,
    /// it must have this SHA-256 (hexadecimal). A static build refuses every file.
    ///
    /// # Errors
    /// [`LoadError`] names the file and the first check that it fails.
    pub fn check(path: &Path, pin: Option<&str>) -> Result<Self, LoadError> {
        Self::checked(path, pin).map_err(|reason| reason.at(path))
    }

    fn checked(path: &Path, pin: Option<&str>) -> Result<Self, Reason> {
        if !LOADS_FILES {
            return Err(Reason::Static);
        }
        let (file, target) = open(path)?;
        trust(&file.metadata().map_err(Reason::Read)?, &target)?;
        let folder = target.parent().unwrap_or(Path::new("/"));
        for (depth, above) in folder.ancestors().enumerate() {
            let metadata = above.symlink_metadata().map_err(Reason::Read)?;
            let sticky = depth > 0 && metadata.mode() & 0o1000 != 0;
            if !(sticky && metadata.uid() == 0) {
                trust(&metadata, above)?;
            }
        }
        let bytes = read(file)?;
        let sha256 = hex(&Sha256::digest(&bytes));
        if let Some(pin) = pin.filter(|pin| !pin.eq_ignore_ascii_case(&sha256)) {
            let pinned = pin.to_owned();
            return Err(Reason::Pin {
                found: sha256,
                pinned,
            });
        }
        let head = elf::inspect(&bytes)?;
        let copy = seal(&bytes).map_err(Reason::Read)?;
        let path = path.to_owned();
        Ok(Self {
            path,
            copy,
            head,
            sha256,
        })
    }

    /// Adopts a sealed copy that another process of Couic has checked, and repeats the checks of its content.
    pub(crate) fn from_copy(copy: OwnedFd, path: PathBuf) -> Result<Self, LoadError> {
        let inspected = || {
            let file = File::from(copy.try_clone().map_err(Reason::Read)?);
            let bytes = read(file)?;
            Ok((elf::inspect(&bytes)?, hex(&Sha256::digest(&bytes))))
        };
        match inspected() {
            Ok((head, sha256)) => Ok(Self {
                path,
                copy,
                head,
                sha256,
            }),
            Err(reason) => Err(LoadError { path, reason }),
        }
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its SHA-256, in hexadecimal.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Its head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The sealed copy.
    pub(crate) fn copy(&self) -> BorrowedFd<'_> {
        self.copy.as_fd()
    }

    /// A path to the sealed copy, for this process.
    pub(crate) fn copy_path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.copy.as_raw_fd()).into()
    }
}

/// Opens without following a link out of the folder, and without blocking on a fifo.
fn open(path: &Path) -> Result<(File, PathBuf), Reason> {
    let target = path.canonicalize().map_err(Reason::Read)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let folder = folder.canonicalize().map_err(Reason::Read)?;
    if target.parent() != Some(&folder) {
        return Err(Reason::Outside { folder, target });
    }
    let kind = target.symlink_metadata().map_err(Reason::Read)?;
    regular(&kind)?;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(flags).open(&target);
    let file = file.map_err(Reason::Read)?;
    // Once more, on the open file: the path may have changed.
    regular(&file.metadata().map_err(Reason::Read)?)?;
    Ok((file, target))
}

fn regular(metadata: &Metadata) -> Result<(), Reason> {
    let kind = metadata.file_type();
    Err(Reason::NotRegular(if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a fifo"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_symlink() {
        "a symbolic link"
    } else {
        "a device"
    }))
}

fn trust(metadata: &Metadata, path: &Path) -> Result<(), Reason> {
    let (uid, us) = (metadata.uid(), nix::unistd::geteuid().as_raw());
    let path = || path.to_owned();
    if uid != 0 && uid != us {
        return Err(Reason::Owner {
            path: path(),
            uid,
            us,
        });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(Reason::Writable { path: path(), mode });
    }
    Ok(())
}

fn read(mut file: File) -> Result<Vec<u8>, Reason> {
    let size = file.metadata().map_err(Reason::Read)?.len();
    let too_large = |size| Reason::TooLarge {
        size,
        limit: LARGEST,
    };
    if size > LARGEST {
        return Err(too_large(size));
    }
    file.rewind().map_err(Reason::Read)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    let mut bounded = file.take(LARGEST + 1);
    bounded.read_to_end(&mut bytes).map_err(Reason::Read)?;
    if bytes.len() as u64 > LARGEST {
        return Err(too_large(bytes.len() as u64));
    }
    Ok(bytes)
}

fn seal(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    // MFD_EXEC, for code, since Linux 6.3; older kernels reject it.
    let fd = memfd_create(c"couic-plugin", flags | MFdFlags::from_bits_retain(0x10))
        .or_else(|_| memfd_create(c"couic-plugin", flags))?;
    let mut file = File::from(fd);
    file.write_all(bytes)?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    // Low numbers are for the child's pipes.
    let fd = fcntl(&file, FcntlArg::F_DUPFD_CLOEXEC(16))?;
    // SAFETY: fcntl has just created this descriptor, and it has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
