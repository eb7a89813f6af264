//! A network of nodes in one thread and without real time: delays, losses, partitions, restarts and wrong clocks, all
//! from one seed. It drives the library's own `Replica` and `Link`.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap, HashSet},
    net::Ipv4Addr,
};

use couic_common::{Cidr, Policy, RuleKey, Tag};
use couic_peering::{
    Ask, DigestAnswer, DigestRequest, Face, Failure, Link, LinkSettings, Moment, NEVER, Next,
    NodeId, PullAnswer, PullRequest, PushAnswer, PushRequest, RegisterState, Replica, Stamp,
    WireRecord,
};

/// A request that was not answered by then has failed.
const TIMEOUT: u64 = 2_000;

/// When the simulation begins, Unix ms.
const BEGIN: u64 = 1_800_000_000_000;

const LIFETIME: u64 = 86_400_000;

#[derive(Debug)]
pub(crate) struct Node {
    /// By how much its clock is ahead of the true time, ms.
    pub(crate) skew: i64,
    /// How often it was restarted.
    pub(crate) epoch: u32,
    pub(crate) replica: Replica<()>,
    pub(crate) links: Vec<Peer>,
    booted: u64,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) to: usize,
    pub(crate) link: Link,
    /// Counts requests, so that late answers are told apart.
    request: u64,
    wake: u64,
}

#[derive(Debug)]
enum Event {
    Wake,
    Request(Message),
    Answer(Reply),
    Failure(Failure),
}

/// Who an event is for: a link, in the life in which it asked.
#[derive(Clone, Copy, Debug)]
struct Slot {
    node: usize,
    peer: usize,
    epoch: u32,
    request: u64,
}

#[derive(Debug)]
enum Message {
    Digest(Policy, DigestRequest),
    Pull(Policy, PullRequest),
    Push(Policy, PushRequest),
}

#[derive(Debug)]
enum Reply {
    Digest(DigestAnswer),
    Pull(PullAnswer),
    Push(PushAnswer),
}

/// The rules in force on a node: stamp, tag, and when each ends in true time.
pub(crate) type Rules = BTreeMap<RuleKey, (Stamp, Option<Tag>, u64)>;

/// A write, as the one who looks at it from outside remembers it.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) key: RuleKey,
    pub(crate) stamp: Stamp,
    pub(crate) deleted: bool,
    /// When the rule ends in true time.
    pub(crate) until: u64,
    pub(crate) node: usize,
    pub(crate) epoch: u32,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) chance: fastrand::Rng,
    pub(crate) cut: HashSet<(usize, usize)>,
    /// How many of a hundred messages are lost.
    pub(crate) loss: u32,
    /// The longest delay of a message, ms.
    pub(crate) delay: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) measure: bool,
    pub(crate) written: Vec<Written>,
    settings: LinkSettings,
    topology: Vec<(usize, usize)>,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    pending: HashMap<u64, (Slot, Event)>,
    sequence: u64,
}

impl World {
    /// Nodes whose clocks differ by up to `skew` ms, connected as `topology` says: who lists whom.
    pub(crate) fn new(nodes: usize, topology: Vec<(usize, usize)>, skew: i64, seed: u64) -> Self {
        let mut world = Self {
            now: BEGIN,
            nodes: Vec::new(),
            chance: fastrand::Rng::with_seed(seed),
            cut: HashSet::new(),
            loss: 0,
            delay: 20,
            messages: 0,
            bytes: 0,
            measure: false,
            written: Vec::new(),
            settings: LinkSettings {
                policies: vec![Policy::Drop, Policy::Ignore],
                ..LinkSettings::default()
            },
            topology,
            events: BinaryHeap::new(),
            pending: HashMap::new(),
            sequence: 0,
        };
        for index in 0..nodes {
            let skew = world.chance.i64(-skew..=skew);
            let node = world.boot(index, skew, 0);
            world.nodes.push(node);
        }
        for index in 0..nodes {
            world.wake_all(index);
        }
        world
    }

    /// Everybody lists everybody.
    pub(crate) fn mesh(nodes: usize) -> Vec<(usize, usize)> {
        let all = |a| (0..nodes).filter(move |b| *b != a).map(move |b| (a, b));
        (0..nodes).flat_map(all).collect()
    }

    fn boot(&mut self, index: usize, skew: i64, epoch: u32) -> Node {
        let id = NodeId(self.chance.u64(..));
        let moment = Moment {
            wall: self.now.saturating_add_signed(skew),
            mono: 0,
        };
        let peers = self.topology.iter().filter(|(from, _)| *from == index);
        let links = peers
            .map(|(_, to)| Peer {
                to: *to,
                link: Link::new(self.settings.clone(), self.chance.u64(..)),
                request: 0,
                wake: 0,
            })
            .collect();
        Node {
            skew,
            epoch,
            replica: Replica::new(id, moment, LIFETIME, 10_000_000),
            links,
            booted: self.now,
        }
    }

    pub(crate) fn moment(&self, node: usize) -> Moment {
        let Node { skew, booted, .. } = &self.nodes[node];
        Moment {
            wall: self.now.saturating_add_signed(*skew),
            mono: self.now - booted,
        }
    }

    /// kill -9 and a start with nothing.
    pub(crate) fn restart(&mut self, node: usize) {
        let (skew, epoch) = (self.nodes[node].skew, self.nodes[node].epoch + 1);
        self.nodes[node] = self.boot(node, skew, epoch);
        self.wake_all(node);
    }

    fn wake_all(&mut self, node: usize) {
        for peer in 0..self.nodes[node].links.len() {
            self.drive(node, peer);
        }
    }

    /// A rule is added or renewed; `lasts` in ms, None = for ever.
    pub(crate) fn add(&mut self, node: usize, policy: Policy, n: u32, lasts: Option<u64>) {
        let tag = Tag::parse(["", "a", "b"][self.chance.usize(..3)]).unwrap();
        let moment = self.moment(node);
        let until = lasts.map_or(NEVER, |ms| moment.wall + ms);
        let true_until = lasts.map_or(NEVER, |ms| self.now + ms);
        self.write(
            node,
            policy,
            n,
            RegisterState::Live { tag, until },
            true_until,
        );
    }

    /// A rule is deleted, where there is one.
    pub(crate) fn delete(&mut self, node: usize, policy: Policy, n: u32) -> bool {
        let moment = self.moment(node);
        let slot = self.nodes[node].replica.get(RuleKey::new(policy, cidr(n)));
        let live = slot.is_some_and(|slot| slot.record.is_live(moment.wall));
        if live {
            self.write(node, policy, n, RegisterState::Deleted, 0);
        }
        live
    }

    fn write(&mut self, node: usize, policy: Policy, n: u32, state: RegisterState, until: u64) {
        let (moment, deleted) = (self.moment(node), state == RegisterState::Deleted);
        let key = RuleKey::new(policy, cidr(n));
        let there = &mut self.nodes[node];
        there.replica.write(key, state, (), moment);
        let stamp = there.replica.get(key).unwrap().record.stamp;
        for peer in &mut there.links {
            peer.link.changed(key, moment);
        }
        let epoch = there.epoch;
        self.written.push(Written {
            key,
            stamp,
            deleted,
            until,
            node,
            epoch,
        });
        self.wake_all(node);
    }

    fn schedule(&mut self, at: u64, slot: Slot, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence)));
        self.pending.insert(self.sequence, (slot, event));
    }

    /// Asks a link what to do, and does it.
    fn drive(&mut self, node: usize, peer: usize) {
        let moment = self.moment(node);
        let there = &mut self.nodes[node];
        let Peer {
            link,
            request,
            wake,
            to,
        } = &mut there.links[peer];
        // One request at a time.
        if *request % 2 == 1 {
            return;
        }
        let slot = Slot {
            node,
            peer,
            epoch: there.epoch,
            request: *request + 1,
        };
        match link.poll(&there.replica, moment, |_| true) {
            Next::Wait(until) => {
                let at = (there.booted + until).max(self.now + 1);
                if *wake <= self.now || at < *wake {
                    *wake = at;
                    self.schedule(at, slot, Event::Wake);
                }
            }
            Next::Ask(ask) => {
                *request += 1;
                let (to, gap) = (*to, link.gap());
                let message = message(&mut there.replica, moment, ask, gap);
                self.send(slot, (node, to), Event::Request(message));
                self.schedule(
                    self.now + TIMEOUT,
                    slot,
                    Event::Failure(Failure::Other("timeout".to_owned())),
                );
            }
        }
    }

    fn send(&mut self, slot: Slot, (from, to): (usize, usize), event: Event) {
        self.messages += 1;
        if self.measure {
            self.bytes += size(&event) as u64;
        }
        let (a, b) = (from.min(to), from.max(to));
        if self.cut.contains(&(a, b)) || self.chance.u32(..100) < self.loss {
            return;
        }
        let at = self.now + self.chance.u64(1..=self.delay);
        self.schedule(at, slot, event);
    }

    /// Lets time pass.
    pub(crate) fn run_until(&mut self, end: u64) {
        while let Some(Reverse((at, sequence))) = self.events.peek().copied() {
            if at > end {
                break;
            }
            self.events.pop();
            self.now = self.now.max(at);
            let (slot, event) = self.pending.remove(&sequence).unwrap();
            self.happen(slot, event);
        }
        self.now = end;
    }

    fn happen(&mut self, slot: Slot, event: Event) {
        let to = self.topology_of(slot);
        let event = match event {
            Event::Request(message) => {
                let reply = self.serve(to, message);
                return self.send(slot, (to, slot.node), Event::Answer(reply));
            }
            event => event,
        };
        let moment = self.moment(slot.node);
        let there = &mut self.nodes[slot.node];
        let wall = moment.wall;
        there.replica.bury(wall, 1_000);
        if there.epoch != slot.epoch {
            return;
        }
        let peer = &mut there.links[slot.peer];
        let link = &mut peer.link;
        if !matches!(event, Event::Wake) {
            if peer.request != slot.request {
                return;
            }
            peer.request += 1;
        }
        match event {
            Event::Wake => peer.wake = 0,
            Event::Failure(failure) => link.failed(failure, moment),
            Event::Answer(Reply::Digest(answer)) => {
                link.digests(&mut there.replica, &answer, moment);
            }
            Event::Answer(Reply::Push(answer)) => {
                link.pushed(&mut there.replica, &answer, moment);
            }
            Event::Answer(Reply::Pull(answer)) => {
                let outcome = link.pulled(&mut there.replica, &answer, moment);
                for (cidr, record) in outcome.theirs {
                    there
                        .replica
                        .merge(RuleKey::new(outcome.policy, cidr), record, (), moment);
                }
            }
            Event::Request(_) => {}
        }
        self.drive(slot.node, slot.peer);
    }

    fn topology_of(&self, slot: Slot) -> usize {
        self.nodes[slot.node].links[slot.peer].to
    }

    fn serve(&mut self, node: usize, message: Message) -> Reply {
        let moment = self.moment(node);
        let replica = &mut self.nodes[node].replica;
        replica.bury(moment.wall, 1_000);
        match message {
            Message::Digest(policy, request) => {
                let _ = replica.hlc().observe(request.from.clock, moment);
                Reply::Digest(DigestAnswer::of(replica, policy, &request.of, moment))
            }
            Message::Pull(policy, request) => Reply::Pull(PullAnswer::of(
                replica,
                policy,
                &request.leaves,
                moment,
                |_| true,
            )),
            Message::Push(policy, request) => {
                for record in &request.records {
                    let (cidr, record) = record.read(request.gap).unwrap();
                    replica.merge(RuleKey::new(policy, cidr), record, (), moment);
                }
                let answer = PushAnswer {
                    from: Face::of(replica, moment),
                    taken: request.records.len() as u64,
                    wait_ms: 0,
                    refused: 0,
                    problem: None,
                };
                Reply::Push(answer)
            }
        }
    }

    /// Whether all nodes hold the same registers.
    pub(crate) fn is_equal(&self) -> bool {
        let roots = |node: &Node| Policy::ALL.map(|p| node.replica.tree(p).root());
        let first = roots(&self.nodes[0]);
        self.nodes.iter().all(|node| roots(node) == first)
    }

    /// The rules in force on a node: stamp, tag, and when it ends in true time.
    pub(crate) fn live(&self, node: usize) -> Rules {
        let moment = self.moment(node);
        let there = &self.nodes[node];
        let mut all = BTreeMap::new();
        for policy in Policy::ALL {
            for (_, cidr, slot) in there.replica.in_leaves(policy, (0, u16::MAX)) {
                if let RegisterState::Live { tag, until } = &slot.record.state
                    && slot.record.is_live(moment.wall)
                {
                    let until = match *until {
                        NEVER => NEVER,
                        until => until.saturating_add_signed(-there.skew),
                    };
                    all.insert(
                        RuleKey::new(policy, cidr),
                        (slot.record.stamp, tag.clone(), until),
                    );
                }
            }
        }
        all
    }
}

fn message(replica: &mut Replica<()>, moment: Moment, ask: Ask, gap: i64) -> Message {
    let from = Face::of(replica, moment);
    match ask {
        Ask::Digest(policy, of) => Message::Digest(policy, DigestRequest { from, of }),
        Ask::Pull(policy, leaves) => Message::Pull(policy, PullRequest { from, leaves }),
        Ask::Push(policy, cidrs) => {
            let slots = cidrs
                .iter()
                .filter_map(|cidr| Some((*cidr, replica.get(RuleKey::new(policy, *cidr))?)));
            let records = slots
                .map(|(cidr, slot)| WireRecord::new(cidr, &slot.record))
                .collect();
            Message::Push(policy, PushRequest { from, gap, records })
        }
        Ask::Plain(_) => unreachable!("no node of the simulation is a plain one"),
    }
}

fn size(event: &Event) -> usize {
    let text = match event {
        Event::Request(Message::Digest(_, body)) => serde_json::to_string(body),
        Event::Request(Message::Pull(_, body)) => serde_json::to_string(body),
        Event::Request(Message::Push(_, body)) => serde_json::to_string(body),
        Event::Answer(Reply::Digest(body)) => serde_json::to_string(body),
        Event::Answer(Reply::Pull(body)) => serde_json::to_string(body),
        Event::Answer(Reply::Push(body)) => serde_json::to_string(body),
        Event::Wake | Event::Failure(_) => return 0,
    };
    text.unwrap().len()
}

pub(crate) fn cidr(n: u32) -> Cidr {
    Cidr::host(Ipv4Addr::from_bits(0x0a00_0000 + n).into())
}
