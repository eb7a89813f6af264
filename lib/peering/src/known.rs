//! What a node knows of its peers: which machines they are, when they were last heard, and their shares of the
//! registers.
//!
//! A machine's number belongs to the peer whose token presented it first. So a peer that writes in the name of another
//! gains nothing: its forgery counts as its own.

use std::collections::VecDeque;

use couic_common::{Cidr, Policy};

use crate::{Limits, Moment, NodeId, Record, Tokens};

/// A peer, by its place in the list of those that a node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(u16);

impl PeerId {
    /// This node itself.
    pub const SELF: Self = Self(u16::MAX);

    /// The place in the list, in the order of [`crate::Replica::introduce`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Numbers per peer: a machine that was installed anew has another one.
const NUMBERS: usize = 8;

/// Time for which a machine that was heard speaks for itself, in milliseconds: what others say in its name does not
/// replace its own word.
const HEARD: u64 = 60_000;

/// Numbers of forgotten peers.
const FORGOTTEN: usize = 64;

/// How many forgeries in this node's own name are answered for each peer, per second.
const REFUTATIONS: u32 = 1_000;

/// The registers of a peer: its own, or those of others that it passed on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Registers.
    pub registers: usize,
    /// Those of them that are tombstones.
    pub tombstones: usize,
    /// Addresses that its drops cover, by IPv4 and IPv6.
    pub addresses: [u128; 2],
    /// Registers refused for want of room since the start.
    pub refused: u64,
}

#[derive(Debug)]
struct Known {
    numbers: Vec<u32>,
    /// The number as which it spoke last, and when. The machines of its other numbers are no more: what is said of them is
    /// passed on, by this peer as by any other.
    heard: Option<(u32, u64)>,
    ends_others: bool,
    /// Whether registers of its numbers may be here that others passed on.
    unconfirmed: bool,
    /// Its own registers, and those of others.
    shares: [Share; 2],
    refutations: Tokens,
}

/// Who says something, as judged by the machine that it is said of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// The machine itself.
    Direct,
    /// Another peer, while the machine has not been heard.
    Relayed,
    /// Another peer, while the machine speaks for itself.
    Hearsay,
}

/// The peers of a node.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    known: Vec<Known>,
    /// Numbers of peers that were forgotten, and have not spoken since: the last ones.
    forgotten: VecDeque<u32>,
}

impl Peers {
    pub(crate) fn introduce(&mut self, limits: &Limits) -> PeerId {
        self.known.push(Known {
            numbers: Vec::new(),
            heard: None,
            ends_others: limits.ends_others,
            unconfirmed: false,
            shares: Default::default(),
            refutations: Tokens::new(REFUTATIONS, 0),
        });
        PeerId(u16::try_from(self.known.len() - 1).unwrap_or(u16::MAX - 1))
    }

    /// Whether this node may know more peers: names are those of clients, which an admin makes.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Notes that a peer spoke as this node. False if the number belongs to another peer.
    pub(crate) fn heard(&mut self, peer: PeerId, node: NodeId, now: Moment) -> bool {
        if !self.bind(peer, node.machine()) {
            return false;
        }
        if let Some(known) = self.known.get_mut(peer.index()) {
            known.heard = Some((node.machine(), now.mono));
        }
        true
    }

    /// Whether the number belongs to this peer now.
    pub(crate) fn bind(&mut self, peer: PeerId, machine: u32) -> bool {
        if let Some(owner) = self.owner(machine) {
            return owner == peer;
        }
        self.forgotten.retain(|number| *number != machine);
        if let Some(known) = self.known.get_mut(peer.index()) {
            if known.numbers.len() == NUMBERS {
                known.numbers.remove(0);
            }
            known.numbers.push(machine);
            known.unconfirmed = true;
        }
        true
    }

    pub(crate) fn owner(&self, machine: u32) -> Option<PeerId> {
        let at = self
            .known
            .iter()
            .position(|k| k.numbers.contains(&machine))?;
        u16::try_from(at).ok().map(PeerId)
    }

    /// A peer is about to be forgotten: from now on, what others pass on of it is not in force.
    pub(crate) fn distrust(&mut self, peer: PeerId) {
        let known = self.known.get(peer.index());
        let numbers = known.map(|known| known.numbers.clone());
        for number in numbers.unwrap_or_default() {
            if !self.forgotten.contains(&number) {
                self.forgotten.push_back(number);
            }
        }
        let excess = self.forgotten.len().saturating_sub(FORGOTTEN);
        self.forgotten.drain(..excess);
    }

    /// The numbers of a peer that is forgotten are free again.
    pub(crate) fn unbind(&mut self, peer: PeerId) {
        self.distrust(peer);
        if let Some(known) = self.known.get_mut(peer.index()) {
            known.numbers.clear();
            known.heard = None;
        }
    }

    pub(crate) fn is_forgotten(&self, machine: u32) -> bool {
        self.forgotten.contains(&machine)
    }

    pub(crate) fn voice(&self, peer: PeerId, author: u32, now: Moment) -> Voice {
        if self.speaks_as(peer, author) {
            return Voice::Direct;
        }
        let mut heard = self.known.iter().filter_map(|known| known.heard);
        let heard = heard.find(|(machine, _)| *machine == author);
        if heard.is_some_and(|(_, at)| now.mono.saturating_sub(at) < HEARD) {
            Voice::Hearsay
        } else {
            Voice::Relayed
        }
    }

    /// Whether a machine is what this peer is now.
    pub(crate) fn speaks_as(&self, peer: PeerId, machine: u32) -> bool {
        let known = self.known.get(peer.index());
        known.is_some_and(|known| known.heard.is_some_and(|heard| heard.0 == machine))
    }

    /// Notes that something of this machine was passed on by another.
    pub(crate) fn passed_on(&mut self, machine: u32) {
        let owner = self.owner(machine);
        if let Some(known) = owner.and_then(|owner| self.known.get_mut(owner.index())) {
            known.unconfirmed = true;
        }
    }

    /// Whether something was, since this was last asked.
    pub(crate) fn take_unconfirmed(&mut self, peer: PeerId) -> bool {
        let known = self.known.get_mut(peer.index());
        known.is_some_and(|known| std::mem::take(&mut known.unconfirmed))
    }

    pub(crate) fn is_of(&self, peer: PeerId, machine: u32) -> bool {
        let known = self.known.get(peer.index());
        known.is_some_and(|known| known.numbers.contains(&machine))
    }

    pub(crate) fn ends_others(&self, peer: PeerId) -> bool {
        let known = self.known.get(peer.index());
        known.is_some_and(|known| known.ends_others)
    }

    pub(crate) fn may_refute(&mut self, peer: PeerId, now: Moment) -> bool {
        let known = self.known.get_mut(peer.index());
        known.is_some_and(|known| known.refutations.acquire(1, now.mono).0 == 1)
    }

    pub(crate) fn share(&self, peer: PeerId, direct: bool) -> Share {
        let known = self.known.get(peer.index());
        known.map_or_else(Share::default, |known| known.shares[usize::from(!direct)])
    }

    pub(crate) fn share_mut(&mut self, peer: PeerId, direct: bool) -> Option<&mut Share> {
        let known = self.known.get_mut(peer.index());
        known.map(|known| &mut known.shares[usize::from(!direct)])
    }

    /// All registers that came from peers.
    pub(crate) fn total(&self) -> usize {
        let shares = self.known.iter().flat_map(|known| &known.shares);
        shares.map(|share| share.registers).sum()
    }
}

impl Share {
    /// Counts a register in (1) or out (-1).
    pub(crate) fn count(&mut self, policy: Policy, cidr: Cidr, record: &Record, is_in: bool) {
        let step = |n: &mut usize| {
            *n = if is_in { *n + 1 } else { n.saturating_sub(1) };
        };
        step(&mut self.registers);
        if !record.is_rule() {
            step(&mut self.tombstones);
        } else if policy == Policy::Drop {
            let addresses = &mut self.addresses[usize::from(!cidr.is_ipv4())];
            *addresses = if is_in {
                addresses.saturating_add(addresses_of(cidr))
            } else {
                addresses.saturating_sub(addresses_of(cidr))
            };
        }
    }
}

/// How many addresses a network has.
#[must_use]
pub fn addresses_of(cidr: Cidr) -> u128 {
    let bits = if cidr.is_ipv4() { 32 } else { 128 };
    1_u128
        .checked_shl(bits - u32::from(cidr.prefix()))
        .unwrap_or(u128::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(mono: u64) -> Moment {
        Moment { wall: 0, mono }
    }

    #[test]
    fn a_machine_speaks_for_itself_while_it_is_heard() {
        let mut peers = Peers::default();
        let [a, evil] = [(); 2].map(|()| peers.introduce(&Limits::default()));
        let node = NodeId::started(7, 1);
        assert_eq!(peers.voice(evil, 7, at(0)), Voice::Relayed, "unknown");
        assert!(peers.heard(a, node, at(0)));
        assert!(!peers.heard(evil, node, at(5)), "it is another's");
        assert_eq!(peers.voice(a, 7, at(9)), Voice::Direct);
        assert_eq!(peers.voice(evil, 7, at(9)), Voice::Hearsay);
        assert_eq!(peers.voice(evil, 7, at(HEARD)), Voice::Relayed);
    }

    #[test]
    fn what_a_machine_was_before_it_was_installed_anew_is_passed_on_by_all() {
        let mut peers = Peers::default();
        let [a, b] = [(); 2].map(|()| peers.introduce(&Limits::default()));
        assert!(peers.heard(a, NodeId::started(7, 1), at(0)));
        assert!(peers.heard(a, NodeId::started(8, 1), at(1)));
        assert_eq!(peers.voice(a, 8, at(1)), Voice::Direct);
        assert_eq!(peers.voice(b, 8, at(1)), Voice::Hearsay);
        for peer in [a, b] {
            assert_eq!(peers.voice(peer, 7, at(1)), Voice::Relayed);
        }
        assert_eq!(peers.owner(7), Some(a));
    }

    #[test]
    fn a_peer_has_few_numbers_and_the_last_ones_count() {
        let mut peers = Peers::default();
        let a = peers.introduce(&Limits::default());
        for n in 0..20 {
            assert!(peers.bind(a, n));
        }
        assert_eq!(peers.owner(19), Some(a));
        assert_eq!(peers.owner(3), None);
    }

    #[test]
    fn networks_are_counted_in_addresses() {
        let of = |text: &str| addresses_of(text.parse().unwrap());
        assert_eq!(of("10.0.0.0/8"), 1 << 24);
        assert_eq!(of("10.0.0.1/32"), 1);
        assert_eq!(of("2001:db8::/32"), 1 << 96);
        assert_eq!(of("::/0"), u128::MAX);
    }
}
