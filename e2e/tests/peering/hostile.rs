//! Four honest daemons, and a fifth machine whose token is a hostile's: with a clock ahead, two contents under one stamp,
//! writes in the names of others, floods, and answers that do not fit. Meanwhile the network fails, and daemons are killed.
//! The honest ones converge and hold what their clients want, and one command on each removes all that came from it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::{Duration, Instant},
};

use couic_e2e::{Mesh, token, unix_now, until};
use serde_json::{Value, json};

use crate::{
    LONG,
    chaos::{Chaos, duration},
    peers, rules,
};

const NODES: usize = 5;
const HOSTILE: usize = 4;

/// The machine number of the hostile, and one of nobody.
const ITS: &str = "000000ee00000001";
const NOBODYS: &str = "000000ff00000001";

/// 59 minutes: as far ahead as is accepted, even in one second from now.
const AHEAD: u64 = 59 * 60_000;

/// Set once the hostile answers nothing any more.
static IS_SILENT: AtomicBool = AtomicBool::new(false);

fn now_ms() -> u64 {
    (unix_now() * 1_000.0) as u64
}

fn face(node: &str, ahead: u64) -> Value {
    json!({"node": node, "wall": now_ms() + ahead, "protocol": 2})
}

/// Digests of the wrong number, pages without end, and nothing that was asked for.
fn answer(stream: &TcpStream) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut length, mut line, mut path) = (0, String::new(), String::new());
        loop {
            line.clear();
            let read = reader.read_line(&mut line).unwrap_or(0);
            if read == 0 || IS_SILENT.load(Relaxed) {
                return;
            }
            let lower = line.to_ascii_lowercase();
            if path.is_empty() {
                path.clone_from(&lower);
            } else if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            } else if line.trim().is_empty() {
                break;
            }
        }
        let _ = reader.by_ref().take(length).read_to_end(&mut Vec::new());
        let from = face(ITS, AHEAD);
        let body = if path.contains("/pull") {
            let last = json!({"leaf": 7, "cidr": "10.0.0.1/32", "author": 1});
            json!({"from": from, "records": [], "last": last})
        } else if path.contains("/digest") {
            let digests = vec![1; fastrand::usize(..3)];
            json!({"from": from, "accepts": true, "records": 1, "digests": digests})
        } else {
            json!({"from": from, "taken": u64::MAX, "wait_ms": u64::MAX, "refused": 9})
        };
        let body = body.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = stream;
        if stream.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

/// The hostile's hand: what it sends to whom.
struct Hostile {
    sent: u32,
}

impl Hostile {
    fn push(&mut self, chaos: &Chaos<'_, '_>, to: usize, records: &[Value]) {
        let api = chaos.daemons[to].api_as(&token(HOSTILE, to));
        let body = json!({"from": face(ITS, AHEAD), "gap": 0, "records": records});
        let reply = api.request("POST", "/v1/drop/push", Some(&body.to_string()));
        assert_eq!(reply.status, 200, "{reply:?}");
        self.sent += records.len() as u32;
    }

    fn act(&mut self, chaos: &mut Chaos<'_, '_>) {
        let honest = chaos.daemons.len();
        let (to, other) = (chaos.chance.usize(..honest), chaos.chance.usize(..honest));
        let n = chaos.chance.u32(..500);
        let cidr = format!("10.0.{}.{}/32", n >> 8, n & 255);
        let time = (now_ms() + chaos.chance.u64(..AHEAD)) << 16;
        let says = |node: &str, live: bool| {
            if live {
                json!({"cidr": cidr, "time": time, "node": node, "until": 0})
            } else {
                json!({"cidr": cidr, "time": time, "node": node, "revokes": time})
            }
        };
        let live = chaos.chance.bool();
        match chaos.chance.u32(..6) {
            0 => {
                self.push(chaos, to, &[says(ITS, live)]);
                self.push(chaos, other, &[says(ITS, !live)]);
            }
            1 => self.push(chaos, to, &[says(NOBODYS, live)]),
            2 => {
                // In the name of another, as its answers tell it.
                let api = chaos.daemons[to].api_as(&token(HOSTILE, to));
                let body = json!({"from": face(ITS, AHEAD), "of": "root"});
                let reply = api
                    .request("POST", "/v1/drop/digest", Some(&body.to_string()))
                    .json();
                let node = reply["from"]["node"].as_str().unwrap().to_owned();
                self.push(chaos, other, &[says(&node, live)]);
            }
            kind => {
                let first = chaos.chance.u32(..0x10_0000);
                let flood = (0..500).map(|n| {
                    let addr = std::net::Ipv4Addr::from_bits(0xac10_0000 + first + n);
                    let mut one = json!({"cidr": format!("{addr}/32"), "time": time, "node": ITS});
                    if kind == 3 {
                        one["until"] = json!(0);
                    }
                    one
                });
                self.push(chaos, to, &flood.collect::<Vec<_>>());
            }
        }
    }
}

#[test]
fn honest_nodes_converge_beside_a_hostile_one() {
    let Some(labs) = Mesh::labs(NODES) else {
        return;
    };
    let mesh = Mesh::join(&labs);
    mesh.pretend(HOSTILE, answer);
    let mut chaos = Chaos::new(&mesh, NODES - 1, false);
    let mut hostile = Hostile { sent: 0 };
    let start = Instant::now();
    while start.elapsed() < duration() {
        chaos.act();
        if chaos.chance.u8(..4) == 0 {
            hostile.act(&mut chaos);
        }
        thread::sleep(Duration::from_millis(chaos.chance.u64(..30)));
    }
    println!("{} registers of the hostile", hostile.sent);
    mesh.heal();
    until("its answers are called wrong", LONG, || {
        let its = |peer: &Value| peer["name"] == "n4" && peer["state"] == "failing";
        let mut all = chaos.daemons.iter();
        all.all(|daemon| peers(daemon).iter().any(its))
            .then_some(())
    });
    IS_SILENT.store(true, Relaxed);
    for daemon in &chaos.daemons {
        daemon.ctl_ok(&["peers", "forget", "n4"]);
    }
    until("nothing of it is left", LONG, || {
        let mut all = chaos.daemons.iter().flat_map(rules);
        (!all.any(|(cidr, ..)| cidr.starts_with("172."))).then_some(())
    });
    chaos.lists_are_equal();
    chaos.check();
}
