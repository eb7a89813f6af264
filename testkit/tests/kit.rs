//! Tests the kit's server and client with each other.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use couic_testkit::{Api, At, Connection, LONG, Program, Reply, StandIn, request, script};
use nix::sys::signal::Signal;

#[test]
fn replies_are_played_in_order_and_recorded_with_their_requests() {
    let replies = [Reply::json(200, "[1]"), Reply::status(204)];
    let server = StandIn::tcp(script(replies, Reply::status(404)));
    let mut client = Connection::tcp(server.address.unwrap()).unwrap();
    // All together, the last one in pieces.
    let all: String = ["/a", "/b", "/c?d=e"]
        .map(|path| request("POST", path, "X: y\r\n", path))
        .concat();
    let (first, rest) = all.split_at(all.len() - 7);
    client.send(first);
    assert_eq!(client.answer().json(), serde_json::json!([1]));
    client.send(rest);
    assert_eq!([client.answer().status, client.answer().status], [204, 404]);
    drop(client);
    let lines: Vec<_> = server
        .exchanges()
        .into_iter()
        .map(|(request, reply)| {
            let Reply::Answer { status, .. } = reply else {
                panic!("{reply:?}")
            };
            (
                request.line().to_owned(),
                request.header("x").map(str::to_owned),
                status,
            )
        })
        .collect();
    let y = Some("y".to_owned());
    assert_eq!(
        lines,
        [
            ("POST /a".to_owned(), y.clone(), 200),
            ("POST /b".to_owned(), y.clone(), 204),
            ("POST /c?d=e".to_owned(), y, 404)
        ]
    );
    let bodies: Vec<_> = server
        .finish()
        .into_iter()
        .map(|request| request.body)
        .collect();
    assert_eq!(bodies, [b"/a".to_vec(), b"/b".to_vec(), b"/c?d=e".to_vec()]);
}

#[test]
fn bad_servers_fail_as_scripted() {
    for reply in [Reply::Reset, Reply::Close, Reply::half_body(200)] {
        let server = StandIn::unix(script([], reply.clone()));
        let api = Api::new(At::Unix(server.socket.clone()), None);
        let error = api.try_request("GET", "/", None).unwrap_err();
        println!("{reply:?}: {error}");
        assert_eq!(server.only().line(), "GET /");
    }
    let wait = Duration::from_millis(50);
    let late = Reply::After(wait, Box::new(Reply::status(200)));
    let server = StandIn::unix(script([], late));
    let begun = Instant::now();
    let mut client = Connection::unix(&server.socket).unwrap();
    client.pipeline(
        [request("GET", "/", "", ""), request("GET", "/", "", "")],
        2,
        200,
    );
    assert!(begun.elapsed() >= 2 * wait);
}

#[test]
fn requests_are_awaited_and_each_returned_once() {
    let server = StandIn::tcp(|_| Reply::status(200));
    assert!(server.try_next(Duration::ZERO).is_none());
    let api = Api::new(At::Tcp(server.address.unwrap()), Some("t0ken"));
    let asks = std::thread::spawn(move || {
        (0..3).for_each(|n| {
            let _ = api.request("GET", &format!("/{n}"), None).expect(200);
        });
    });
    let first = server.next(LONG);
    assert_eq!(
        (first.line(), first.header("Authorization")),
        ("GET /0", Some("Bearer t0ken"))
    );
    asks.join().unwrap();
    let rest: Vec<_> = server
        .rest()
        .iter()
        .map(|request| request.line().to_owned())
        .collect();
    assert_eq!(rest, ["GET /1", "GET /2"]);
    assert!(server.rest().is_empty());
}

#[test]
fn a_dropped_server_stops_listening() {
    let server = StandIn::unix(|_| Reply::status(200));
    let (socket, kept) = (
        server.socket.clone(),
        server.dir.path().with_extension("kept"),
    );
    std::fs::hard_link(&socket, &kept).unwrap();
    drop(server);
    let refused = Connection::unix(&kept).unwrap_err();
    std::fs::remove_file(kept).unwrap();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn programs_are_awaited_and_end_with_their_owner() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("output");
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Program::start(command, &output)
    };
    let mut ends = shell("echo one; exit 3");
    assert_eq!(ends.until_printed("two"), Err("one\n".to_owned()));
    assert_eq!(ends.exit_code(), 3);
    let mut stays = shell("echo two; exec sleep 1000");
    assert_eq!(
        stays.until_printed("two"),
        Ok("two\n".to_owned()),
        "without the output of the first one"
    );
    assert_eq!(stays.output(), "one\ntwo\n");
    assert_eq!(stays.end(Signal::SIGTERM), -15);
    let dropped = shell("exec sleep 1000");
    let pid = dropped.pid();
    drop(dropped);
    assert!(nix::sys::signal::kill(pid, None).is_err());
}
