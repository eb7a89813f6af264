//! Users of the machine who may connect and have no token, and clients that promise bodies: none takes what is others'.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::Path,
    thread,
    time::Duration,
};

use couic::api::ServeSettings;
use couic_testkit::{LONG, until};
use nix::unistd::geteuid;
use serde_json::json;

use super::{Running, run};

/// Connections of another user, made by a thread that is that user from then on.
fn connect_as(uid: libc::uid_t, path: &Path, count: usize) -> Vec<UnixStream> {
    let path = path.to_owned();
    let crowd = thread::spawn(move || {
        // SAFETY: the bare system call changes this thread alone, which ends soon, and it takes numbers.
        let done = unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) };
        assert_eq!(done, 0, "{}", io::Error::last_os_error());
        (0..count)
            .map(|_| UnixStream::connect(&path).unwrap())
            .collect()
    });
    crowd.join().unwrap()
}

/// A service that any user may connect to; None without root.
fn open_to_all(settings: ServeSettings) -> Option<Running> {
    if !geteuid().is_root() {
        println!("skipped: only root can be another user");
        return None;
    }
    let server = run(settings);
    let mode = |path: &Path| fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
    mode(server.test.dir.path());
    mode(&server.path);
    Some(server)
}

fn is_open(stream: &UnixStream) -> bool {
    use nix::sys::socket::{MsgFlags, recv};
    use std::os::fd::AsRawFd;
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    recv(stream.as_raw_fd(), &mut [0], flags) == Err(nix::errno::Errno::EAGAIN)
}

fn count_open(crowd: &[UnixStream]) -> usize {
    crowd.iter().filter(|stream| is_open(stream)).count()
}

/// More than fit are opened by two users: each keeps its share, and the places of root and of a third user stay.
#[test]
fn users_without_a_token_leave_places_for_others_and_for_root() {
    let Some(server) = open_to_all(ServeSettings {
        max_connections: 100,
        per_user: 30,
        reserve: 10,
        newcomer: LONG,
        ..ServeSettings::default()
    }) else {
        return;
    };
    let crowds: Vec<Vec<UnixStream>> = (1..=2)
        .map(|n| connect_as(12_340 + n, &server.path, 200))
        .collect();
    // The daemon's user is root here.
    assert_eq!(server.connect().ask(server.add("10.0.0.0/8")).status, 201);
    for crowd in &crowds {
        until("the share is reached", LONG, || {
            (count_open(crowd) == 30).then_some(())
        });
    }
    let third = connect_as(12_343, &server.path, 1);
    assert_eq!(server.connect().ask(server.add("11.0.0.0/8")).status, 201);
    assert_eq!(count_open(&third), 1);
    assert!(is_open(&crowds[0][199]), "the oldest are closed");
}

#[test]
fn connections_with_a_valid_token_are_not_closed_for_others() {
    let Some(server) = open_to_all(ServeSettings {
        max_connections: 3,
        reserve: 0,
        newcomer: LONG,
        ..ServeSettings::default()
    }) else {
        return;
    };
    let mut known: Vec<_> = (0..2).map(|_| server.connect()).collect();
    for client in &mut known {
        assert_eq!(client.ask(server.head("GET", "/v1/stats", "")).status, 200);
    }
    let crowd = connect_as(12_345, &server.path, 50);
    until("one place goes round", LONG, || {
        (count_open(&crowd) == 1).then_some(())
    });
    for client in &mut known {
        assert_eq!(client.ask(server.head("GET", "/v1/stats", "")).status, 200);
    }
}

#[test]
fn a_connection_lives_shortly_until_its_first_valid_token() {
    let server = run(ServeSettings {
        newcomer: Duration::from_millis(200),
        head: Duration::from_millis(400),
        ..ServeSettings::default()
    });
    let mut known = until("a request is answered in time", LONG, || {
        let mut client = server.connect();
        client.try_send(server.head("GET", "/v1/stats", "")).ok()?;
        client.try_answer().ok().map(|_| client)
    })
    .0;
    let mut stranger = server.connect();
    let wrong = "GET /v1/stats HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\n\r\n";
    drop(stranger.try_send(wrong));
    drop(stranger.try_answer());
    assert!(stranger.is_closed());
    assert_eq!(known.ask(server.head("GET", "/v1/stats", "")).status, 200);
}

/// An HTTP library sends its request first, and takes an earlier answer for a broken connection.
#[test]
fn a_refused_client_reads_why() {
    let server = run(ServeSettings {
        max_connections: 1,
        reserve: 0,
        ..ServeSettings::default()
    });
    let mut first = server.connect();
    assert_eq!(first.ask(server.head("GET", "/v1/stats", "")).status, 200);
    for _ in 0..20 {
        let mut client = server.connect();
        thread::sleep(Duration::from_millis(5));
        client
            .try_send(server.head("GET", "/v1/stats", ""))
            .unwrap();
        let answer = client.answer();
        assert_eq!(answer.status, 503);
        let message = answer.json()["message"].to_string();
        assert!(message.contains("too many connections"), "{message}");
    }
}

/// 129 times 16 MiB are announced, and two bytes of each sent.
#[test]
fn bodies_that_are_announced_and_not_sent_take_no_room_of_others() {
    let server = run(ServeSettings::default());
    let more = "content-type: application/json\r\ncontent-length: 16777216\r\n";
    let mut crowd: Vec<_> = (0..129).map(|_| server.connect()).collect();
    for client in &mut crowd {
        client.send(server.head("POST", "/v1/drop", more));
        client.send("[");
    }
    thread::sleep(Duration::from_millis(50));
    crowd.iter_mut().for_each(|client| client.send(" "));
    let entries: Vec<String> = (0..90_000)
        .map(|n: u32| format!("10.{}.{}.{}/32", n >> 16, n >> 8 & 255, n & 255))
        .collect();
    let set = json!({"name": "large", "entries": entries}).to_string();
    assert!(set.len() > 1 << 20);
    let mut client = server.connect();
    let answer = client.ask(server.post("/v1/sets/drop", &set));
    assert_eq!(answer.status, 201);
}

#[test]
fn a_small_body_that_is_refused_unread_can_be_sent_all_the_same() {
    let server = run(ServeSettings::default());
    for _ in 0..50 {
        let mut client = server.connect();
        let wrong = "POST /v1/drop HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n";
        client.send(wrong);
        thread::sleep(Duration::from_millis(2));
        client.try_send(format!("{:<40}", "{}")).unwrap();
        assert_eq!(client.answer().status, 401);
    }
}
