//! The system's resolver: hosts file, DNS, whatever nsswitch.conf says.

use std::net::{IpAddr, SocketAddr};

use dns_lookup::{AddrInfoHints, LookupError, LookupErrorKind, getaddrinfo, getnameinfo};

/// The resolver has no answer: that says nothing about the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoAnswer;

/// Looks names and addresses up. It may block for as long as it likes.
pub(crate) trait LookUp: Send + Sync + 'static {
    /// The name of an address; None if it has none.
    fn name(&self, addr: IpAddr) -> Result<Option<String>, NoAnswer>;

    /// The addresses of a name; none if there is no such name.
    fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NoAnswer>;
}

/// The system's.
pub(crate) struct System;

impl LookUp for System {
    fn name(&self, addr: IpAddr) -> Result<Option<String>, NoAnswer> {
        // Without NI_NAMEREQD, an address without a name would be its own name.
        let found = getnameinfo(&SocketAddr::new(addr, 0), libc::NI_NAMEREQD);
        some(found).map(|found| found.map(|(name, _service)| name))
    }

    fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, NoAnswer> {
        let hints = AddrInfoHints {
            // One result for each address, not one for each type of socket.
            socktype: libc::SOCK_STREAM,
            ..AddrInfoHints::default()
        };
        let found = some(getaddrinfo(Some(name), None, Some(hints)))?;
        let found = found.into_iter().flatten().flatten();
        Ok(found.map(|info| info.sockaddr.ip()).collect())
    }
}

/// Tells that there is nothing from that there is no answer.
fn some<T>(result: Result<T, LookupError>) -> Result<Option<T>, NoAnswer> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) => match error.kind() {
            LookupErrorKind::NoName | LookupErrorKind::NoData => Ok(None),
            _ => Err(NoAnswer),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hosts_file_is_asked_both_ways() {
        let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
        let mut lines = hosts.lines().map(str::split_ascii_whitespace);
        if !lines
            .any(|mut words| words.next() == Some("127.0.0.1") && words.next() == Some("localhost"))
        {
            println!("skipped: the hosts file does not begin 127.0.0.1 with localhost");
            return;
        }
        let local: IpAddr = "127.0.0.1".parse().unwrap();
        let name = System.name(local).unwrap().unwrap();
        assert_eq!(name, "localhost");
        assert!(System.addresses(&name).unwrap().contains(&local));
    }
}
