//! The client against a stand-in daemon: the request of each route, and the handling of each kind of response.

#![expect(clippy::unwrap_used, reason = "a failing test says so by panicking")]

mod errors;
mod routes;
mod streams;
#[expect(dead_code, reason = "couicctl's tests share it, and use other parts")]
mod support;
mod switch;
mod tls;

use couic_client::{Client, Endpoint};
use support::{StandIn, TOKEN};

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
