//! The daemon's ignore list, asked for each decision: what it covers as a whole need not be banned.

use std::collections::{BTreeSet, HashSet};

use couic_common::Cidr;
use ipnetwork::IpNetwork;

/// Networks, and the prefix lengths that occur.
#[derive(Debug, Default)]
pub(crate) struct Cover {
    networks: HashSet<Cidr>,
    lengths: [BTreeSet<u8>; 2],
}

impl Cover {
    pub(crate) fn of(networks: &[IpNetwork]) -> Self {
        let mut cover = Self::default();
        for network in networks {
            let cidr = Cidr::from(*network);
            cover.lengths[usize::from(cidr.is_ipv4())].insert(cidr.prefix());
            cover.networks.insert(cidr);
        }
        cover
    }

    /// Whether one of the networks covers all of `cidr`.
    pub(crate) fn covers(&self, cidr: Cidr) -> bool {
        let lengths = &self.lengths[usize::from(cidr.is_ipv4())];
        lengths.range(..=cidr.prefix()).any(|length| {
            Cidr::new(cidr.addr(), *length).is_ok_and(|wider| self.networks.contains(&wider))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_covered_by_itself_and_by_wider_ones() {
        let networks = ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"];
        let networks = networks.map(|text| text.parse().unwrap());
        let cover = Cover::of(&networks);
        let covers = |text: &str| cover.covers(text.parse().unwrap());
        for inside in [
            "10.0.0.0/8",
            "10.1.2.3/32",
            "192.0.2.7/32",
            "2001:db8::1/128",
        ] {
            assert!(covers(inside), "{inside}");
        }
        for outside in [
            "8.0.0.0/6",
            "192.0.2.0/24",
            "192.0.2.8/32",
            "2001:db9::/32",
            "::/0",
        ] {
            assert!(!covers(outside), "{outside}");
        }
        assert!(!Cover::default().covers("10.0.0.0/8".parse().unwrap()));
    }
}
