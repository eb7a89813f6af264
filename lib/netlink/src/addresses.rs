//! The addresses of this host, by getifaddrs(3).

use std::{io, net::IpAddr};

use nix::{ifaddrs::getifaddrs, sys::socket::SockaddrStorage};

/// Every address of every interface, with the interface's name; loopback and link-local ones among them.
///
/// # Errors
/// The system's.
pub fn own_addresses() -> io::Result<Vec<(String, IpAddr)>> {
    let all = getifaddrs()?.filter_map(|interface| {
        let addr = ip(interface.address.as_ref()?)?;
        Some((interface.interface_name, addr))
    });
    Ok(all.collect())
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(v4.ip().into());
    }
    address.as_sockaddr_in6().map(|v6| v6.ip().into())
}
