//! The rule sets that the data plane's bench measures, and sources to go with them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use couic_common::Cidr;

/// xorshift64*.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub fn wide(&mut self) -> u128 {
        u128::from(self.next()) << 64 | u128::from(self.next())
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for n in (1..items.len()).rev() {
            items.swap(n, (self.next() % (n as u64 + 1)) as usize);
        }
    }
}

/// Draws the rules of a case.
type Draw = Box<dyn Fn(&mut Random) -> Vec<Cidr>>;

/// A rule set and the origin of its innocent sources.
pub struct Case {
    pub name: &'static str,
    pub v6: bool,
    pub count: usize,
    /// Whether the plot shows it.
    pub plotted: bool,
    pub rules: Draw,
    pub source: fn(&mut Random) -> IpAddr,
}

pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, count) in [
        ("v4, none", 0),
        ("v4, 1,000 hosts", 1_000),
        ("v4, 10,000 hosts", 10_000),
        ("v4, 100,000 hosts", 100_000),
        ("v4, 200,000 hosts", 200_000),
        ("v4, 1,000,000 hosts", 1_000_000),
    ] {
        let rules = move |random: &mut Random| distinct(count, || Cidr::host(source4(random)));
        cases.push(Case {
            name,
            v6: false,
            count,
            plotted: count > 0,
            rules: Box::new(rules),
            source: source4,
        });
    }
    let mix = |random: &mut Random| distinct(60_000, || mixed4(random));
    cases.push(Case {
        name: "v4, blocklist mix",
        v6: false,
        count: 60_000,
        plotted: false,
        rules: Box::new(mix),
        source: source4,
    });
    for (name, count) in [
        ("v6, 1,000", 1_000),
        ("v6, 10,000", 10_000),
        ("v6, 100,000", 100_000),
        ("v6, 1,000,000", 1_000_000),
    ] {
        let rules = move |random: &mut Random| distinct(count, || mixed6(random));
        cases.push(Case {
            name,
            v6: true,
            count,
            plotted: true,
            rules: Box::new(rules),
            source: source6,
        });
    }
    cases
}

/// So many different prefixes.
fn distinct(count: usize, mut draw: impl FnMut() -> Cidr) -> Vec<Cidr> {
    let mut seen = std::collections::HashSet::with_capacity(count);
    let mut rules = Vec::with_capacity(count);
    while rules.len() < count {
        let cidr = draw();
        if seen.insert(cidr) {
            rules.push(cidr);
        }
    }
    rules
}

fn source4(random: &mut Random) -> IpAddr {
    Ipv4Addr::from_bits((random.next() >> 32) as u32).into()
}

/// As blocklists are: half hosts, many /24s, fewer of the rest, a handful from /8 to /12.
fn mixed4(random: &mut Random) -> Cidr {
    let len = match random.next() % 60_000 {
        0..8 => 8 + (random.next() % 5) as u8,
        8..1_500 => 13 + (random.next() % 7) as u8,
        1_500..9_000 => 20 + (random.next() % 4) as u8,
        9_000..25_000 => 24,
        25_000..30_000 => 25 + (random.next() % 7) as u8,
        _ => 32,
    };
    Cidr::new(source4(random), len).unwrap_or_else(|_| Cidr::host(source4(random)))
}

/// One of 30,000 /32s in the space that the registries hand out.
fn head6(random: &mut Random) -> u128 {
    const SPACES: [u32; 6] = [
        0x2001_0000,
        0x2400_0000,
        0x2600_0000,
        0x2800_0000,
        0x2a00_0000,
        0x2c0f_0000,
    ];
    let n = (random.next() % 30_000) as u32;
    let scattered = n.wrapping_mul(0x9E37_79B1) >> 14;
    u128::from(SPACES[(n % 6) as usize] + scattered) << 96
}

fn source6(random: &mut Random) -> IpAddr {
    Ipv6Addr::from_bits(head6(random) | random.wide() >> 32).into()
}

/// /32 to /128, mostly /64, /48 and hosts. Networks below a /32 are numbered from the front, as people do.
fn mixed6(random: &mut Random) -> Cidr {
    let len = match random.next() % 100 {
        0 => 32,
        1..4 => 36 + (random.next() % 3) as u8 * 4,
        4..20 => 48,
        20..30 => 56,
        30..70 => 64,
        _ => 128,
    };
    let address = head6(random) | random.wide() >> 32;
    Cidr::new(Ipv6Addr::from_bits(address).into(), len)
        .unwrap_or_else(|_| Cidr::host(Ipv6Addr::from_bits(address).into()))
}
