//! When neighbours (a /24, a /48) are to be banned as a whole: many of them are banned, few others are seen, and nobody
//! there has logged in.
//!
//! For each network 256 places say which neighbours were seen and which were banned; for IPv4 that is exact. Cells start
//! anew each day. The table is bounded: the cell that was unused longest makes room, one with bans 10 minutes later. Who
//! was pushed out and comes back has fewer bans than it had, so widening can only be missed.

use crate::{WidenConfig, key::Key, ladder::micros, memory::Memory};

const WAYS: usize = 8;
const SETS: usize = 2_048;
/// Networks with a login that are remembered.
const LOGINS: usize = 262_144;
const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;

#[derive(Clone, Copy, Default)]
struct Cell {
    seen: [u64; 4],
    banned: [u64; 4],
    since: i64,
    used: i64,
}

/// Seen and banned neighbours of networks.
pub(crate) struct Neighbours {
    config: WidenConfig,
    seed: u64,
    keys: Vec<[u64; WAYS]>,
    cells: Vec<[Cell; WAYS]>,
    logins: Memory<()>,
    last: Key,
}

impl Neighbours {
    pub(crate) fn new(config: WidenConfig, seed: u64) -> Self {
        Self {
            config,
            seed,
            keys: vec![[0; WAYS]; SETS],
            cells: vec![[Cell::default(); WAYS]; SETS],
            logins: Memory::new(LOGINS, seed),
            last: Key::default(),
        }
    }

    fn cell(&mut self, key: Key, now: i64) -> Option<&mut Cell> {
        let hash = key.wide().hash(self.seed);
        let set = hash as usize % SETS;
        let (keys, cells) = (self.keys.get_mut(set)?, self.cells.get_mut(set)?);
        let found = keys.iter().position(|k| *k == hash);
        let way = found.or_else(|| (0..WAYS).min_by_key(|way| cells[*way].used))?;
        let cell = &mut cells[way];
        if found.is_none() || now - cell.since > DAY {
            keys[way] = hash;
            *cell = Cell {
                since: now,
                ..Cell::default()
            };
        }
        cell.used = cell.used.max(now);
        Some(cell)
    }

    /// A line of a source.
    #[inline]
    pub(crate) fn seen(&mut self, key: Key, now: i64) {
        if key == self.last {
            return;
        }
        self.last = key;
        let place = key.place(self.seed);
        if let Some(cell) = self.cell(key, now) {
            set(&mut cell.seen, place);
        }
    }

    /// A source has logged in.
    pub(crate) fn logged_in(&mut self, key: Key, now: i64) {
        let until = now.saturating_add(micros(self.config.login_memory));
        self.logins.set_until(key.wide(), (), until, now);
    }

    /// A source is banned. The number of its banned neighbours, itself among them, if all are to be banned.
    pub(crate) fn banned(&mut self, key: Key, now: i64) -> Option<u32> {
        let place = key.place(self.seed);
        let cell = self.cell(key, now)?;
        set(&mut cell.seen, place);
        set(&mut cell.banned, place);
        cell.used = now + 10 * MINUTE;
        let (banned, seen) = (count(&cell.banned), count(&cell.seen));
        let many = banned >= self.config.after;
        let most = f64::from(banned) >= self.config.share * f64::from(seen);
        let login = || self.logins.get(key.wide(), now).is_some();
        (many && most && !login()).then_some(banned)
    }

    /// A source is not banned any more, as somebody wished.
    pub(crate) fn forget(&mut self, key: Key, now: i64) {
        let place = key.place(self.seed);
        if let Some(cell) = self.cell(key, now) {
            cell.banned[usize::from(place) / 64] &= !(1 << (place % 64));
        }
    }
}

fn set(places: &mut [u64; 4], place: u8) {
    places[usize::from(place) / 64] |= 1 << (place % 64);
}

fn count(places: &[u64; 4]) -> u32 {
    places.iter().map(|word| word.count_ones()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_000_000;

    fn key(text: &str) -> Key {
        Key::of(text.parse().unwrap(), 64)
    }

    fn neighbours() -> Neighbours {
        Neighbours::new(WidenConfig::default(), 9)
    }

    fn ban(n: &mut Neighbours, addrs: std::ops::Range<u8>) -> Option<u32> {
        let last = addrs.map(|host| n.banned(key(&format!("192.0.2.{host}")), NOW));
        last.last().flatten()
    }

    #[test]
    fn eight_banned_neighbours_of_few_are_enough() {
        let mut n = neighbours();
        assert_eq!(ban(&mut n, 0..7), None);
        assert_eq!(ban(&mut n, 0..7), None, "the same ones count once");
        assert_eq!(n.banned(key("198.51.100.1"), NOW), None);
        assert_eq!(ban(&mut n, 7..8), Some(8));
        let mut n = neighbours();
        let v6 = |n: &mut Neighbours, i: u32| n.banned(key(&format!("2001:db8:7:{i:x}::1")), NOW);
        assert!((0..20).filter_map(|i| v6(&mut n, i)).last() >= Some(8));
    }

    #[test]
    fn good_neighbours_and_logins_protect() {
        let mut n = neighbours();
        (100..109).for_each(|host| n.seen(key(&format!("192.0.2.{host}")), NOW));
        assert_eq!(ban(&mut n, 0..8), None);
        assert_eq!(ban(&mut n, 8..9), Some(9));
        n.logged_in(key("192.0.2.77"), NOW);
        assert_eq!(ban(&mut n, 9..20), None);
        let late = NOW + 31 * DAY;
        let again = (0..8).map(|host| n.banned(key(&format!("192.0.2.{host}")), late));
        assert_eq!(again.last().flatten(), Some(8));
    }

    #[test]
    fn a_forgotten_source_is_no_banned_neighbour() {
        let mut n = neighbours();
        assert_eq!(ban(&mut n, 0..7), None);
        n.forget(key("192.0.2.3"), NOW);
        assert_eq!(ban(&mut n, 7..8), None);
    }

    #[test]
    fn networks_with_bans_stay_in_a_crowd() {
        let mut n = neighbours();
        assert_eq!(ban(&mut n, 0..7), None);
        for i in 0..200_000_u32 {
            let addr = std::net::Ipv4Addr::from_bits(0x0a00_0000 + i * 256);
            n.seen(Key::of(addr.into(), 64), NOW + 1);
        }
        assert_eq!(ban(&mut n, 7..8), Some(8));
    }
}
