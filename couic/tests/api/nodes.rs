//! Several nodes in one process, each with its API on a Unix socket, that share rules over HTTP; and misbehaving peers.

mod plain;
mod proxy;
mod unread;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use couic::{
    api::{ServeSettings, serve_with},
    peering::{PeerSettings, Peering, Time},
};
use couic_client::{Client, Endpoint, Token};
use couic_common::{Cidr, Group, PeerInfo, PeerState, Policy};
use couic_firewall::rules::{ClaimRequest, Firewall, Job, SystemClock};
use couic_peering::{Limits, LinkSettings};
use couic_testkit::{Reply, StandIn, script};
use serde_json::json;
use tokio::{net::UnixListener, runtime::Handle};

use crate::support::{TestApi, start_peering};

/// A node and everything that it needs to live.
struct Node {
    test: TestApi,
    peering: Option<Peering>,
    socket: PathBuf,
}

fn settings(name: &str) -> PeerSettings {
    PeerSettings {
        name: name.parse().unwrap(),
        endpoint: "test:1".to_owned(),
        limits: Limits::default(),
        link: LinkSettings {
            compare: 500,
            ..LinkSettings::default()
        },
    }
}

impl Node {
    /// A node that serves, with a client for each peer, and does not connect yet.
    fn new(peers: &[&str]) -> Self {
        let all = peers.iter().map(|name| settings(name)).collect();
        let test = start_peering(all, Arc::new(SystemClock), Time::system());
        for name in peers {
            test.create_client(name, Group::Peering);
        }
        let socket = test.dir.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let api = Arc::clone(&test.api);
        let forever = std::future::pending::<()>();
        tokio::spawn(async move {
            serve_with(listener, api, forever, ServeSettings::default()).await;
        });
        Self {
            test,
            peering: None,
            socket,
        }
    }

    /// The token of a client.
    fn token(&self, name: &str) -> Token {
        Token::from(self.test.token_of(name))
    }

    /// Connects to its peers, in their order.
    fn talk_to(&mut self, peers: Vec<Client>) {
        let engine = self.test.api.peering.clone().unwrap();
        self.peering = Some(Peering::run(engine, peers, &Handle::current()).unwrap());
    }

    fn firewall(&self) -> &Firewall {
        &self.test.api.firewall
    }

    fn add(&self, range: std::ops::Range<u32>) {
        let job = |n| {
            let rule = ClaimRequest {
                cidr: cidr(n),
                tag: None,
                expiration: 0,
            };
            Job::Add(rule, None)
        };
        let actor = couic_firewall::rules::Actor::Client("admin".parse().unwrap());
        let jobs = range.map(job).collect();
        let results = self.firewall().apply(Policy::Drop, jobs, &actor);
        assert!(results.iter().all(Result::is_ok));
    }

    fn count(&self) -> u64 {
        self.firewall().stats().drop_cidr_count
    }

    fn peer(&self, index: usize) -> PeerInfo {
        self.test
            .api
            .peering
            .as_ref()
            .unwrap()
            .peers()
            .remove(index)
    }
}

fn cidr(n: u32) -> Cidr {
    Cidr::host(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into())
}

fn client(socket: &Path, token: Token) -> Client {
    let builder = Client::builder(Endpoint::unix(socket)).token(token);
    builder.timeout(Duration::from_secs(5)).build().unwrap()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    couic_testkit::until(what, couic_testkit::LONG, || condition().then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_hold_the_same() {
    let names = ["n0", "n1", "n2"];
    let others =
        |n: usize| -> Vec<&str> { names.iter().copied().filter(|o| *o != names[n]).collect() };
    let mut nodes: Vec<Node> = (0..3).map(|n| Node::new(&others(n))).collect();
    for n in 0..3 {
        let to = |name: &str| {
            let other = names.iter().position(|o| *o == name).unwrap();
            client(&nodes[other].socket, nodes[other].token(names[n]))
        };
        let clients = others(n).into_iter().map(to).collect();
        nodes[n].talk_to(clients);
    }
    let body = json!({"cidr": "10.0.0.1/32", "expiration": 0, "tag": "ssh"});
    nodes[0].test.post("/v1/drop", &body).await.is(201);
    until("the rule is everywhere", || {
        nodes.iter().all(|n| n.count() == 1)
    });
    let entry = nodes[2]
        .test
        .get("/v1/drop/10.0.0.1/32")
        .await
        .is(200)
        .json();
    assert_eq!(entry["tag"], "ssh");
    // Deleted on a different node than it was added on: there alone, since it is not trusted with more.
    let all = "/v1/drop/10.0.0.1/32?all_owners=true";
    nodes[2].test.delete(all).await.is(204);
    assert_eq!(nodes[2].count(), 0);
    nodes[0].test.delete("/v1/drop/10.0.0.1/32").await.is(204);
    until("it is gone everywhere", || {
        nodes.iter().all(|n| n.count() == 0)
    });
    nodes[1].add(0..20_000);
    until("20,000 rules are everywhere", || {
        nodes.iter().all(|n| n.count() == 20_000)
    });
    until("all are in sync", || {
        let both = |n: &Node| [n.peer(0), n.peer(1)];
        let mut all = nodes.iter().flat_map(both);
        all.all(|p| p.state == PeerState::InSync && p.queue == 0 && p.last_equal > 0)
    });
    for node in nodes {
        node.peering.unwrap().stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_peers_do_not_delay_others() {
    let names = [
        "good", "hangs", "fails", "babbles", "large", "cuts", "endless",
    ];
    let mut node = Node::new(&names);
    let mut good = Node::new(&["node"]);
    let token: Token = "00000000-0000-0000-0000-000000000000".parse().unwrap();
    let replies = [
        Reply::Hang,
        Reply::text(500, "text/plain", "no"),
        Reply::json(200, "{\"a\":1}"),
        Reply::status(413),
        Reply::half_body(200),
        Reply::Raw(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffff\r\n".into()),
    ];
    let bad = replies.map(|reply| StandIn::unix(script([], reply)));
    let mut clients = vec![client(&good.socket, good.token("node"))];
    clients.extend(bad.iter().map(|peer| client(&peer.socket, token.clone())));
    node.talk_to(clients);
    good.talk_to(vec![client(&node.socket, node.token("good"))]);
    until("the good one answers", || {
        node.peer(0).state == PeerState::InSync
    });
    for round in 0..10 {
        node.add(round * 100..(round + 1) * 100);
        let wanted = u64::from(round + 1) * 100;
        until("the good one has them", || good.count() == wanted);
    }
    for (index, name) in names.iter().enumerate().skip(1) {
        until(&format!("{name} is seen to fail"), || {
            let peer = node.peer(index);
            peer.state == PeerState::Failing && peer.last_error.is_some()
        });
    }
    assert_eq!(node.count(), 1_000);
}
