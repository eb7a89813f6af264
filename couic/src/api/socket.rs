//! The API's Unix socket: mode 0770, owned by the configured user and group. A live socket of another process is never
//! replaced.

use std::{
    fs::{self, DirBuilder, File, Permissions},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt, lchown},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AtFlags, OFlag, open},
    sys::{
        socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket},
        stat::Mode,
    },
    unistd::{Gid, Uid, fchownat, geteuid},
};

use couic_files::Account;

use self::bind_lock::BindLock;

mod bind_lock;

/// The socket cannot be created.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process listens there.
    #[error("another couic is running: it listens on {}; stop it first, or name another [server] socket", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The path is taken by a file that couic must not delete.
    #[error("{} exists and is not a socket of couic: move it away, or name another [server] socket", path.display())]
    NotOurs {
        /// The path.
        path: PathBuf,
    },
    /// Any user can replace the socket.
    #[error(
        "any user may replace the socket in {} (mode {mode:04o}) and so collect the tokens of all clients: run chmod o-w {}",
        path.display(), path.display()
    )]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A system call failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// The operation.
        doing: &'static str,
        /// Its path.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

fn failed<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> SocketError + 'a {
    move |source| SocketError::Io {
        doing,
        path: path.to_owned(),
        source,
    }
}

/// The path of a socket that this process listens on. It is removed when this is dropped.
#[derive(Debug)]
pub struct ListeningSocket {
    path: PathBuf,
    /// Device and inode, to recognize our socket at that path.
    identity: (u64, u64),
}

impl ListeningSocket {
    /// Whether [`ListeningSocket::bind`] would find the path taken: checked before a long start.
    ///
    /// # Errors
    /// [`SocketError::InUse`], [`SocketError::NotOurs`].
    pub fn check(path: &Path) -> Result<(), SocketError> {
        if let Some(dir) = path.parent().filter(|dir| dir.is_dir()) {
            guarded(dir)?;
        }
        look(path).map(|_| ())
    }

    /// Listens. A stale socket is removed first, after a connection to it was refused.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn bind(path: &Path, owner: &Account) -> Result<(UnixListener, Self), SocketError> {
        let dir = path.parent().unwrap_or_else(|| Path::new("/"));
        make_dir(dir, owner).map_err(failed("make the directory", dir))?;
        guarded(dir)?;
        let _alone = BindLock::acquire(path, owner)?;
        remove_stale(path)?;
        let listener = UnixListener::bind(path).map_err(failed("listen on", path))?;
        let socket = open_up(path, owner).map_err(failed("set owner and mode of", path))?;
        Ok((listener, socket))
    }

    fn remove(&self) -> io::Result<()> {
        if self.place().is_ours() {
            fs::remove_file(&self.path)?;
        }
        Ok(())
    }

    /// The path, for health checks.
    #[must_use]
    pub fn place(&self) -> SocketPlace {
        SocketPlace {
            path: self.path.clone(),
            identity: self.identity,
        }
    }
}

/// The path and identity of a socket.
#[derive(Clone, Debug)]
pub struct SocketPlace {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketPlace {
    /// Whether the socket is still at its path.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.identity)
    }

    /// Why clients cannot connect: the socket was removed or replaced.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let shown = self.path.display();
        let what = match fs::symlink_metadata(&self.path) {
            Ok(_) if self.is_ours() => return None,
            Ok(_) => "was replaced",
            Err(error) if error.kind() == io::ErrorKind::NotFound => "was removed",
            Err(_) => return None,
        };
        Some(format!(
            "the socket {shown} {what}: couic filters, but clients cannot reach the API; restart couic"
        ))
    }
}

/// Removes the socket, unless it was replaced. If its directory does not belong to the configured user, as `/run`, it
/// stays, and the next start replaces it as stale.
impl Drop for ListeningSocket {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            let shown = self.path.display();
            tracing::warn!(
                "cannot remove the socket {shown}: {error}; put it in a directory that belongs to the configured user, as /run/couic"
            );
        }
    }
}

/// A user who can replace the socket receives the tokens of all clients. The sticky bit, as on `/tmp`, prevents that.
fn guarded(dir: &Path) -> Result<(), SocketError> {
    let found = fs::metadata(dir).map_err(failed("stat the directory", dir))?;
    let mode = found.mode() & 0o7777;
    if mode & 0o1002 == 0o002 {
        let path = dir.to_owned();
        return Err(SocketError::Open { path, mode });
    }
    Ok(())
}

/// Owner first: the mode must not open the socket to a group that is not the configured one. Both by descriptor, since the
/// owner of the directory may put another file in the socket's place.
fn open_up(path: &Path, owner: &Account) -> io::Result<ListeningSocket> {
    // Not by `custom_flags` of std, which drops O_PATH with musl: there O_ACCMODE contains it.
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let socket = File::from(open(path, flags, Mode::empty())?);
    let found = socket.metadata()?;
    let is_ours = found.uid() == geteuid().as_raw() && found.nlink() == 1;
    if !found.file_type().is_socket() || !is_ours {
        let text = "another file was put in its place";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    if geteuid().is_root() {
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        fchownat(&socket, "", Some(uid), Some(gid), AtFlags::AT_EMPTY_PATH)?;
    }
    // fchmod(2) refuses such a descriptor.
    let same = format!("/proc/self/fd/{}", socket.as_raw_fd());
    fs::set_permissions(same, Permissions::from_mode(0o770))?;
    Ok(ListeningSocket {
        path: path.to_owned(),
        identity: (found.dev(), found.ino()),
    })
}

/// `/run` is empty after every boot, so a missing directory is normal.
fn make_dir(dir: &Path, owner: &Account) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
    if geteuid().is_root() {
        lchown(dir, Some(owner.uid), Some(owner.gid))?;
    }
    Ok(())
}

fn remove_stale(path: &Path) -> Result<(), SocketError> {
    if let Place::Stale = look(path)? {
        let shown = path.display();
        tracing::info!("removing the stale socket {shown}");
        fs::remove_file(path).map_err(failed("remove", path))?;
    }
    Ok(())
}

/// The state of the socket's path.
enum Place {
    Free,
    /// A socket whose process has died.
    Stale,
}

fn look(path: &Path) -> Result<Place, SocketError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Place::Free),
        Err(e) => return Err(failed("stat", path)(e)),
    };
    let path_owned = path.to_owned();
    if !found.file_type().is_socket() {
        return Err(SocketError::NotOurs { path: path_owned });
    }
    match probe(path) {
        // EAGAIN: the backlog is full, so there is a listener.
        Ok(()) | Err(Errno::EAGAIN) => Err(SocketError::InUse { path: path_owned }),
        Err(Errno::ECONNREFUSED) => Ok(Place::Stale),
        // A datagram socket.
        Err(Errno::EPROTOTYPE) => Err(SocketError::NotOurs { path: path_owned }),
        Err(e) => Err(failed("connect to", path)(e.into())),
    }
}

/// Connects without blocking: a daemon that hangs must not make this one hang.
fn probe(path: &Path) -> nix::Result<()> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(AddressFamily::Unix, SockType::Stream, flags, None)?;
    connect(socket.as_raw_fd(), &UnixAddr::new(path)?)
}

#[cfg(test)]
mod tests;
