//! Sets of networks, and whose request a line is.

use std::net::IpAddr;

use ipnetwork::IpNetwork;

/// A set of networks.
#[derive(Clone, Debug, Default)]
pub struct Nets(Vec<IpNetwork>);

impl Nets {
    /// Whether a network of the set has the address.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.0.iter().any(|net| net.contains(addr))
    }

    /// Whether a network of the set and `other` have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: IpNetwork) -> bool {
        self.0
            .iter()
            .any(|net| net.contains(other.network()) || other.contains(net.network()))
    }
}

impl FromIterator<IpNetwork> for Nets {
    fn from_iter<I: IntoIterator<Item = IpNetwork>>(nets: I) -> Self {
        Self(nets.into_iter().collect())
    }
}

/// Whose request a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// An address that may be banned.
    Known(IpAddr),
    /// Only trusted hops are known: never banned.
    Proxy(IpAddr),
}
