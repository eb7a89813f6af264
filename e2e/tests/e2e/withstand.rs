//! Conditions that the daemon survives without loss: no file descriptors, many slow clients, SIGSTOP.

#![expect(clippy::expect_used, reason = "a test that cannot go on ends there")]

use std::{
    env, fs,
    io::Write,
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        net::UnixStream,
    },
    thread,
    time::{Duration, Instant},
};

use couic_e2e::{Daemon, Frame, Lab, unix_now, until};
use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::Signal,
};

const PATIENCE: Duration = Duration::from_secs(90);

fn connect(daemon: &Daemon<'_>) -> UnixStream {
    UnixStream::connect(daemon.socket()).expect("connect")
}

fn open_descriptors(daemon: &Daemon<'_>) -> u64 {
    let open = fs::read_dir(format!("/proc/{}/fd", daemon.pid())).expect("a running process");
    open.count() as u64
}

/// Like `prlimit(1)`: leaves the hard limit unchanged.
fn limit_descriptors(daemon: &Daemon<'_>, soft: u64) {
    let pid = daemon.pid().as_raw();
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let none = std::ptr::null();
    // SAFETY: the limit outlives the call, which writes it.
    let asked = unsafe { libc::prlimit(pid, libc::RLIMIT_NOFILE, none, &raw mut limit) };
    limit.rlim_cur = soft;
    // SAFETY: the limit outlives the call, and the old one is not requested.
    let done = unsafe {
        libc::prlimit(
            pid,
            libc::RLIMIT_NOFILE,
            &raw const limit,
            std::ptr::null_mut(),
        )
    };
    let error = std::io::Error::last_os_error();
    assert_eq!((asked, done), (0, 0), "{error}");
}

#[test]
fn without_file_descriptors_filtering_continues_and_the_api_recovers() {
    let Some(lab) = Lab::quiet() else { return };
    let mut daemon = lab.daemon().start();
    daemon.api().add("drop", "198.51.100.7/32", None, 0);
    limit_descriptors(&daemon, open_descriptors(&daemon) + 8);
    let crowd: Vec<UnixStream> = (0..100).map(|_| connect(&daemon)).collect();
    until("it complains", PATIENCE, || {
        daemon.log().contains("Too many open files").then_some(())
    });
    let frames = ["198.51.100.7", "198.51.100.8"].map(Frame::v4);
    assert_eq!(lab.wire().arrivals(&frames), [0, 1], "filtering continues");
    drop(crowd);
    until("it answers again", PATIENCE, || {
        let health = daemon.api().try_request("GET", "/v1/health", None);
        health.is_ok().then_some(())
    });
    daemon.api().add("drop", "198.51.100.8/32", None, 0);
    daemon.ctl_ok(&["clients", "add", "-n", "watcher", "-g", "monitoring"]);
    assert_eq!(lab.wire().arrivals(&frames), [0, 0]);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), 0, "{}", daemon.output());
}

#[test]
fn two_thousand_slow_clients_do_not_block_others() {
    let Some(lab) = Lab::quiet() else { return };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits");
    if hard < 4096 {
        println!("skipped: {hard} open files are too few for 2,000 clients");
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard).expect("limits");
    let daemon = lab.daemon().start();
    let mut crowd: Vec<UnixStream> = (0..2000).map(|_| connect(&daemon)).collect();
    let head = b"GET /v1/drop HTTP/1.1\r\nHost: couic\r\n";
    for (round, byte) in head.iter().enumerate() {
        // Clients that timed out are disconnected.
        crowd.retain_mut(|client| client.write_all(&[*byte]).is_ok());
        if round % 8 == 0 {
            let cidr = format!("198.51.100.{}/32", 1 + round / 8);
            daemon.api().add("drop", &cidr, None, 0);
        }
    }
    let frames = ["198.51.100.1", "198.51.100.200"].map(Frame::v4);
    assert_eq!(lab.wire().arrivals(&frames), [0, 1]);
    assert_eq!(daemon.api().health().0, 200);
    drop(crowd);
    assert_eq!(
        daemon.api().stats().drop_cidr_count,
        1 + (head.len() as u64 - 1) / 8
    );
}

/// Idle connections of a user of the daemon's group, made by a thread that is that user from then on.
fn connect_as_member(daemon: &Daemon<'_>, count: usize) -> Vec<UnixStream> {
    let socket = daemon.socket().clone();
    let group = fs::metadata(&socket).expect("the socket").gid();
    for dir in socket
        .ancestors()
        .skip(1)
        .filter(|dir| dir.starts_with(env::temp_dir()))
    {
        let mode = fs::metadata(dir).expect("a directory").mode() | 0o011;
        drop(fs::set_permissions(dir, fs::Permissions::from_mode(mode)));
    }
    let crowd = thread::spawn(move || {
        // SAFETY: the bare system calls change this thread alone, which ends soon, and they take numbers.
        let done = unsafe {
            [
                libc::syscall(libc::SYS_setresgid, group, group, group),
                libc::syscall(libc::SYS_setresuid, 12_345, 12_345, 12_345),
            ]
        };
        assert_eq!(done, [0, 0], "{}", std::io::Error::last_os_error());
        let connect = |_| UnixStream::connect(&socket).expect("connect");
        (0..count).map(connect).collect()
    });
    crowd.join().expect("a crowd")
}

#[test]
fn a_crowd_without_tokens_does_not_lock_out_root() {
    let Some(lab) = Lab::quiet() else { return };
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("limits");
    if hard < 16_384 {
        println!("skipped: {hard} open files are too few for 8,400 connections");
        return;
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard).expect("limits");
    let daemon = lab.daemon().start();
    daemon.api().add("drop", "198.51.100.1/32", None, 0);
    let members = connect_as_member(&daemon, 4_200);
    for _ in 0..20 {
        daemon.ctl_ok(&["panic", "on"]);
        daemon.ctl_ok(&["panic", "off"]);
    }
    // Root's own, too: the oldest that sent no token make room.
    let own: Vec<UnixStream> = (0..4_200).map(|_| connect(&daemon)).collect();
    daemon.ctl_ok(&["panic", "on"]);
    let frames = ["198.51.100.1", "198.51.100.200"].map(Frame::v4);
    assert_eq!(lab.wire().arrivals(&frames), [1, 1]);
    daemon.ctl_ok(&["panic", "off"]);
    assert_eq!(daemon.api().health().0, 200);
    drop((members, own));
}

/// Stopped for a few seconds; `make soak` sets `COUIC_STOPPED_SECONDS=60`.
#[test]
fn a_stopped_and_continued_daemon_resumes_correctly() {
    let Some(lab) = Lab::quiet() else { return };
    let seconds = env::var("COUIC_STOPPED_SECONDS").ok();
    let seconds: u64 = seconds.and_then(|s| s.parse().ok()).unwrap_or(3);
    let mut daemon = lab.daemon().start();
    let api = daemon.api();
    api.add("drop", "198.51.100.7/32", None, 0);
    // Expires while the daemon is stopped, if that is long enough.
    let expires = unix_now() as u64 + 5;
    api.add("drop", "198.51.100.8/32", None, expires);
    daemon.signal(Signal::SIGSTOP);
    let started = Instant::now();
    let mut wire = lab.wire();
    let lasting = Frame::v4("198.51.100.7");
    while started.elapsed() < Duration::from_secs(seconds) {
        assert!(!wire.passes(&lasting), "the filter needs no daemon");
        thread::sleep(Duration::from_millis(50));
    }
    daemon.signal(Signal::SIGCONT);
    until("expired rules are gone", PATIENCE, || {
        (daemon.api().stats().drop_cidr_count == 1).then_some(())
    });
    let frames = ["198.51.100.7", "198.51.100.8", "198.51.100.9"].map(Frame::v4);
    assert_eq!(lab.wire().arrivals(&frames), [0, 1, 1]);
    daemon.api().add("drop", "198.51.100.9/32", None, 0);
    assert_eq!(lab.wire().arrivals(&frames), [0, 1, 0]);
    assert_eq!(daemon.api().health().0, 200);
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.exit_code(), 0, "{}", daemon.output());
}
