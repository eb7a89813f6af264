//! A network of nodes in one thread, in simulated time: delays, losses, partitions, restarts and wrong clocks, all from
//! one seed. It drives the `Replica` and `Link` of the library.

mod messages;
pub(crate) mod rules;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
};

use couic_common::{Policy, RuleKey};
use couic_peering::{
    Failure, Limits, Link, LinkSettings, Merge, Moment, Next, NodeId, Offer, PeerId, Replica,
};

use messages::{Message, Reply, message, size};
use rules::Written;

/// Timeout of requests.
const TIMEOUT: u64 = 2_000;

/// Start of the simulation, Unix ms.
const BEGIN: u64 = 1_800_000_000_000;

const LIFETIME: u64 = 86_400_000;

/// Registers of other nodes.
const LIMIT: usize = 10_000_000;

/// What every node accepts of every other.
fn limits() -> Limits {
    Limits {
        ignore: true,
        ends_others: true,
        ..Limits::default()
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    /// Offset of its clock ahead of the true time, ms.
    pub(crate) skew: i64,
    /// Number of restarts.
    pub(crate) epoch: u32,
    pub(crate) replica: Replica,
    /// All nodes by index, as this one knows them.
    pub(crate) peers: Vec<PeerId>,
    pub(crate) links: Vec<Peer>,
    booted: u64,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) to: usize,
    pub(crate) link: Link,
    /// Counts requests, to detect late responses.
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

/// The target of an event: a link, and the run of its node.
#[derive(Clone, Copy, Debug)]
struct Slot {
    node: usize,
    peer: usize,
    epoch: u32,
    request: u64,
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) chance: fastrand::Rng,
    pub(crate) cut: HashSet<(usize, usize)>,
    /// Percentage of lost messages.
    pub(crate) loss: u32,
    /// Maximum delay of a message, ms.
    pub(crate) delay: u64,
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) measure: bool,
    pub(crate) written: Vec<Written>,
    /// A node whose answers and requests are not what they should be.
    pub(crate) hostile: Option<usize>,
    limits: Limits,
    size: usize,
    settings: LinkSettings,
    topology: Vec<(usize, usize)>,
    events: BinaryHeap<Reverse<(u64, u64)>>,
    pending: HashMap<u64, (Slot, Event)>,
    sequence: u64,
}

impl World {
    /// Nodes whose clocks differ by up to `skew` ms. `topology` lists the peers of each node.
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
            hostile: None,
            limits: limits(),
            size: nodes,
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

    /// A mesh whose first node does what it wants, and that lets none end the rules of others.
    pub(crate) fn beside_hostile(nodes: usize, skew: i64, seed: u64) -> Self {
        let mut world = Self::new(nodes, Self::mesh(nodes), skew, seed);
        world.hostile = Some(0);
        world.limits.ends_others = false;
        (0..nodes).for_each(|node| world.restart(node));
        world
    }

    /// A full mesh.
    pub(crate) fn mesh(nodes: usize) -> Vec<(usize, usize)> {
        let all = |a| (0..nodes).filter(move |b| *b != a).map(move |b| (a, b));
        (0..nodes).flat_map(all).collect()
    }

    fn boot(&mut self, index: usize, skew: i64, epoch: u32) -> Node {
        let id = NodeId(self.chance.u64(..));
        let mut replica = Replica::new(id, LIFETIME, LIMIT);
        let known = |_| replica.introduce(&self.limits);
        let known: Vec<PeerId> = (0..self.size).map(known).collect();
        let peers = self.topology.iter().filter(|(from, _)| *from == index);
        let links = peers
            .map(|(_, to)| Peer {
                to: *to,
                link: Link::new(known[*to], self.settings.clone(), self.chance.u64(..)),
                request: 0,
                wake: 0,
            })
            .collect();
        Node {
            skew,
            epoch,
            replica,
            peers: known,
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

    /// kill -9 and a start with an empty replica.
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

    fn schedule(&mut self, at: u64, slot: Slot, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence)));
        self.pending.insert(self.sequence, (slot, event));
    }

    /// Polls a link, and performs the action.
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
                let message = message(&there.replica, moment, ask, gap);
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

    /// Advances time.
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
                let reply = self.serve((slot.node, to), message);
                return self.send(slot, (to, slot.node), Event::Answer(reply));
            }
            event => event,
        };
        let moment = self.moment(slot.node);
        let there = &mut self.nodes[slot.node];
        there.replica.bury(moment, 1_000);
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
                let from = link.peer();
                self.take(slot.node, from, outcome.policy, &outcome.theirs);
            }
            Event::Request(_) => {}
        }
        self.confirm(slot);
        self.drive(slot.node, slot.peer);
    }

    /// After a comparison, what others passed on of the peer is its own word where nothing differed.
    fn confirm(&mut self, slot: Slot) {
        let there = &mut self.nodes[slot.node];
        let link = &mut there.links[slot.peer].link;
        let Some(differs) = link.take_compared() else {
            return;
        };
        let peer = link.peer();
        if !there.replica.take_unconfirmed(peer) {
            return;
        }
        for policy in Policy::ALL {
            for id in there.replica.relayed(policy, peer, (0, u16::MAX)) {
                if !differs(policy, couic_peering::leaf_of(id.key)) {
                    there.replica.confirm(id, peer);
                }
            }
        }
    }

    /// Merges registers, and sends on what this node answered for itself.
    fn take(&mut self, node: usize, from: PeerId, policy: Policy, offers: &[Offer]) {
        let moment = self.moment(node);
        let there = &mut self.nodes[node];
        for offer in offers {
            let key = RuleKey::new(policy, offer.cidr);
            let mut told = match there.replica.merge(from, key, offer, &self.limits, moment) {
                Merge::Refuted => vec![there.replica.own_id(key)],
                _ => Vec::new(),
            };
            told.extend(there.replica.drain_ended());
            for peer in &mut there.links {
                for id in &told {
                    peer.link.changed(*id, moment);
                }
            }
        }
    }

    fn topology_of(&self, slot: Slot) -> usize {
        self.nodes[slot.node].links[slot.peer].to
    }
}
