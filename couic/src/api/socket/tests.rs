//! Whose socket is replaced, and whose is left alone.

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
        fs::set_permissions(&run, Permissions::from_mode(mode)).unwrap();
        assert_eq!(ListeningSocket::check(&path).is_ok(), fine, "{mode:o}");
        let bound = ListeningSocket::bind(&path, &owner());
        let text = bound.map_or_else(|e| e.to_string(), |_| String::new());
        let fix = format!("run chmod o-w {}", run.display());
        assert_eq!(text.ends_with(&fix), !fine, "{mode:o}: {text}");
    }
}

/// Whoever can open a directory can lock it, for as long as they like.
#[test]
fn a_lock_that_another_user_holds_refuses_no_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("couic.sock");
    let held = File::open(dir.path()).unwrap();
    held.lock().unwrap();
    drop(ListeningSocket::bind(&path, &owner()).unwrap());
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    if geteuid().is_root() {
        // One that lies in its way, too.
        let taken = dir.path().join("couic.sock.lock");
        let file = File::create(&taken).unwrap();
        std::os::unix::fs::chown(&taken, Some(77), Some(77)).unwrap();
        file.lock().unwrap();
        drop(ListeningSocket::bind(&path, &owner()).unwrap());
        assert_eq!(fs::metadata(taken).unwrap().uid(), 77);
    }
}

#[test]
fn two_starts_at_once_do_not_remove_each_others_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("couic.sock");
    let first = BindLock::acquire(&path, &owner()).unwrap().unwrap();
    let told = ListeningSocket::bind(&path, &owner()).unwrap_err();
    assert!(matches!(told, SocketError::InUse { .. }), "{told}");
    drop(first);
    drop(ListeningSocket::bind(&path, &owner()).unwrap());
    assert_eq!(
        fs::read_dir(dir.path()).unwrap().count(),
        0,
        "no lock stays"
    );
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
