//! The client against a stand-in daemon: the request of each route, and the handling of each kind of response.

#![expect(clippy::unwrap_used, reason = "a failing test says so by panicking")]

mod errors;
mod events;
mod routes;
mod streams;
mod switch;
mod tls;

use couic_client::{Client, Endpoint};
use couic_testkit::StandIn;

/// The token that tests use.
const TOKEN: &str = "bbfa1388-3218-463c-9722-6805507c14bb";

fn client(stand_in: &StandIn) -> Client {
    let endpoint = match stand_in.address {
        Some(address) => Endpoint::plain(address.ip().to_string(), address.port()),
        None => Endpoint::unix(&stand_in.socket),
    };
    Client::builder(endpoint)
        .token(TOKEN.parse().unwrap())
        .build()
        .unwrap()
}
