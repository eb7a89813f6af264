//! Access of every group to every route.

use couic_common::Group;
use serde_json::json;

use crate::support::start;

/// Method, path, content type, body, and the access of admin, clientrw, clientro, monitoring, peering.
type Row = (&'static str, &'static str, &'static str, [bool; 5]);

const Y: bool = true;
const N: bool = false;

const ROWS: &[Row] = &[
    ("GET", "/v1/drop", "", [Y, Y, Y, N, N]),
    ("HEAD", "/v1/drop", "", [Y, Y, Y, N, N]),
    ("GET", "/v1/ignore?limit=1&tag=a", "", [Y, Y, Y, N, N]),
    (
        "POST",
        "/v1/drop",
        r#"{"cidr":"9.9.9.9/32","expiration":0}"#,
        [Y, Y, N, N, N],
    ),
    ("DELETE", "/v1/drop?tag=nobody", "", [Y, Y, N, N, N]),
    ("GET", "/v1/drop/1.2.3.4/32", "", [Y, Y, Y, N, N]),
    ("DELETE", "/v1/drop/1.2.3.4/32", "", [Y, Y, N, N, N]),
    ("POST", "/v1/drop/peer", "[]", [Y, N, N, N, Y]),
    ("POST", "/v1/drop/batch", "[]", [Y, Y, N, N, N]),
    ("GET", "/v1/lookup/1.2.3.4", "", [Y, Y, Y, N, N]),
    ("GET", "/v1/sets/drop", "", [Y, Y, Y, N, N]),
    (
        "POST",
        "/v1/sets/drop",
        r#"{"name":"n","entries":[]}"#,
        [Y, Y, N, N, N],
    ),
    ("GET", "/v1/sets/drop/s", "", [Y, Y, Y, N, N]),
    (
        "PUT",
        "/v1/sets/drop/s",
        r#"{"entries":[]}"#,
        [Y, Y, N, N, N],
    ),
    ("DELETE", "/v1/sets/drop/s", "", [Y, Y, N, N, N]),
    ("POST", "/v1/sets/reload", "", [Y, Y, N, N, N]),
    ("GET", "/v1/stats", "", [Y, N, N, Y, N]),
    ("GET", "/v1/stats/tags/drop", "", [Y, N, N, Y, N]),
    ("GET", "/v1/metrics", "", [Y, N, N, Y, N]),
    ("GET", "/v1/metrics?format=prometheus", "", [Y, N, N, Y, N]),
    ("GET", "/v1/client", "", [Y, N, N, N, N]),
    (
        "POST",
        "/v1/client",
        r#"{"name":"n","group":"admin"}"#,
        [Y, N, N, N, N],
    ),
    ("GET", "/v1/client/couicctl", "", [Y, N, N, N, N]),
    ("DELETE", "/v1/client/couicctl", "", [Y, N, N, N, N]),
    ("POST", "/v1/drop/digest", "{}", [Y, N, N, N, Y]),
    ("POST", "/v1/drop/pull", "{}", [Y, N, N, N, Y]),
    ("POST", "/v1/drop/push", "{}", [Y, N, N, N, Y]),
    ("GET", "/v1/peers", "", [Y, N, N, Y, N]),
    ("DELETE", "/v1/peers/n", "", [Y, N, N, N, N]),
    ("GET", "/v1/notifiers", "", [Y, N, N, Y, N]),
    ("GET", "/v1/notifiers/n", "", [Y, N, N, Y, N]),
    ("POST", "/v1/notifiers/n/test", "", [Y, N, N, N, N]),
    ("GET", "/v1/notifiers/n/dead", "", [Y, N, N, N, N]),
    (
        "DELETE",
        "/v1/notifiers/n/dead?key=all",
        "",
        [Y, N, N, N, N],
    ),
    ("POST", "/v1/notifiers/n/replay", "", [Y, N, N, N, N]),
    ("POST", "/v1/notifiers/n/resume", "", [Y, N, N, N, N]),
    ("GET", "/v1/status", "", [Y, N, N, Y, N]),
    ("GET", "/v1/events?follow=false", "", [Y, Y, Y, N, N]),
    ("GET", "/v1/log?limit=1", "", [Y, Y, Y, N, N]),
    ("GET", "/v1/panic", "", [Y, Y, Y, Y, Y]),
    ("PUT", "/v1/panic", r#"{"on":true}"#, [Y, N, N, N, N]),
    ("GET", "/v1/confirm", "", [Y, Y, Y, Y, Y]),
    ("POST", "/v1/confirm", "", [Y, Y, Y, Y, Y]),
    ("POST", "/v1/confirm/00000000", "", [Y, Y, Y, Y, Y]),
    ("DELETE", "/v1/confirm/00000000", "", [Y, Y, Y, Y, Y]),
    ("GET", "/v1/openapi.json", "", [Y, Y, Y, Y, Y]),
    ("GET", "/v1/health", "", [Y, Y, Y, Y, Y]),
    ("GET", "/v1/live", "", [Y, Y, Y, Y, Y]),
];

#[tokio::test]
async fn access_of_every_group_to_every_route() {
    for (method, path, body, may) in ROWS {
        let test = start();
        test.add("drop", "1.2.3.4/32", None).await;
        let set = json!({"name": "s", "entries": ["5.6.7.0/24"]});
        test.post("/v1/sets/drop", &set).await.is(201);
        let mut groups: Vec<(Group, bool)> = Group::ALL.into_iter().zip(*may).collect();
        // Groups without access come first, and must not change anything.
        groups.sort_by_key(|(_, may)| *may);
        for (group, may) in groups {
            let asked = test.as_group(group, method, path);
            let reply = asked.text(body).send().await;
            let status = reply.status.as_u16();
            assert_eq!(status != 401, may, "{group}: {method} {path}: {status}");
            assert_ne!(status, 403, "{group}: {method} {path}");
            if !may {
                let what = format!("{group}: {method} {path} changed something");
                assert_eq!(test.plane.rules().len(), 1, "{what}");
                let sets = test.api.sets.list(couic_common::Policy::Drop).unwrap();
                assert_eq!(sets.len(), 1, "{what}");
                assert_eq!(test.api.clients.list().len(), 6, "{what}");
                assert!(!test.api.firewall.passes_all(), "{what}");
            }
        }
    }
}
