//! Adds over the daemon's socket, one by one and pipelined.

use std::{
    thread,
    time::{Duration, Instant},
};

use couic_e2e::Daemon;

use crate::connection::{Connection, add_request};

pub(crate) const ADDS: u32 = 400_000;
pub(crate) const LONE_ADDS: u32 = 20_000;
pub(crate) const CONNECTIONS: u32 = 4;
pub(crate) const IN_FLIGHT: usize = 64;

/// One request at a time on one connection. Returns the sorted latencies.
pub(crate) fn lone_adds(daemon: &Daemon<'_>) -> Vec<Duration> {
    let token = daemon.token();
    let mut connection = Connection::open(&daemon.socket());
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
                Connection::open(socket).pipeline(requests, IN_FLIGHT, 201);
            });
        }
    });
}
