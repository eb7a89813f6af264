//! What systemd and the daemon tell each other: that it is ready, that it stops, and links that are to stay
//! (sd_notify(3), sd_listen_fds(3)).

use std::{
    env, io,
    io::IoSlice,
    os::{
        fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixDatagram},
    },
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::{
    errno::Errno,
    sys::socket::{ControlMessage, MsgFlags, send, sendmsg},
};

use crate::attach::LinkStore;

/// The first descriptor that systemd passes on.
const FIRST: RawFd = 3;
/// More is not believed.
const MOST: RawFd = 4096;
/// How the names of our links begin in the store.
const PREFIX: &str = "xdp-";

/// systemd, where it has started this process as a unit of `Type=notify`.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: UnixDatagram,
    store: bool,
    /// How long it waits to hear that the daemon works.
    watchdog: Option<Duration>,
    /// It was told that the daemon is ready. Whoever waits for that must not find the socket full of other news.
    ready: AtomicBool,
}

impl Supervisor {
    /// None where nobody wants to be told. Call it before this process gives up the way to the socket.
    pub(super) fn find() -> Option<Self> {
        let name = env::var("NOTIFY_SOCKET").ok()?;
        let store = env::var("FDSTORE").is_ok_and(|n| n.parse().is_ok_and(|n: u32| n > 0));
        match Self::at(&name, patience()) {
            Ok(found) => Some(Self { store, ..found }),
            Err(error) => {
                tracing::warn!("cannot tell systemd that couic is ready: {error}");
                None
            }
        }
    }

    /// At this socket, with no store.
    pub(super) fn at(name: &str, watchdog: Option<Duration>) -> io::Result<Self> {
        Ok(Self {
            socket: connect(name)?,
            store: false,
            watchdog,
            ready: AtomicBool::new(false),
        })
    }

    /// How long it waits to hear that the daemon works, before it ends it: None where it does not.
    pub(super) const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The daemon works. Counts for nothing before it is ready. Does not wait: a systemd that reads nothing has its
    /// socket full of these.
    pub(super) fn alive(&self) {
        if self.ready.load(Ordering::Acquire) {
            self.mention("WATCHDOG=1\n");
        }
    }

    /// Whether it keeps descriptors for this unit.
    pub(super) const fn has_store(&self) -> bool {
        self.store
    }

    /// The filter stands and the API listens.
    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=filtering\n");
        self.ready.store(true, Ordering::Release);
    }

    /// The end has begun.
    pub(super) fn stopping(&self) {
        self.mention("STOPPING=1\n");
    }

    /// Where it does not listen, it is not told.
    fn mention(&self, what: &str) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.socket.as_raw_fd(), what.as_bytes(), flags) {
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(error) => tracing::warn!("cannot tell systemd how couic is: {error}"),
        }
    }

    fn tell(&self, what: &str) {
        if let Err(error) = self.socket.send(what.as_bytes()) {
            tracing::warn!("cannot tell systemd how couic is: {error}");
        }
    }
}

/// What the unit says by `WatchdogSec=`, if it is about this process.
fn patience() -> Option<Duration> {
    let own = env::var("WATCHDOG_PID").map_or(true, |pid| pid == std::process::id().to_string());
    let micros = env::var("WATCHDOG_USEC").ok()?.parse().ok()?;
    (own && micros > 0).then(|| Duration::from_micros(micros))
}

fn connect(name: &str) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match name.strip_prefix('@') {
        Some(name) => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => socket.connect(name)?,
    }
    Ok(socket)
}

impl LinkStore for Supervisor {
    fn store(&self, name: &str, link: BorrowedFd<'_>) -> io::Result<()> {
        // Links are not something to poll for.
        let text = format!("FDSTORE=1\nFDPOLL=0\nFDNAME={PREFIX}{name}\n");
        let fds = [link.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&fds)];
        let body = [IoSlice::new(text.as_bytes())];
        let flags = MsgFlags::MSG_NOSIGNAL;
        sendmsg::<()>(self.socket.as_raw_fd(), &body, &rights, flags, None)?;
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let text = format!("FDSTOREREMOVE=1\nFDNAME={PREFIX}{name}\n");
        self.socket.send(text.as_bytes()).map(drop)
    }
}

/// Links that systemd kept since a run before this one, by name. Call it once, before this process opens anything.
pub(super) fn inherited() -> Vec<(String, OwnedFd)> {
    let number = |name| env::var(name).ok()?.parse::<i32>().ok();
    let own = i32::try_from(std::process::id()).ok();
    if number("LISTEN_PID") != own {
        return Vec::new();
    }
    let count = number("LISTEN_FDS").unwrap_or(0).clamp(0, MOST);
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    inherited_links(count, &names)
}

fn inherited_links(count: i32, names: &str) -> Vec<(String, OwnedFd)> {
    let mut names = names.split(':');
    let mut links = Vec::new();
    for fd in FIRST..FIRST + count {
        let name = names.next().and_then(|name| name.strip_prefix(PREFIX));
        // SAFETY: takes no pointer. Nobody who is started later is to have it.
        let open = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
        if let (Some(name), true) = (name, open) {
            // SAFETY: open, passed on by systemd for this process, which has not looked at it before.
            links.push((name.to_owned(), unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsFd};

    use super::*;

    #[test]
    fn what_it_says_is_what_systemd_reads() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let systemd = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor::at(path.to_str().unwrap(), None).unwrap();
        let heard = || {
            let mut buffer = [0; 200];
            let got = systemd.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..got].to_vec()).unwrap()
        };
        supervisor.alive();
        supervisor.ready();
        assert!(heard().starts_with("READY=1\n"));
        supervisor.alive();
        assert_eq!(heard(), "WATCHDOG=1\n");
        let file = File::open("/dev/null").unwrap();
        supervisor.keep("if2", file.as_fd()).unwrap();
        assert_eq!(heard(), "FDSTORE=1\nFDPOLL=0\nFDNAME=xdp-if2\n");
        supervisor.forget("if2").unwrap();
        assert_eq!(heard(), "FDSTOREREMOVE=1\nFDNAME=xdp-if2\n");
        supervisor.stopping();
        assert_eq!(heard(), "STOPPING=1\n");
        // More than any socket takes, and nobody reads.
        (0..10_000).for_each(|_| supervisor.alive());
    }

    #[test]
    fn sockets_without_a_file_are_found_too() {
        let name = format!("couic-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let systemd = UnixDatagram::bind_addr(&address).unwrap();
        connect(&format!("@{name}")).unwrap().send(b"x").unwrap();
        assert_eq!(systemd.recv(&mut [0; 8]).unwrap(), 1);
        assert!(connect("/no/such/socket").is_err());
    }

    #[test]
    fn without_systemd_nothing_is_inherited() {
        // The environment of the test names another process, if any.
        assert!(inherited().is_empty());
        assert!(inherited_links(0, "xdp-if2").is_empty());
    }
}
