//! Several nodes in one process, each with its API on a Unix socket, that share rules over HTTP; and misbehaving peers.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use couic::{
    api::{ServeSettings, serve_with},
    peering::{PeerSettings, Peering, Time},
};
use couic_client::{Client, Endpoint, Token};
use couic_common::{Cidr, Group, PeerInfo, PeerState, Policy};
use couic_firewall::rules::{Firewall, Job, NewRule, SystemClock};
use couic_peering::{Limits, LinkSettings};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{UnixListener, UnixStream},
    runtime::Handle,
    time::{Instant, sleep},
};

use crate::support::{TestApi, start_peering};

/// The deadline of every condition.
const LONG: Duration = Duration::from_secs(60);

/// A node and its resources.
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
            let name = name.parse().unwrap();
            test.api.clients.create(name, Group::Peering).unwrap();
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
        let client = self.test.api.clients.get(&name.parse().unwrap());
        Token::from(client.unwrap().token)
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
            let rule = NewRule {
                cidr: cidr(n),
                tag: None,
                expiration: 0,
            };
            Job::Add(rule, None)
        };
        let actor = couic_firewall::rules::Actor::Client("c".parse().unwrap());
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

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Two nodes that list each other, `b` behind a proxy that `way` puts in front of its socket.
async fn pair(way: impl Fn(PathBuf) -> PathBuf) -> (Node, Node) {
    let (mut a, mut b) = (Node::new(&["b"]), Node::new(&["a"]));
    let to_b = client(&way(b.socket.clone()), b.token("a"));
    let to_a = client(&a.socket, a.token("b"));
    a.talk_to(vec![to_b]);
    b.talk_to(vec![to_a]);
    until("they answer", || {
        a.peer(0).state == PeerState::InSync && b.peer(0).state == PeerState::InSync
    })
    .await;
    (a, b)
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
    })
    .await;
    let entry = nodes[2]
        .test
        .get("/v1/drop/10.0.0.1/32")
        .await
        .is(200)
        .json();
    assert_eq!(entry["tag"], "ssh");
    // Deleted on a different node than it was added on.
    nodes[2].test.delete("/v1/drop/10.0.0.1/32").await.is(204);
    until("it is gone everywhere", || {
        nodes.iter().all(|n| n.count() == 0)
    })
    .await;
    nodes[1].add(0..20_000);
    until("20,000 rules are everywhere", || {
        nodes.iter().all(|n| n.count() == 20_000)
    })
    .await;
    until("all are in sync", || {
        let both = |n: &Node| [n.peer(0), n.peer(1)];
        let mut all = nodes.iter().flat_map(both);
        all.all(|p| p.state == PeerState::InSync && p.queue == 0 && p.last_equal > 0)
    })
    .await;
    for node in nodes {
        node.peering.unwrap().stop().await;
    }
}

/// A peer with the same response for every connection.
fn bad_peer(dir: &Path, name: &str, answer: Option<&'static str>) -> PathBuf {
    let path = dir.join(name);
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            match answer {
                // Holds the connection without a response.
                None => open.push(stream),
                Some(answer) => {
                    tokio::spawn(async move {
                        let mut some = [0; 1024];
                        let _ = stream.read(&mut some).await;
                        let _ = stream.write_all(answer.as_bytes()).await;
                    });
                }
            }
        }
    });
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_peers_do_not_delay_others() {
    let names = [
        "good", "hangs", "fails", "babbles", "large", "cuts", "endless",
    ];
    let mut node = Node::new(&names);
    let mut good = Node::new(&["node"]);
    let token: Token = "00000000-0000-0000-0000-000000000000".parse().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let answers = [
        ("hangs", None),
        (
            "fails",
            Some("HTTP/1.1 500 Oh\r\ncontent-length: 2\r\n\r\nno"),
        ),
        (
            "babbles",
            Some("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{\"a\":1}"),
        ),
        (
            "large",
            Some("HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n"),
        ),
        (
            "cuts",
            Some("HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{"),
        ),
        (
            "endless",
            Some("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffff\r\n"),
        ),
    ];
    let mut clients = vec![client(&good.socket, good.token("node"))];
    for (name, answer) in answers {
        clients.push(client(&bad_peer(dir.path(), name, answer), token.clone()));
    }
    node.talk_to(clients);
    good.talk_to(vec![client(&node.socket, node.token("good"))]);
    until("the good one answers", || {
        node.peer(0).state == PeerState::InSync
    })
    .await;
    for round in 0..10 {
        node.add(round * 100..(round + 1) * 100);
        let wanted = u64::from(round + 1) * 100;
        until("the good one has them", || good.count() == wanted).await;
    }
    for (index, name) in names.iter().enumerate().skip(1) {
        until(&format!("{name} is seen to fail"), || {
            let peer = node.peer(index);
            peer.state == PeerState::Failing && peer.last_error.is_some()
        })
        .await;
    }
    assert_eq!(node.count(), 1_000);
}

/// A proxy that refuses bodies larger than `most` with a 413 in HTML.
fn narrow(upstream: PathBuf, most: usize, refused: Arc<AtomicUsize>) -> PathBuf {
    let path = upstream.with_file_name("narrow");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(relay(stream, upstream.clone(), most, Arc::clone(&refused)));
        }
    });
    path
}

async fn relay(mut stream: UnixStream, upstream: PathBuf, most: usize, refused: Arc<AtomicUsize>) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    let length = text
        .lines()
        .find_map(|l| l.strip_prefix("content-length: ")?.parse().ok())
        .unwrap_or(0);
    if length > most {
        refused.fetch_add(1, Ordering::SeqCst);
        let page = "<html>413</html>";
        let answer = format!(
            "HTTP/1.1 413 Request Entity Too Large\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{page}",
            page.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
        // Until the sender has read it.
        let _ = copy(&mut stream, &mut tokio::io::sink()).await;
        return;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let head = text.replacen("\r\n\r\n", "\r\nconnection: close\r\n\r\n", 1);
    let mut there = UnixStream::connect(&upstream).await.unwrap();
    there.write_all(head.as_bytes()).await.unwrap();
    there.write_all(&body).await.unwrap();
    let _ = copy(&mut there, &mut stream).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pushes_adapt_to_the_body_limit_of_a_proxy() {
    let refused = Arc::<AtomicUsize>::default();
    let way = |socket| narrow(socket, 20_000, Arc::clone(&refused));
    let (a, b) = pair(way).await;
    a.add(0..5_000);
    until("all have arrived", || b.count() == 5_000).await;
    assert!(refused.load(Ordering::SeqCst) > 0, "nothing was too large");
    b.add(5_000..10_000);
    until("and back", || a.count() == 10_000).await;
}

/// A Couic 1.0 node: accepts plain jobs only, and refuses a whole request for a single conflict.
fn old_node(dir: &Path, rules: Arc<Mutex<Vec<(String, u64)>>>) -> PathBuf {
    use warp::{Filter, http::StatusCode, reply};
    let path = dir.join("old");
    let listener = UnixListener::bind(&path).unwrap();
    let error = |status: u16, code: &str| {
        let body = json!({"code": code, "message": "no", "errors": {}});
        reply::with_status(reply::json(&body), StatusCode::from_u16(status).unwrap())
    };
    let jobs = warp::post()
        .and(warp::path!("v1" / "drop" / "peer"))
        .and(warp::body::json())
        .map(move |jobs: Vec<Value>| {
            let mut rules = rules.lock().unwrap();
            for job in &jobs {
                let cidr = job["entry"]["cidr"].as_str().unwrap();
                let there = rules.iter().position(|(c, _)| c == cidr);
                match (job["action"].as_str(), there) {
                    (Some("add"), None) => {
                        let until = job["entry"]["expiration"].as_u64().unwrap();
                        rules.push((cidr.to_owned(), until));
                    }
                    (Some("remove"), Some(at)) => {
                        rules.remove(at);
                    }
                    _ => return error(409, "conflict"),
                }
            }
            reply::with_status(reply::json(&jobs), StatusCode::CREATED)
        });
    let other = warp::any().map(move || error(404, "not_found"));
    let served = warp::serve(jobs.or(other)).incoming(listener);
    tokio::spawn(served.run());
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_couic_1_node_receives_plain_jobs() {
    let mut node = Node::new(&["old"]);
    node.add(0..50);
    let dir = tempfile::tempdir().unwrap();
    let rules = Arc::<Mutex<Vec<(String, u64)>>>::default();
    // One of them exists already.
    rules.lock().unwrap().push((cidr(7).to_string(), 0));
    let token: Token = "00000000-0000-0000-0000-000000000000".parse().unwrap();
    let path = old_node(dir.path(), Arc::clone(&rules));
    node.talk_to(vec![client(&path, token)]);
    let count = || rules.lock().unwrap().len();
    until("it has all that was there", || count() == 50).await;
    assert_eq!(node.peer(0).state, PeerState::Plain);
    node.add(50..60);
    until("and what is added", || count() == 60).await;
    node.test.delete("/v1/drop/10.0.0.3/32").await.is(204);
    until("not what is deleted", || count() == 59).await;
    // Renewals are sent, too.
    let until_then = couic_firewall::rules::Clock::now(&SystemClock) + 1_000;
    let renewed =
        json!([{"action": "add", "entry": {"cidr": "10.0.0.4/32", "expiration": until_then}}]);
    node.test.post("/v1/drop/batch", &renewed).await.is(200);
    until("what is renewed", || {
        let rules = rules.lock().unwrap();
        rules.contains(&("10.0.0.4/32".to_owned(), until_then))
    })
    .await;
    assert_eq!(count(), 59);
}
