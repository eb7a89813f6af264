//! Which addresses this host needs: its own, its default gateways, and those that protocols need.

use std::{io, net::IpAddr};

use couic_common::Rail;
use couic_netlink::default_gateways;

/// An address that must stay reachable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// The guard rail that it belongs to.
    pub rail: Rail,
    /// The address.
    pub addr: IpAddr,
    /// Its role on this host, as a message says it.
    pub role: String,
}

/// The source of a guard's addresses. Tests bring their own.
pub trait HostSource: Send + Sync {
    /// The addresses at this moment.
    ///
    /// # Errors
    /// The system's error. The guard then lets nothing pass.
    fn addresses(&self) -> io::Result<Vec<HostAddress>>;
}

/// Sources that protocols use. Multicast groups are none.
const SPECIAL: [(&str, &str); 5] = [
    ("0.0.0.0", "from which DHCP clients ask"),
    ("255.255.255.255", "the broadcast address"),
    ("::", "which IPv6 neighbour discovery needs"),
    ("fe80::", "the network in which IPv6 neighbours are found"),
    ("169.254.169.254", "the metadata service of clouds"),
];

/// Asks the kernel: `getifaddrs(3)` and a dump of the routes, those of all tables. Loopback counts as special.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

impl HostSource for Kernel {
    fn addresses(&self) -> io::Result<Vec<HostAddress>> {
        let mut found = own_addresses()?;
        let gateways = default_gateways()?;
        found.extend(gateways.into_iter().map(|addr| HostAddress {
            rail: Rail::Gateway,
            addr,
            role: "a default gateway of this host".to_owned(),
        }));
        let special = SPECIAL.iter().filter_map(|(addr, role)| {
            Some(HostAddress {
                rail: Rail::Special,
                addr: addr.parse().ok()?,
                role: (*role).to_owned(),
            })
        });
        found.extend(special);
        Ok(found)
    }
}

fn own_addresses() -> io::Result<Vec<HostAddress>> {
    let all = couic_netlink::own_addresses()?.into_iter();
    Ok(all
        .map(|(interface, addr)| {
            let role = format!("an address of this host ({interface})");
            let rail = if addr.is_loopback() {
                Rail::Special
            } else {
                Rail::Host
            };
            HostAddress { rail, addr, role }
        })
        .collect())
}
