//! Which addresses this host needs: its own, and its default gateways.

use std::{io, net::IpAddr};

use nix::{ifaddrs::getifaddrs, sys::socket::SockaddrStorage};

use super::routes;

/// An address that must stay reachable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddress {
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

/// Asks the kernel: `getifaddrs(3)` and a dump of the routes, those of all tables. Loopback counts: who drops
/// `127.0.0.0/8` has mistyped something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Kernel;

impl HostSource for Kernel {
    fn addresses(&self) -> io::Result<Vec<HostAddress>> {
        let mut found = own_addresses()?;
        let gateways = routes::default_gateways()?;
        found.extend(gateways.into_iter().map(|addr| HostAddress {
            addr,
            role: "a default gateway of this host".to_owned(),
        }));
        Ok(found)
    }
}

fn own_addresses() -> io::Result<Vec<HostAddress>> {
    Ok(getifaddrs()?
        .filter_map(|interface| {
            let addr = ip(interface.address.as_ref()?)?;
            let role = format!("an address of this host ({})", interface.interface_name);
            Some(HostAddress { addr, role })
        })
        .collect())
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(v4.ip().into());
    }
    address.as_sockaddr_in6().map(|v6| v6.ip().into())
}
