//! The API's Unix socket: mode 0770, owned by the configured user and group. A live socket of another process is never
//! replaced.

use std::{
    fs::{self, DirBuilder, File},
    io,
    os::{
        fd::AsRawFd,
        unix::{
            fs::{DirBuilderExt, FileTypeExt, MetadataExt, lchown},
            net::UnixListener,
        },
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, Flock, FlockArg},
    sys::{
        socket::{AddressFamily, SockFlag, SockType, UnixAddr, connect, socket},
        stat::{FchmodatFlags, Mode, fchmodat},
    },
    unistd::geteuid,
};

use couic_files::Account;

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
        // Two daemons that start at the same time must not remove each other's socket as stale.
        let dir_file = File::open(dir).map_err(failed("open the directory", dir))?;
        let _alone =
            Flock::lock(dir_file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| match e {
                Errno::EWOULDBLOCK => SocketError::InUse {
                    path: path.to_owned(),
                },
                other => failed("lock the directory", dir)(other.into()),
            })?;
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

/// Owner first: the mode must not open the socket to a group that is not the configured one. A symbolic link at the
/// socket's path is not followed.
fn open_up(path: &Path, owner: &Account) -> io::Result<ListeningSocket> {
    if geteuid().is_root() {
        lchown(path, Some(owner.uid), Some(owner.gid))?;
    }
    let mode = Mode::from_bits_truncate(0o770);
    fchmodat(AT_FDCWD, path, mode, FchmodatFlags::NoFollowSymlink)?;
    let found = fs::symlink_metadata(path)?;
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
mod tests {
    use std::{
        io::Read,
        os::unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixStream},
        },
    };

    use nix::unistd::getegid;

    use super::*;

    fn owner() -> Account {
        let root = geteuid().is_root();
        Account {
            user: String::new(),
            group: String::new(),
            uid: if root { 4242 } else { geteuid().as_raw() },
            gid: if root { 4343 } else { getegid().as_raw() },
        }
    }

    #[test]
    fn listens_with_mode_and_owner_of_the_contract_and_cleans_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/couic/couic.sock");
        let (listener, socket) = ListeningSocket::bind(&path, &owner()).unwrap();
        let found = fs::symlink_metadata(&path).unwrap();
        assert_eq!(found.mode() & 0o7777, 0o770);
        assert_eq!((found.uid(), found.gid()), (owner().uid, owner().gid));
        UnixStream::connect(&path).unwrap();
        drop(listener);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("couic.sock");
        drop(UnixListener::bind(&path).unwrap());
        let (listener, _socket) = ListeningSocket::bind(&path, &owner()).unwrap();
        let client = std::thread::spawn(move || UnixStream::connect(path).unwrap());
        let (mut accepted, _) = listener.accept().unwrap();
        drop(client.join().unwrap());
        assert_eq!(accepted.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_live_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("couic.sock");
        let _live = UnixListener::bind(&path).unwrap();
        let text = ListeningSocket::bind(&path, &owner())
            .unwrap_err()
            .to_string();
        assert!(text.starts_with("another couic is running"), "{text}");
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_listener_that_hangs_is_a_live_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("couic.sock");
        let _hangs = UnixListener::bind(&path).unwrap();
        // Sockets in the backlog stay there after their client has closed.
        while probe(&path).is_ok() {}
        assert_eq!(probe(&path), Err(Errno::EAGAIN));
        let text = ListeningSocket::check(&path).unwrap_err().to_string();
        assert!(text.starts_with("another couic is running"), "{text}");
    }

    #[test]
    fn what_is_not_ours_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "precious").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let datagram = dir.path().join("datagram");
        let _bound = UnixDatagram::bind(&datagram).unwrap();
        for path in [&file, &link, &datagram, &dir.path().to_owned()] {
            let text = ListeningSocket::bind(path, &owner())
                .unwrap_err()
                .to_string();
            assert!(text.contains("is not a socket of couic"), "{text}");
        }
        assert_eq!(fs::read(&file).unwrap(), b"precious");
    }

    #[test]
    fn a_directory_that_everybody_may_write_to_is_refused_with_the_fix() {
        let dir = tempfile::tempdir().unwrap();
        let run = dir.path().join("run");
        fs::create_dir(&run).unwrap();
        let path = run.join("couic.sock");
        for (mode, fine) in [
            (0o777, false),
            (0o757, false),
            (0o1777, true),
            (0o775, true),
        ] {
            fs::set_permissions(&run, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(ListeningSocket::check(&path).is_ok(), fine, "{mode:o}");
            let bound = ListeningSocket::bind(&path, &owner());
            let text = bound.map_or_else(|e| e.to_string(), |_| String::new());
            let fix = format!("run chmod o-w {}", run.display());
            assert_eq!(text.ends_with(&fix), !fine, "{mode:o}: {text}");
        }
    }

    #[test]
    fn a_successor_keeps_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("couic.sock");
        let (_listener, socket) = ListeningSocket::bind(&path, &owner()).unwrap();
        assert_eq!(socket.place().problem(), None);
        fs::remove_file(&path).unwrap();
        let text = socket.place().problem().unwrap();
        assert!(text.contains("was removed: couic filters"), "{text}");
        let _successor = UnixListener::bind(&path).unwrap();
        let text = socket.place().problem().unwrap();
        assert!(text.contains("was replaced: couic filters"), "{text}");
        drop(socket);
        assert!(path.exists());
    }
}
