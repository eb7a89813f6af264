//! Many connections that ask for nothing.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use couic_testkit::{Collector, Connection};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde_json::json;

use crate::support::{collector, post, report};

#[test]
fn idle_connections_do_not_delay_a_post() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard.min(65_536), hard).unwrap();
    let home = collector(900, "");
    let mut service = home.serve();
    let mut known = Connection::tcp(home.address()).unwrap();
    let body = json!([report(1, "ssh")]).to_string();
    let path = Collector::reports_path();
    let request = couic_testkit::request("POST", &path, "", &body);
    assert_eq!(known.ask(&request).status, 200);
    // Twice as many as there may be; each waits in the backlog for a moment.
    let connect = |_| TcpStream::connect(home.address()).unwrap();
    let idle: Vec<TcpStream> = (0..2_048).map(connect).collect();
    let start = Instant::now();
    for n in 0..20 {
        assert_eq!(post(&home, &json!([report(n, "ssh")]), ""), Some(200));
    }
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(known.ask(&request).status, 200, "it sent the secret before");
    drop(idle);
    assert!(service.ended().is_none());
}
