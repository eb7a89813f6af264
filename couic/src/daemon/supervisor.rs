//! systemd as the supervisor: readiness, watchdog, shutdown, and the descriptor store for links (sd_notify(3),
//! sd_listen_fds(3)).

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

/// The first descriptor that systemd passes.
const FIRST: RawFd = 3;
/// Higher values of `LISTEN_FDS` are clamped.
const MOST: RawFd = 4096;
/// The prefix of our links' names in the store.
const PREFIX: &str = "xdp-";

/// systemd, if it has started this process as a unit of `Type=notify`.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: UnixDatagram,
    store: bool,
    /// The watchdog's timeout.
    watchdog: Option<Duration>,
    /// `READY=1` was sent. No `WATCHDOG=1` before that, so that the socket cannot be full when it is.
    ready: AtomicBool,
}

impl Supervisor {
    /// `None` without `NOTIFY_SOCKET`. Call it before this process drops the privilege to reach the socket.
    pub(super) fn find() -> Option<Self> {
        let name = env::var("NOTIFY_SOCKET").ok()?;
        let store = env::var("FDSTORE").is_ok_and(|n| n.parse().is_ok_and(|n: u32| n > 0));
        match Self::at(&name, watchdog_timeout()) {
            Ok(found) => Some(Self { store, ..found }),
            Err(error) => {
                tracing::warn!("cannot notify systemd that couic is ready: {error}");
                None
            }
        }
    }

    /// With this socket, and no store.
    pub(super) fn at(name: &str, watchdog: Option<Duration>) -> io::Result<Self> {
        Ok(Self {
            socket: connect(name)?,
            store: false,
            watchdog,
            ready: AtomicBool::new(false),
        })
    }

    /// The time without a notification after which systemd kills the daemon; `None` without a watchdog.
    pub(super) const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Resets the watchdog. No effect before [`Supervisor::ready`]. Does not block, even if systemd does not read.
    pub(super) fn alive(&self) {
        if self.ready.load(Ordering::Acquire) {
            self.try_notify("WATCHDOG=1\n");
        }
    }

    /// Whether it stores descriptors for this unit.
    pub(super) const fn has_store(&self) -> bool {
        self.store
    }

    /// The filter is attached and the API listens.
    pub(super) fn ready(&self) {
        self.notify("READY=1\nSTATUS=filtering\n");
        self.ready.store(true, Ordering::Release);
    }

    /// A reload has begun.
    pub(super) fn reloading(&self) {
        self.try_notify("RELOADING=1\nSTATUS=reloading\n");
    }

    /// It is over. `text` is added to the status.
    pub(super) fn reloaded(&self, text: &str) {
        let status = text.replace(char::is_control, " ");
        // One datagram, and a line that `systemctl status` shows.
        let status = &status[..status.floor_char_boundary(1_000)];
        self.try_notify(&format!("READY=1\nSTATUS=filtering{status}\n"));
    }

    /// Shutdown has begun.
    pub(super) fn stopping(&self) {
        self.try_notify("STOPPING=1\n");
    }

    /// Drops the message if the socket is full.
    fn try_notify(&self, what: &str) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        match send(self.socket.as_raw_fd(), what.as_bytes(), flags) {
            Ok(_) | Err(Errno::EAGAIN) => {}
            Err(error) => tracing::warn!("cannot notify systemd: {error}"),
        }
    }

    fn notify(&self, what: &str) {
        if let Err(error) = self.socket.send(what.as_bytes()) {
            tracing::warn!("cannot notify systemd: {error}");
        }
    }
}

/// `WatchdogSec=` of the unit, if it applies to this process.
fn watchdog_timeout() -> Option<Duration> {
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
        // Without FDPOLL=0, systemd would poll the descriptor and drop it on hang-up.
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

/// The links that systemd has stored for the previous run, by name. Call it once, before this process opens anything.
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
        // SAFETY: no pointers are passed. Children must not inherit the descriptor.
        let open = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } == 0;
        if let (Some(name), true) = (name, open) {
            // SAFETY: it is open, passed by systemd to this process, and owned by nothing else yet.
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
    fn notifications_have_the_format_of_systemd() {
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
        supervisor.store("if2", file.as_fd()).unwrap();
        assert_eq!(heard(), "FDSTORE=1\nFDPOLL=0\nFDNAME=xdp-if2\n");
        supervisor.remove("if2").unwrap();
        assert_eq!(heard(), "FDSTOREREMOVE=1\nFDNAME=xdp-if2\n");
        supervisor.reloading();
        assert_eq!(heard(), "RELOADING=1\nSTATUS=reloading\n");
        supervisor.reloaded("; bad\nX=1");
        assert_eq!(heard(), "READY=1\nSTATUS=filtering; bad X=1\n");
        supervisor.stopping();
        assert_eq!(heard(), "STOPPING=1\n");
        // More than a socket buffers, without a reader.
        (0..10_000).for_each(|_| supervisor.alive());
    }

    #[test]
    fn abstract_sockets_work_too() {
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
