//! Many networks as one set of addresses: lossless merge, comparison, look-up.
//!
//! Guarantees: [`Networks::merge`] changes which networks are listed, never which addresses are; what it makes is sorted,
//! disjoint, and the fewest networks there are, none of them wider than a bound. A million IPv4 networks take 8 MB.

use super::{Cidr, V4Net, V6Net};

/// Networks by address family, in any order and with overlaps until they are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Vec<V4Net>,
    v6: Vec<V6Net>,
}

/// What of some networks is not covered by others, or is covered at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Networks.
    pub networks: u64,
    /// IPv4 addresses.
    pub v4: u64,
    /// IPv6 addresses, at most `u128::MAX`.
    pub v6: u128,
}

impl Networks {
    /// Adds one.
    pub fn push(&mut self, cidr: Cidr) {
        match cidr {
            Cidr::V4(net) => self.v4.push(net),
            Cidr::V6(net) => self.v6.push(net),
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// All, IPv4 first.
    pub fn iter(&self) -> impl Iterator<Item = Cidr> {
        let v4 = self.v4.iter().copied().map(Cidr::V4);
        v4.chain(self.v6.iter().copied().map(Cidr::V6))
    }

    /// Keeps those that `keep` returns true for.
    pub fn retain(&mut self, mut keep: impl FnMut(Cidr) -> bool) {
        self.v4.retain(|net| keep(Cidr::V4(*net)));
        self.v6.retain(|net| keep(Cidr::V6(*net)));
    }

    /// Sorts them, and removes those that are there twice. Returns how many these were.
    pub fn sort(&mut self) -> usize {
        let before = self.len();
        self.v4.sort_unstable();
        self.v4.dedup();
        self.v6.sort_unstable();
        self.v6.dedup();
        before - self.len()
    }

    /// Makes them the fewest networks that hold exactly the same addresses. Neighbours are not joined to a prefix shorter
    /// than the widest of their family; a network that is wider already stays.
    pub fn merge(&mut self, widest_v4: u8, widest_v6: u8) {
        self.sort();
        merge(&mut self.v4, widest_v4);
        merge(&mut self.v6, widest_v6);
    }

    /// Of merged networks: how many, and how many addresses they cover.
    #[must_use]
    pub fn extent(&self) -> Extent {
        self.beyond(&Self::default())
    }

    /// Of merged networks: those that `other`, which is merged too, does not cover as a whole; and the addresses that it
    /// does not cover.
    #[must_use]
    pub fn beyond(&self, other: &Self) -> Extent {
        let (fours, v4) = beyond(&self.v4, &other.v4);
        let (sixes, v6) = beyond(&self.v6, &other.v6);
        Extent {
            networks: fours + sixes,
            v4: u64::try_from(v4).unwrap_or(u64::MAX),
            v6,
        }
    }

    /// Whether one of these merged networks holds all of `cidr`.
    #[must_use]
    pub fn covers(&self, cidr: Cidr) -> bool {
        match cidr {
            Cidr::V4(net) => near(&self.v4, net).is_some_and(|found| holds(found, net)),
            Cidr::V6(net) => near(&self.v6, net).is_some_and(|found| holds(found, net)),
        }
    }

    /// Whether one of these merged networks has an address of `cidr`.
    #[must_use]
    pub fn touches(&self, cidr: Cidr) -> bool {
        match cidr {
            Cidr::V4(net) => near(&self.v4, net).is_some(),
            Cidr::V6(net) => near(&self.v6, net).is_some(),
        }
    }
}

impl Extend<Cidr> for Networks {
    fn extend<I: IntoIterator<Item = Cidr>>(&mut self, all: I) {
        all.into_iter().for_each(|cidr| self.push(cidr));
    }
}

impl FromIterator<Cidr> for Networks {
    fn from_iter<I: IntoIterator<Item = Cidr>>(all: I) -> Self {
        let mut networks = Self::default();
        networks.extend(all);
        networks
    }
}

/// A prefix of either family.
trait Net: Copy {
    const BITS: u8;
    fn first(self) -> u128;
    fn length(self) -> u8;
    /// The prefix that is one bit shorter; `None` of the whole family.
    fn parent(self) -> Option<Self>;

    fn last(self) -> u128 {
        let hosts = u128::MAX.checked_shl(u32::from(Self::BITS - self.length()));
        self.first() | !hosts.unwrap_or(0)
    }
}

impl Net for V4Net {
    const BITS: u8 = 32;

    fn first(self) -> u128 {
        self.addr.into()
    }

    fn length(self) -> u8 {
        self.len
    }

    fn parent(self) -> Option<Self> {
        Self::new(self.addr, self.len.checked_sub(1)?)
    }
}

impl Net for V6Net {
    const BITS: u8 = 128;

    fn first(self) -> u128 {
        self.addr()
    }

    fn length(self) -> u8 {
        self.len
    }

    fn parent(self) -> Option<Self> {
        Self::new(self.addr(), self.len.checked_sub(1)?)
    }
}

fn holds<N: Net>(outer: N, inner: N) -> bool {
    outer.first() <= inner.first() && inner.last() <= outer.last()
}

/// In place: what is merged already never has more networks than were read.
fn merge<N: Net>(nets: &mut Vec<N>, widest: u8) {
    let mut done = 0_usize;
    for at in 0..nets.len() {
        let net = nets[at];
        // Sorted by first address, wider ones first: only the last can hold it.
        if done > 0 && holds(nets[done - 1], net) {
            continue;
        }
        nets[done] = net;
        done += 1;
        while done > 1
            && let Some(joined) = join(nets[done - 2], nets[done - 1], widest)
        {
            nets[done - 2] = joined;
            done -= 1;
        }
    }
    nets.truncate(done);
}

/// The parent of two halves.
fn join<N: Net>(left: N, right: N, widest: u8) -> Option<N> {
    if left.length() != right.length() || left.length() <= widest {
        return None;
    }
    let parent = left.parent()?;
    (parent.first() == left.first() && parent.last() == right.last()).then_some(parent)
}

/// How many of `these`, and of their addresses, `those` do not cover. Both are sorted and disjoint.
fn beyond<N: Net>(these: &[N], those: &[N]) -> (u64, u128) {
    let (mut networks, mut addresses, mut next) = (0, 0_u128, 0);
    for net in these {
        let (first, last) = (net.first(), net.last());
        while those.get(next).is_some_and(|other| other.last() < first) {
            next += 1;
        }
        let mut missing = (last - first).saturating_add(1);
        for other in &those[next..] {
            if other.first() > last {
                break;
            }
            let shared = other.last().min(last) - other.first().max(first);
            missing = missing.saturating_sub(shared.saturating_add(1));
        }
        networks += u64::from(missing > 0);
        addresses = addresses.saturating_add(missing);
    }
    (networks, addresses)
}

/// The network that shares addresses with `net`; all are sorted and disjoint.
fn near<N: Net>(nets: &[N], net: N) -> Option<N> {
    let at = nets.partition_point(|other| other.last() < net.first());
    let found = nets.get(at).copied();
    found.filter(|other| other.first() <= net.last())
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        net::{Ipv4Addr, Ipv6Addr},
    };

    use proptest::prelude::*;

    use super::*;

    fn nets(texts: &[&str]) -> Networks {
        texts.iter().map(|t| t.parse::<Cidr>().unwrap()).collect()
    }

    fn merged(texts: &[&str], widest: u8) -> Vec<String> {
        let mut all = nets(texts);
        all.merge(widest, widest);
        all.iter().map(|cidr| cidr.to_string()).collect()
    }

    #[test]
    fn halves_are_joined_and_parts_vanish() {
        let parts = ["10.0.1.0/24", "10.0.0.0/24", "10.0.0.7/32", "10.0.2.0/24"];
        assert_eq!(merged(&parts, 0), ["10.0.0.0/23", "10.0.2.0/24"]);
        let all = ["0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"];
        assert_eq!(merged(&all, 0), ["0.0.0.0/0", "::/0"]);
        assert_eq!(merged(&all, 1), all, "no wider than asked");
        let unaligned = ["10.0.1.0/24", "10.0.2.0/24"];
        assert_eq!(merged(&unaligned, 0), unaligned);
        let wide = ["0.0.0.0/4", "10.0.0.0/8"];
        assert_eq!(merged(&wide, 8), ["0.0.0.0/4"]);
        assert!(merged(&[], 0).is_empty());
    }

    #[test]
    fn what_is_beyond_is_counted() {
        let (old, new) = (
            nets(&["10.0.0.0/24", "192.0.2.0/25", "2001:db8::/127"]),
            nets(&["10.0.0.0/26", "10.0.0.64/26", "10.0.0.255/32", "::/0"]),
        );
        let lost = old.beyond(&new);
        let expected = Extent {
            networks: 2,
            v4: 127 + 128,
            v6: 0,
        };
        assert_eq!(lost, expected);
        assert_eq!(nets(&["::/0"]).extent().v6, u128::MAX);
        assert_eq!(nets(&["0.0.0.0/0"]).extent().v4, 1 << 32);
    }

    /// Last octets and lengths beyond the network of 256 addresses, so that a set of addresses can be the oracle.
    fn some() -> impl Strategy<Value = Vec<(u8, u8)>> {
        prop::collection::vec((any::<u8>(), 0_u8..=8), 0..24)
    }

    fn cidr(v4: bool, (host, len): (u8, u8)) -> Cidr {
        if v4 {
            Cidr::new(Ipv4Addr::new(203, 0, 113, host).into(), len).unwrap()
        } else {
            let base = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into());
            Cidr::new(base.into(), len).unwrap()
        }
    }

    fn addresses(v4: bool, all: &Networks) -> BTreeSet<u8> {
        let has = |host: &u8| {
            let probe = cidr(v4, (*host, if v4 { 32 } else { 128 })).addr();
            all.iter().any(|net| net.contains(probe))
        };
        (0..=255).filter(has).collect()
    }

    proptest! {
        #[test]
        fn merging_is_lossless_least_sorted_and_disjoint(
            v4 in any::<bool>(), all in some(), bound in 0_u8..=8,
        ) {
            let base = if v4 { 24 } else { 120 };
            let before: Networks = all.iter().map(|(h, l)| cidr(v4, (*h, l + base))).collect();
            let mut after = before.clone();
            after.merge(base + bound, base + bound);
            prop_assert_eq!(addresses(v4, &before), addresses(v4, &after));
            let nets: Vec<Cidr> = after.iter().collect();
            prop_assert!(nets.is_sorted());
            let total: usize = nets.iter().map(|n| 1 << (base + 8 - n.prefix())).sum();
            prop_assert_eq!(total, addresses(v4, &after).len(), "disjoint");
            let wide = nets.iter().filter(|n| n.prefix() < base + bound);
            prop_assert!(wide.clone().all(|n| before.iter().any(|given| given == *n)));
            for pair in nets.windows(2) {
                let (a, b) = (pair[0], pair[1]);
                let parent = Cidr::new(a.addr(), a.prefix().saturating_sub(1)).unwrap();
                let are_halves = a.prefix() == b.prefix() && parent.contains(b.addr());
                prop_assert!(!are_halves || a.prefix() <= base + bound, "{} {}", a, b);
            }
            let mut again = after.clone();
            again.merge(base + bound, base + bound);
            prop_assert_eq!(again, after);
        }

        #[test]
        fn comparison_and_look_up_agree_with_sets(
            v4 in any::<bool>(), one in some(), two in some(), probe in (any::<u8>(), 0_u8..=8),
        ) {
            let base = if v4 { 24 } else { 120 };
            let read = |all: &[(u8, u8)]| {
                let mut nets: Networks =
                    all.iter().map(|(h, l)| cidr(v4, (*h, l + base))).collect();
                nets.merge(base, base);
                nets
            };
            let (one, two) = (read(&one), read(&two));
            let (a, b) = (addresses(v4, &one), addresses(v4, &two));
            let lost = one.beyond(&two);
            let missing = a.difference(&b).count() as u64;
            prop_assert_eq!(if v4 { lost.v4 } else { u64::try_from(lost.v6).unwrap() }, missing);
            let whole = |net: &Cidr| addresses(v4, &[*net].into_iter().collect());
            let expected = one.iter().filter(|net| !whole(net).is_subset(&b)).count() as u64;
            prop_assert_eq!(lost.networks, expected);
            let probe = cidr(v4, (probe.0, probe.1 + base));
            prop_assert_eq!(one.covers(probe), whole(&probe).is_subset(&a));
            prop_assert_eq!(one.touches(probe), !whole(&probe).is_disjoint(&a));
        }
    }
}
