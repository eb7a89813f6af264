//! Under systemd, links stay in the descriptor store: kept over restarts and crashes, closed by a stop.

#![expect(clippy::expect_used, reason = "a panic fails the test")]

use std::{
    collections::BTreeMap,
    io::IoSliceMut,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    os::unix::net::UnixDatagram,
    time::Duration,
};

use couic_common::{HealthStatus, Policy};
use couic_e2e::{DaemonBuilder, Frame, HOST_IFACE, Lab, OUTSIDE_IFACE, until};
use nix::{
    cmsg_space,
    fcntl::{FcntlArg, FdFlag, fcntl},
    sys::{
        signal::Signal,
        socket::{ControlMessageOwned, MsgFlags, recvmsg},
    },
};

const PATIENCE: Duration = Duration::from_secs(60);

/// A fake of systemd for a unit with `Type=notify` and a descriptor store (sd_notify(3), sd_listen_fds(3)).
struct Systemd {
    socket: UnixDatagram,
    path: String,
    _dir: tempfile::TempDir,
    store: BTreeMap<String, OwnedFd>,
    heard: String,
    /// `WatchdogSec=` in microseconds; 0 is none.
    watchdog: String,
}

impl Systemd {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_nonblocking(true).expect("set it up");
        Self {
            socket,
            path: path.display().to_string(),
            _dir: dir,
            store: BTreeMap::new(),
            heard: String::new(),
            watchdog: "0".to_owned(),
        }
    }

    /// Processes all notifications received so far.
    fn listen(&mut self) {
        let mut body = vec![0; 4096];
        loop {
            let mut space = cmsg_space!([RawFd; 4]);
            let mut buffers = [IoSliceMut::new(&mut body)];
            let flags = MsgFlags::MSG_CMSG_CLOEXEC;
            let fd = self.socket.as_raw_fd();
            let Ok(got) = recvmsg::<()>(fd, &mut buffers, Some(&mut space), flags) else {
                return;
            };
            let fds: Vec<RawFd> = got
                .cmsgs()
                .expect("control messages")
                .flat_map(|message| match message {
                    ControlMessageOwned::ScmRights(fds) => fds,
                    _ => Vec::new(),
                })
                .collect();
            let length = got.bytes;
            let text = String::from_utf8_lossy(&body[..length]).into_owned();
            self.obey(&text, &fds);
            self.heard += &text;
        }
    }

    fn obey(&mut self, text: &str, fds: &[RawFd]) {
        let value = |key: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(str::to_owned))
        };
        let name = value("FDNAME").unwrap_or_default();
        for fd in fds {
            // SAFETY: just received, so this is its only owner.
            let fd = unsafe { OwnedFd::from_raw_fd(*fd) };
            assert_eq!(value("FDSTORE").as_deref(), Some("1"), "{text}");
            self.store.insert(name.clone(), fd);
        }
        if value("FDSTOREREMOVE").is_some() {
            self.store.remove(&name);
        }
    }

    /// The daemon as a unit's process, with the stored descriptors from 3 on.
    fn starts<'lab>(&self, builder: DaemonBuilder<'lab>) -> DaemonBuilder<'lab> {
        let mut script = "export LISTEN_PID=$$ WATCHDOG_PID=$$; exec \"$@\"".to_owned();
        for (nth, fd) in self.store.values().enumerate() {
            // Inherited by the shell; this thread starts no other process meanwhile.
            fcntl(fd, FcntlArg::F_SETFD(FdFlag::empty())).expect("F_SETFD");
            script += &format!(" {}<&{}", nth + 3, fd.as_raw_fd());
        }
        let names: Vec<&str> = self.store.keys().map(String::as_str).collect();
        builder.stays(None).wrapped(
            &["bash", "-c", &script, "bash"],
            &[
                ("NOTIFY_SOCKET", &self.path),
                ("FDSTORE", "64"),
                ("WATCHDOG_USEC", &self.watchdog),
                ("LISTEN_FDS", &self.store.len().to_string()),
                ("LISTEN_FDNAMES", &names.join(":")),
            ],
        )
    }
}

fn stands(lab: &Lab) -> bool {
    let frames = ["198.51.100.7", "203.0.113.9"].map(Frame::v4);
    lab.wire().arrivals(&frames) == [0, 1]
}

#[test]
fn the_filter_stays_in_the_descriptor_store_until_the_unit_stops() {
    let Some(lab) = Lab::quiet() else { return };
    let mut systemd = Systemd::new();
    let builder = lab
        .daemon()
        .set_file(Policy::Drop, "list", "198.51.100.0/24\n");
    let mut daemon = systemd.starts(builder).start();
    assert_eq!(daemon.api().health().1.status, HealthStatus::Ok);
    until("couic is ready", PATIENCE, || {
        systemd.listen();
        systemd.heard.contains("READY=1").then_some(())
    });
    assert_eq!(systemd.store.len(), 1, "{}", systemd.heard);
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        daemon = daemon.ended_by(signal);
        systemd.listen();
        assert!(stands(&lab), "{signal}");
        daemon = systemd.starts(daemon.builder()).start();
        systemd.listen();
        assert!(stands(&lab), "{signal}");
        assert_eq!(systemd.store.len(), 1, "{}", systemd.heard);
        let log = daemon.log();
        assert!(
            log.contains("filtering on eth0 in mode native, without a gap"),
            "{log}"
        );
    }
    assert!(systemd.heard.contains("STOPPING=1"));
    // A recreated interface has a new link; that of the old interface is not stored.
    lab.outside.run("ip", &["link", "del", OUTSIDE_IFACE]);
    lab.join(HOST_IFACE, OUTSIDE_IFACE);
    until("the new one is filtered", PATIENCE, || {
        (daemon.api().health().1.status == HealthStatus::Ok).then_some(())
    });
    let _daemon = daemon.ended_by(Signal::SIGTERM);
    systemd.listen();
    assert_eq!(systemd.store.len(), 1, "{}", systemd.heard);
    assert!(stands(&lab));
    // As on systemctl stop.
    systemd.store.clear();
    until("the filter is detached", PATIENCE, || {
        lab.kernel_mode(HOST_IFACE).is_none().then_some(())
    });
}

#[test]
fn the_daemon_notifies_the_watchdog_in_time() {
    let Some(lab) = Lab::quiet() else { return };
    let mut systemd = Systemd {
        watchdog: "200000".to_owned(),
        ..Systemd::new()
    };
    let daemon = systemd.starts(lab.daemon()).start();
    let hears_more = |systemd: &mut Systemd| {
        let before = systemd.heard.matches("WATCHDOG=1").count();
        until("it says that it works", PATIENCE, || {
            systemd.listen();
            let now = systemd.heard.matches("WATCHDOG=1").count();
            (now >= before + 3).then_some(())
        });
    };
    hears_more(&mut systemd);
    // An unresponsive attacher does not stop the watchdog notifications.
    let attacher = daemon.attacher().expect("an attacher");
    nix::sys::signal::kill(attacher, Signal::SIGSTOP).expect("stop the attacher");
    hears_more(&mut systemd);
    nix::sys::signal::kill(attacher, Signal::SIGCONT).expect("continue it");
    daemon.signal(Signal::SIGSTOP);
    daemon.signal(Signal::SIGCONT);
    hears_more(&mut systemd);
    let _daemon = daemon.ended_by(Signal::SIGTERM);
}
