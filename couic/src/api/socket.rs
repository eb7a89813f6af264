//! The API's Unix socket: mode 0770, owned by the configured user and group, and never one that somebody else listens
//! on.

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

/// The socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A process answers there.
    #[error("another couic is running: it listens on {}; stop it first, or name another [server] socket", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// There is something that is not ours to delete.
    #[error("{} is there and is not a socket of couic: move it away, or name another [server] socket", path.display())]
    NotOurs {
        /// What was found.
        path: PathBuf,
    },
    /// Anybody can put another socket there.
    #[error(
        "everybody may replace the socket in {} (mode {mode:04o}), and would be sent the tokens of all clients: run chmod o-w {}",
        path.display(), path.display()
    )]
    Open {
        /// The directory.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
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
    /// Device and inode: whether what is there is still ours.
    identity: (u64, u64),
}

impl ListeningSocket {
    /// Whether [`ListeningSocket::bind`] would find the place taken: to be asked before a long start.
    ///
    /// # Errors
    /// [`SocketError::InUse`], [`SocketError::NotOurs`].
    pub fn check(path: &Path) -> Result<(), SocketError> {
        if let Some(dir) = path.parent().filter(|dir| dir.is_dir()) {
            guarded(dir)?;
        }
        look(path).map(|_| ())
    }

    /// Listens. A socket that a crash left over is removed first, after a connection to it was refused.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn bind(path: &Path, owner: &Account) -> Result<(UnixListener, Self), SocketError> {
        let dir = path.parent().unwrap_or_else(|| Path::new("/"));
        make_dir(dir, owner).map_err(failed("make the directory", dir))?;
        guarded(dir)?;
        // Two daemons that start at a time must not remove each other's socket as a left-over.
        let dir_file = File::open(dir).map_err(failed("open the directory", dir))?;
        let _alone =
            Flock::lock(dir_file, FlockArg::LockExclusiveNonblock).map_err(|(_, e)| match e {
                Errno::EWOULDBLOCK => SocketError::InUse {
                    path: path.to_owned(),
                },
                other => failed("lock the directory", dir)(other.into()),
            })?;
        remove_left_over(path)?;
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

    /// For who wants to know whether it is still there.
    #[must_use]
    pub fn place(&self) -> SocketPlace {
        SocketPlace {
            path: self.path.clone(),
            identity: self.identity,
        }
    }
}

/// Where a socket was put.
#[derive(Clone, Debug)]
pub struct SocketPlace {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketPlace {
    /// Whether it can be found there.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|m| (m.dev(), m.ino()) == self.identity)
    }

    /// Why nobody can find it: somebody has removed it, or put another in its place.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let shown = self.path.display();
        let what = match fs::symlink_metadata(&self.path) {
            Ok(_) if self.is_ours() => return None,
            Ok(_) => "something else is in the place of the socket",
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                "somebody has removed the socket"
            }
            Err(_) => return None,
        };
        Some(format!(
            "{what} {shown}: couic filters, but nobody can reach the API there; restart couic"
        ))
    }
}

/// Unless another has taken its place. Where its directory is not the configured user's, as `/run`, it stays: the next
/// start finds that nobody listens on it, and takes its place.
impl Drop for ListeningSocket {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            let shown = self.path.display();
            tracing::warn!(
                "cannot remove the socket {shown}: {error}; a directory of its own that belongs to the configured user, as /run/couic, mends that"
            );
        }
    }
}

/// Who may replace the socket hears the tokens of all who ask. The sticky bit, as of `/tmp`, keeps others from that.
fn guarded(dir: &Path) -> Result<(), SocketError> {
    let found = fs::metadata(dir).map_err(failed("look at the directory", dir))?;
    let mode = found.mode() & 0o7777;
    if mode & 0o1002 == 0o002 {
        let path = dir.to_owned();
        return Err(SocketError::Open { path, mode });
    }
    Ok(())
}

/// Owner first: the mode must not open the socket to a group that is not the configured one. A link that somebody put
/// in the socket's place is not followed.
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

/// `/run` is empty after every boot, so a missing directory is ordinary.
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

fn remove_left_over(path: &Path) -> Result<(), SocketError> {
    if let Place::LeftOver = look(path)? {
        let shown = path.display();
        tracing::info!("removing the socket {shown} that a crash left over");
        fs::remove_file(path).map_err(failed("remove", path))?;
    }
    Ok(())
}

/// What is at the socket's path.
enum Place {
    Free,
    /// A socket whose process has died.
    LeftOver,
}

fn look(path: &Path) -> Result<Place, SocketError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Place::Free),
        Err(e) => return Err(failed("look at", path)(e)),
    };
    let path_owned = path.to_owned();
    if !found.file_type().is_socket() {
        return Err(SocketError::NotOurs { path: path_owned });
    }
    match knock(path) {
        // EAGAIN: so many wait to be accepted that there must be a listener.
        Ok(()) | Err(Errno::EAGAIN) => Err(SocketError::InUse { path: path_owned }),
        Err(Errno::ECONNREFUSED) => Ok(Place::LeftOver),
        // A datagram socket.
        Err(Errno::EPROTOTYPE) => Err(SocketError::NotOurs { path: path_owned }),
        Err(e) => Err(failed("connect to", path)(e.into())),
    }
}

/// Connects, and waits for nobody: a daemon that hangs must not make this one hang.
fn knock(path: &Path) -> nix::Result<()> {
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
    fn what_a_crash_left_over_is_replaced() {
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
        let told = ListeningSocket::bind(&path, &owner())
            .unwrap_err()
            .to_string();
        assert!(told.starts_with("another couic is running"), "{told}");
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn a_listener_that_hangs_is_a_live_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("couic.sock");
        let _hangs = UnixListener::bind(&path).unwrap();
        // Sockets that wait in the queue stay there after their client has gone.
        while knock(&path).is_ok() {}
        assert_eq!(knock(&path), Err(Errno::EAGAIN));
        let told = ListeningSocket::check(&path).unwrap_err().to_string();
        assert!(told.starts_with("another couic is running"), "{told}");
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
            let told = ListeningSocket::bind(path, &owner())
                .unwrap_err()
                .to_string();
            assert!(told.contains("is not a socket of couic"), "{told}");
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
            let told = bound.map_or_else(|e| e.to_string(), |_| String::new());
            let fix = format!("run chmod o-w {}", run.display());
            assert_eq!(told.ends_with(&fix), !fine, "{mode:o}: {told}");
        }
    }

    #[test]
    fn a_successor_keeps_its_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("couic.sock");
        let (_listener, socket) = ListeningSocket::bind(&path, &owner()).unwrap();
        assert_eq!(socket.place().problem(), None);
        fs::remove_file(&path).unwrap();
        let told = socket.place().problem().unwrap();
        assert!(told.starts_with("somebody has removed"), "{told}");
        let _successor = UnixListener::bind(&path).unwrap();
        let told = socket.place().problem().unwrap();
        assert!(told.starts_with("something else"), "{told}");
        drop(socket);
        assert!(path.exists());
    }
}
