//! Who has a token, and the nodes that share rules.

use couic_common::{ClientInfo, ClientRequest, PeerForgotten, PeerInfo};

use super::{operation, right};
use crate::{
    api::{
        clients,
        openapi::{Of, Shape},
        peers,
        table::{Path, Run, Verb},
    },
    rbac::Right,
};

pub(super) static PATHS: &[Path] = &[
    Path {
        pattern: "/v1/client",
        operations: &[
            operation(
                Verb::Get,
                right(&[Right::Clients]),
                Run::Inline(clients::list),
                ("list_clients", "Every client"),
                (200, Shape::Array(Of::type_::<ClientInfo>())),
            ),
            operation(
                Verb::Post,
                right(&[Right::Clients]),
                Run::BlockingBody(clients::create),
                ("create_client", "Makes a client with a token of its own"),
                (201, Shape::Json(Of::type_::<ClientInfo>())),
            )
            .body(Shape::Json(Of::type_::<ClientRequest>()))
            .errors(&[400, 413, 422]),
        ],
    },
    Path {
        pattern: "/v1/client/{client}",
        operations: &[
            operation(
                Verb::Get,
                right(&[Right::Clients]),
                Run::Inline(clients::get),
                ("get_client", "One client"),
                (200, Shape::Json(Of::type_::<ClientInfo>())),
            )
            .errors(&[404]),
            operation(
                Verb::Delete,
                right(&[Right::Clients]),
                Run::Blocking(clients::delete),
                (
                    "delete_client",
                    "Takes a client away: its token is refused from now on",
                ),
                (204, Shape::Empty),
            )
            .errors(&[404, 422]),
        ],
    },
    Path {
        pattern: "/v1/peers",
        operations: &[operation(
            Verb::Get,
            right(&[Right::PeersList]),
            Run::Blocking(peers::list),
            (
                "list_peers",
                "The nodes that rules are shared with; none where peering is off",
            ),
            (200, Shape::Array(Of::type_::<PeerInfo>())),
        )],
    },
    Path {
        pattern: "/v1/peers/{client}",
        operations: &[operation(
            Verb::Delete,
            right(&[Right::PeersForget]),
            Run::Blocking(peers::forget),
            (
                "forget_peer",
                "Removes every rule that came from a peer, here and as a deletion on all nodes",
            ),
            (200, Shape::Json(Of::type_::<PeerForgotten>())),
        )
        .errors(&[404])],
    },
];
