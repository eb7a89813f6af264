//! Whether one address has most lines of a source: then it is probably a proxy that should be trusted, since bans of it
//! would ban everybody behind it.

use std::net::IpAddr;

use crate::{Event, key::Key};

/// Lines that are looked at before something is said.
const WINDOW: u32 = 4_096;
/// Bits of agents that make an address look like many clients.
const MANY_AGENTS: u32 = 8;

/// An address that has more than half of the lines of a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Dominant {
    /// The name of the source.
    pub source: String,
    /// The address.
    pub addr: IpAddr,
    /// Its part of the lines, 0.5 to 1.
    pub share: f64,
    /// Whether it looks like a proxy: its address is private, its lines have `X-Forwarded-For` or many user agents.
    pub proxy: bool,
}

impl std::fmt::Display for Dominant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (percent, source, addr) = (self.share * 100.0, &self.source, self.addr);
        write!(
            f,
            "a single address, {addr}, has {percent:.0} % of the lines of source {source}"
        )?;
        if self.proxy {
            write!(f, ": a proxy? set trusted_proxies")?;
        }
        Ok(())
    }
}

/// Boyer-Moore majority vote over a window finds the candidate; over the next its lines are counted exactly.
#[derive(Default)]
pub(crate) struct Majority {
    voted: Key,
    votes: u32,
    lines: u32,
    candidate: Key,
    of_candidate: u32,
    forwarded: u32,
    agents: u64,
    found: Option<(Key, f64, bool)>,
}

impl Majority {
    #[inline]
    pub(crate) fn line(&mut self, key: Key, event: &Event<'_>) {
        if key == self.voted {
            self.votes += 1;
        } else if self.votes == 0 {
            (self.voted, self.votes) = (key, 1);
        } else {
            self.votes -= 1;
        }
        if key == self.candidate {
            self.of_candidate += 1;
            self.forwarded += u32::from(!event.forwarded.is_empty());
            // A few lines are enough to tell one client from many.
            if self.of_candidate.is_multiple_of(16) {
                let hash = twox_hash::XxHash3_64::oneshot(&event.agent);
                self.agents |= 1 << (hash >> 58);
            }
        }
        self.lines += 1;
        if self.lines == WINDOW {
            self.turn();
        }
    }

    #[cold]
    fn turn(&mut self) {
        let most = self.of_candidate * 2 > WINDOW;
        let share = f64::from(self.of_candidate) / f64::from(WINDOW);
        let proxy = !is_global(self.candidate.addr())
            || self.forwarded * 2 > self.of_candidate
            || self.agents.count_ones() >= MANY_AGENTS;
        *self = Self {
            candidate: self.voted,
            found: most.then_some((self.candidate, share, proxy)),
            ..Self::default()
        };
    }

    /// Who had most lines of the last window.
    pub(crate) fn found(&self, source: &str) -> Option<Dominant> {
        let (key, share, proxy) = self.found?;
        Some(Dominant {
            source: source.into(),
            addr: key.addr(),
            share,
            proxy,
        })
    }
}

fn is_global(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(v4) => {
            let shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64;
            !(v4.is_private() || v4.is_loopback() || v4.is_link_local() || shared)
        }
        IpAddr::V6(v6) => !(v6.is_unique_local() || v6.is_loopback() || v6.is_unicast_link_local()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(addr: &str, of_ten: u32, agents: u64) -> Option<Dominant> {
        let mut majority = Majority::default();
        for n in 0..WINDOW * 3 {
            let other = std::net::Ipv4Addr::from_bits(0x0102_0000 + n % 500);
            let key = if n % 10 < of_ten {
                addr.parse().unwrap()
            } else {
                other.into()
            };
            let agent = format!("agent {}", u64::from(n) % agents).into_bytes();
            let event = Event {
                agent: agent.into(),
                ..Event::default()
            };
            majority.line(Key::of(key, 64), &event);
        }
        majority.found("web")
    }

    #[test]
    fn most_lines_of_one_address_are_told() {
        let told = found("10.0.0.1", 6, 1).unwrap();
        assert!((told.share - 0.6).abs() < 0.01 && told.proxy);
        let expected = "a single address, 10.0.0.1, has 60 % of the lines of source web: a proxy? set trusted_proxies";
        assert_eq!(told.to_string(), expected);
        assert!(!found("192.0.2.7", 6, 1).unwrap().proxy);
        assert!(found("192.0.2.7", 6, 101).unwrap().proxy);
        assert_eq!(found("192.0.2.7", 4, 1), None);
    }
}
