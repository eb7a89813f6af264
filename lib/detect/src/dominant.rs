//! Whether one address has most lines of a source: then it is probably a proxy that should be trusted, since bans of it
//! would ban everybody behind it.

use std::net::IpAddr;

use crate::{Event, key::Key};

/// Lines of a window, or fewer after a while (microseconds): two windows are looked at before something is said.
const WINDOW: u32 = 4_096;
const FEW: u32 = 50;
const WHILE: i64 = 15_000_000;
/// What was found is told for so long without another window, in microseconds.
const TOLD: i64 = 900_000_000;
/// So many lines of the candidate have their agents looked at, beyond only some.
const ALL_AGENTS: u32 = 128;
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
            write!(f, ": a proxy? set trusted_proxies")
        } else {
            write!(
                f,
                ": if it is a proxy, set trusted_proxies; if it is known, such as a monitor, put it into ignore"
            )
        }
    }
}

/// Boyer-Moore majority vote over a window finds the candidate; over the next its lines are counted exactly.
#[derive(Default)]
pub(crate) struct Majority {
    voted: Key,
    votes: u32,
    lines: u32,
    /// When the window began.
    since: i64,
    candidate: Key,
    of_candidate: u32,
    forwarded: u32,
    agents: u64,
    /// And when.
    found: Option<(Key, f64, bool, i64)>,
}

impl Majority {
    #[inline]
    pub(crate) fn line(&mut self, key: Key, event: &Event<'_>, now: i64) {
        if self.lines == 0 {
            self.since = now;
        }
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
            if self.of_candidate <= ALL_AGENTS || self.of_candidate.is_multiple_of(16) {
                let hash = twox_hash::XxHash3_64::oneshot(&event.agent);
                self.agents |= 1 << (hash >> 58);
            }
        }
        self.lines += 1;
        if self.lines == WINDOW || self.lines >= FEW && now - self.since >= WHILE {
            self.turn(now);
        }
    }

    #[cold]
    fn turn(&mut self, now: i64) {
        let most = self.of_candidate * 2 > self.lines;
        let share = f64::from(self.of_candidate) / f64::from(self.lines);
        let proxy = !is_global(self.candidate.addr())
            || self.forwarded * 2 > self.of_candidate
            || self.agents.count_ones() >= MANY_AGENTS;
        *self = Self {
            candidate: self.voted,
            found: most.then_some((self.candidate, share, proxy, now)),
            ..Self::default()
        };
    }

    /// Who had most lines of the last window.
    pub(crate) fn found(&self, source: &str, now: i64) -> Option<Dominant> {
        let (key, share, proxy, at) = self.found?;
        (now - at < TOLD).then(|| Dominant {
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
            majority.line(Key::of(key, 64), &event, 1);
        }
        majority.found("web", 1)
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

    #[test]
    fn a_hundred_lines_of_a_quiet_minute_are_enough_and_it_is_over_when_it_is_over() {
        let mut majority = Majority::default();
        let (proxy, second) = (Key::of("10.0.0.1".parse().unwrap(), 64), 1_000_000);
        let mut now = second;
        let mut line = |key, majority: &mut Majority| {
            now += second / 4;
            majority.line(key, &Event::default(), now);
            now
        };
        let mut told = None;
        for n in 0..140_u32 {
            let other = std::net::Ipv4Addr::from_bits(0x0102_0000 + n).into();
            let key = if n % 3 == 0 {
                Key::of(other, 64)
            } else {
                proxy
            };
            let now = line(key, &mut majority);
            told = told.or(majority.found("web", now).map(|found| (n, found)));
        }
        let (after, found) = told.unwrap();
        assert!(after < 125 && found.proxy, "{after}");
        assert!((found.share - 0.66).abs() < 0.02, "{}", found.share);
        let mut last = 0;
        for n in 0..140_u32 {
            let other = std::net::Ipv4Addr::from_bits(0x0102_0000 + n).into();
            last = line(Key::of(other, 64), &mut majority);
        }
        assert_eq!(majority.found("web", last), None);
        for _ in 0..140 {
            last = line(proxy, &mut majority);
        }
        assert!(majority.found("web", last).is_some());
        assert_eq!(majority.found("web", last + TOLD), None, "silence");
    }
}
