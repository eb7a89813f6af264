//! API clients, and the nodes that share rules.

use couic_common::{ClientInfo, ClientRequest, PeerForgotten, PeerInfo, RotateRequest};

use super::{CLIENTS, PEERS_FORGET, PEERS_LIST, array, delete, get, json, path, post};
use crate::api::{
    clients, peers,
    shape::Shape,
    table::{Path, Run},
};

pub(super) static PATHS: &[Path] = &[
    path(
        "/v1/client",
        &[
            get("list_clients", CLIENTS, Run::Inline(clients::list))
                .summary("Every client")
                .answers(200, array::<ClientInfo>()),
            post("create_client", CLIENTS, Run::BlockingBody(clients::create))
                .summary("Creates a client with a token of its own")
                .answers(201, json::<ClientInfo>())
                .body(json::<ClientRequest>())
                .errors(&[400, 413, 422]),
        ],
    ),
    path(
        "/v1/client/{client}",
        &[
            get("get_client", CLIENTS, Run::Inline(clients::get))
                .summary("One client")
                .answers(200, json::<ClientInfo>())
                .errors(&[404]),
            delete("delete_client", CLIENTS, Run::Blocking(clients::delete))
                .summary("Deletes a client: its token is refused from now on")
                .answers(204, Shape::Empty)
                .errors(&[404, 422]),
        ],
    ),
    path(
        "/v1/client/{client}/rotate",
        &[
            post("rotate_client", CLIENTS, Run::BlockingBody(clients::rotate))
                .summary("Gives a client a new token; the old one is accepted for a while")
                .answers(200, json::<ClientInfo>())
                .body(json::<RotateRequest>())
                .errors(&[400, 404, 413, 422]),
        ],
    ),
    path(
        "/v1/peers",
        &[get("list_peers", PEERS_LIST, Run::Blocking(peers::list))
            .summary("The nodes that rules are shared with; none if peering is off")
            .answers(200, array::<PeerInfo>())],
    ),
    path(
        "/v1/peers/{client}",
        &[
            delete("forget_peer", PEERS_FORGET, Run::Blocking(peers::forget))
                .summary("Removes all that came from a peer, on this node")
                .answers(200, json::<PeerForgotten>())
                .errors(&[404]),
        ],
    ),
];
