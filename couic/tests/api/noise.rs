//! Some hundred random requests: a small version of the fuzz target `api`, for every test run. No request causes a
//! panic or a 500, and every response passes the common checks.

use couic_common::Group;
use proptest::prelude::*;

use crate::support::start;

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"];

const WORDS: &[&str] = &[
    "v1",
    "drop",
    "ignore",
    "sets",
    "reload",
    "batch",
    "peer",
    "client",
    "confirm",
    "panic",
    "status",
    "stats",
    "tags",
    "metrics",
    "lookup",
    "health",
    "notifiers",
    "peers",
    "digest",
    "pull",
    "push",
    "openapi.json",
    "192.0.2.7",
    "32",
    "2001:db8::",
    "%2e%2e",
    "..",
    "%00",
    "%ff",
    "ffffffff",
    "s",
    "x",
    "",
];

const QUERIES: &[&str] = &[
    "",
    "?tag=*",
    "?tag=",
    "?limit=0",
    "?limit=1&after=10.0.0.0/8",
    "?format=prometheus",
    "?%",
];

const TYPES: &[&str] = &[
    "application/json",
    "application/x-ndjson",
    "text/plain",
    "application/json; charset=x",
    "",
];

const BODIES: &[&str] = &[
    "",
    "null",
    "[]",
    "{}",
    "{\"on\":true}",
    "{\"on\":false,\"reason\":\"x\"}",
    "[true]",
    "{\"name\":\"s\",\"entries\":[\"192.0.2.0/24\"]}",
    "{\"entries\":[\"::/0\",\"x\"]}",
    "{\"cidr\":\"192.0.2.7/32\",\"expiration\":0}",
    "{\"cidr\":\"192.0.2.7/32\",\"expiration\":18446744073709551615,\"tag\":\"t\"}",
    "[{\"action\":\"add\",\"entry\":{\"cidr\":\"192.0.2.7/32\",\"expiration\":0}}]",
    "{\"action\":\"remove\",\"entry\":{\"cidr\":\"192.0.2.7/32\"}}\n{\"action\":",
    "{\"name\":\"x\",\"group\":\"admin\"}",
    "\u{0}\u{1}\u{2}",
    "{\"a\":{\"a\":{\"a\":[[[[[[]]]]]]}}}",
];

const WITHIN: &[&str] = &["", "1", "60", "86401", "x", "-1"];

#[derive(Clone, Debug)]
struct Noise {
    method: &'static str,
    path: Vec<&'static str>,
    query: &'static str,
    content_type: &'static str,
    body: &'static str,
    within: &'static str,
    group: Group,
}

fn noise() -> impl Strategy<Value = Noise> {
    let of = |list: &'static [&'static str]| proptest::sample::select(list);
    let path = proptest::collection::vec(of(WORDS), 0..4);
    let group = proptest::sample::select(&Group::ALL[..]);
    (
        of(METHODS),
        path,
        of(QUERIES),
        of(TYPES),
        of(BODIES),
        of(WITHIN),
        group,
    )
        .prop_map(
            |(method, path, query, content_type, body, within, group)| Noise {
                method,
                path,
                query,
                content_type,
                body,
                within,
                // The most privileged group reaches the most code.
                group: if group == Group::Peering {
                    group
                } else {
                    Group::Admin
                },
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn random_requests_neither_panic_nor_break_the_contract(requests in proptest::collection::vec(noise(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let test = start();
            for noise in requests {
                let path = format!("/v1/{}{}", noise.path.join("/"), noise.query);
                let mut asked = test.as_group(noise.group, noise.method, &path);
                if !noise.content_type.is_empty() {
                    asked = asked.header("content-type", noise.content_type);
                }
                if !noise.within.is_empty() {
                    asked = asked.header("couic-confirm-within", noise.within);
                }
                let reply = asked.body(noise.body).send().await;
                assert_ne!(reply.status.as_u16(), 500, "{noise:?}");
                let says = reply.headers.contains_key("couic-panic");
                assert_eq!(says, test.api.firewall.passes_all(), "{noise:?}");
                test.clock.advance(1);
                test.api.confirmations.undo_due();
            }
        });
    }
}
