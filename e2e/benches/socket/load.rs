//! Adds over the daemon's socket, one by one and pipelined.

use std::{
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use couic_e2e::Daemon;
use couic_testkit::{Connection, request};

pub(crate) const ADDS: u32 = 400_000;
pub(crate) const LONE_ADDS: u32 = 20_000;
pub(crate) const CONNECTIONS: u32 = 4;
pub(crate) const IN_FLIGHT: usize = 64;

/// The `n`-th of 2^28 distinct hosts, spread over 16.0.0.0/4: multiplying by an odd number is a bijection.
pub(crate) fn cidr(n: u32) -> String {
    let spread = n.wrapping_mul(2_654_435_761) & 0x0fff_ffff;
    format!("{}/32", Ipv4Addr::from_bits(0x1000_0000 + spread))
}

/// A request that adds it.
fn add_request(token: &str, n: u32) -> Vec<u8> {
    let body = format!(r#"{{"cidr":"{}","expiration":0,"tag":"bench"}}"#, cidr(n));
    let headers = format!("Authorization: Bearer {token}\r\nContent-Type: application/json\r\n");
    request("POST", "/v1/drop", &headers, &body).into_bytes()
}

/// One request at a time on one connection: how long each took, in order of length.
pub(crate) fn lone_adds(daemon: &Daemon<'_>) -> Vec<Duration> {
    let token = daemon.token();
    let mut connection =
        Connection::unix(daemon.socket()).unwrap_or_else(|e| panic!("connect: {e}"));
    let mut latencies: Vec<Duration> = (0..LONE_ADDS)
        .map(|n| {
            let request = add_request(&token, n);
            let start = Instant::now();
            connection.pipeline([request], 1, 201);
            start.elapsed()
        })
        .collect();
    latencies.sort_unstable();
    latencies
}

/// Pipelined requests on each connection, for hosts from `first` on.
pub(crate) fn pipelined_adds(daemon: &Daemon<'_>, first: u32) {
    let (token, socket) = (daemon.token(), daemon.socket());
    let share = ADDS / CONNECTIONS;
    thread::scope(|scope| {
        for worker in 0..CONNECTIONS {
            let (socket, token) = (&socket, &token);
            scope.spawn(move || {
                let hosts = first + worker * share..first + (worker + 1) * share;
                let requests = hosts.map(|n| add_request(token, n));
                let connection = Connection::unix(socket);
                let mut connection = connection.unwrap_or_else(|e| panic!("connect: {e}"));
                connection.pipeline(requests, IN_FLIGHT, 201);
            });
        }
    });
}
