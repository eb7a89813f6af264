//! The share of the address space that each policy covers, so that what amounts to the panic switch, or to pulling the
//! cable, is as loud as it.
//!
//! Counting walks over all rules, in chunks. It is repeated only so often that it takes a hundredth of a processor.

use std::time::{Duration, Instant};

use couic_common::{Cidr, Policy};
use parking_lot::Mutex;

use super::{CHUNK, Firewall, core::family};

/// IPv6 addresses that are given out: 2000::/3. IPv4 counts whole.
const GLOBAL_V6: (u128, u128) = (1 << 125, 1 << 126);

/// A share of 1.
const WHOLE: u32 = 1_000_000;

/// The share of a family's addresses that rules of a policy cover. For IPv6 of 2000::/3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressShare {
    /// The policy.
    pub policy: Policy,
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
    /// Parts of a million.
    pub millionths: u32,
}

impl AddressShare {
    /// From 0 to 1.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.millionths) / f64::from(WHOLE)
    }
}

/// The last count, when it ended, and how long it took.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<Option<(Instant, Duration, Vec<AddressShare>)>>);

/// Counts the addresses of networks that come in order.
#[derive(Clone, Copy, Debug, Default)]
struct Union {
    covered: u128,
    /// The end of the addresses that are counted.
    end: u128,
}

impl Union {
    fn add(&mut self, start: u128, end: u128) {
        let from = start.max(self.end);
        self.covered += end.saturating_sub(from);
        self.end = self.end.max(end);
    }
}

impl Firewall {
    /// The shares of both policies and families. A recent count may be repeated.
    #[must_use]
    pub fn shares(&self) -> Vec<AddressShare> {
        let mut cache = self.shares.0.lock();
        if let Some((at, took, shares)) = &*cache
            && at.elapsed() < *took * 100
        {
            return shares.clone();
        }
        let start = Instant::now();
        let shares: Vec<_> = [Policy::Drop, Policy::Ignore]
            .into_iter()
            .flat_map(|policy| self.count_shares(policy))
            .collect();
        *cache = Some((Instant::now(), start.elapsed(), shares.clone()));
        shares
    }

    fn count_shares(&self, policy: Policy) -> [AddressShare; 2] {
        let (mut v4, mut v6) = (Union::default(), Union::default());
        let mut after = None;
        loop {
            let last = self.change(|core, _| {
                let mut last = None;
                for (cidr, _) in core.table(policy).iter_after(after).take(CHUNK) {
                    count(cidr, &mut v4, &mut v6);
                    last = Some(cidr);
                }
                last
            });
            if last.is_none() {
                break;
            }
            after = last;
        }
        let of = |is_ipv4, covered: u128, whole: u128| AddressShare {
            policy,
            family: family(is_ipv4),
            millionths: u32::try_from(covered * u128::from(WHOLE) / whole).unwrap_or(WHOLE),
        };
        // Of IPv6 /64s: all addresses times a million would not fit.
        [
            of(true, v4.covered, 1 << 32),
            of(false, v6.covered >> 64, 1 << (125 - 64)),
        ]
    }
}

fn count(cidr: Cidr, v4: &mut Union, v6: &mut Union) {
    match cidr {
        Cidr::V4(net) => {
            let start = u128::from(net.addr());
            v4.add(start, start + (1 << (32 - net.len())));
        }
        Cidr::V6(net) => {
            let start = net.addr();
            // ::/0 ends behind the last number, and 2000::/3 long before.
            let size = 1_u128.checked_shl(128 - u32::from(net.len()));
            let end = size.and_then(|size| start.checked_add(size));
            let end = end.unwrap_or(u128::MAX).min(GLOBAL_V6.1);
            v6.add(start.max(GLOBAL_V6.0).min(end), end);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(networks: &[&str]) -> (u128, u128) {
        let mut sorted: Vec<Cidr> = networks.iter().map(|n| n.parse().unwrap()).collect();
        sorted.sort_unstable();
        let (mut v4, mut v6) = (Union::default(), Union::default());
        sorted
            .iter()
            .for_each(|cidr| count(*cidr, &mut v4, &mut v6));
        (v4.covered, v6.covered)
    }

    #[test]
    fn overlaps_count_once_and_only_global_ipv6() {
        assert_eq!(of(&["0.0.0.0/0", "10.0.0.0/8"]).0, 1 << 32);
        assert_eq!(of(&["0.0.0.0/1", "128.0.0.0/1"]).0, 1 << 32);
        assert_eq!(
            of(&["10.0.0.0/24", "10.0.0.0/25", "10.0.0.200/32", "10.0.1.0/32"]).0,
            257
        );
        let all = (1 << 126) - (1 << 125);
        for whole in ["::/0", "2000::/3", "::/1", "::/2"] {
            assert_eq!(of(&[whole, "2001:db8::/32"]).1, all, "{whole}");
        }
        assert_eq!(
            of(&["fe80::/10", "fc00::/7", "::/3", "4000::/2", "::1/128"]).1,
            0
        );
        assert_eq!(of(&["2001:db8::/64", "2001:db8::1/128"]).1, 1 << 64);
    }

    proptest! {
        #[test]
        fn agrees_with_counting_every_address(
            networks in prop::collection::vec((any::<u8>(), 24_u8..=32), 0..20),
        ) {
            let networks: Vec<String> =
                networks.iter().map(|(last, len)| format!("10.0.0.{last}/{len}")).collect();
            let texts: Vec<&str> = networks.iter().map(String::as_str).collect();
            let cidrs: Vec<Cidr> = texts.iter().map(|t| t.parse().unwrap()).collect();
            let is_covered = |last: u8| {
                let ip = std::net::Ipv4Addr::new(10, 0, 0, last).into();
                cidrs.iter().any(|cidr| cidr.contains(ip))
            };
            let expected = (0..=255).filter(|last| is_covered(*last)).count() as u128;
            prop_assert_eq!(of(&texts).0, expected);
        }
    }
}
