//! The queue against simple models: a daemon that is told what the queue sends, and the order of what callers wanted.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::flight::Flight;

const TAGS: [&str; 2] = ["a", "b"];

fn key(n: u8) -> Key {
    let cidr = format!("192.0.2.{}/32", n / 2).parse().unwrap();
    Key::new(cidr, TAGS[usize::from(n % 2)]).unwrap()
}

fn texts(len: usize) -> Texts {
    Texts {
        kind: "".into(),
        detail: "x".repeat(len).into(),
        extra: None,
    }
}

fn unbounded() -> Held {
    Held::new(Limits::default())
}

/// All indexes say the same, and the bounds hold.
fn check(held: &Held) {
    assert_eq!(held.slots.len(), held.places.len());
    assert_eq!(held.slots.len(), held.ends.len());
    for (place, slot) in &held.slots {
        assert_eq!(held.places[&slot.key], *place);
        assert!(held.ends.contains(&(slot.end, *place)) && *place < held.next);
        assert!(slot.due != Due::Removal || slot.end == NEVER);
    }
    let bytes: usize = held.slots.values().map(|slot| slot.bytes()).sum();
    assert_eq!(held.bytes, bytes);
    assert!(held.len() <= held.limits.held.max(1) && bytes <= held.limits.bytes);
}

/// What is held, without places.
fn content(held: &Held) -> HashMap<Key, (u64, Option<bool>)> {
    let slots = held.slots.values().map(|slot| {
        let released = match &slot.due {
            Due::Ban { released, .. } => Some(*released),
            Due::Removal => None,
        };
        (slot.key.clone(), (slot.end, released))
    });
    slots.collect()
}

#[derive(Clone, Debug)]
enum Step {
    Ban {
        n: u8,
        length: u64,
    },
    Remove {
        n: u8,
    },
    Begin {
        most: usize,
    },
    Board,
    /// The answer; which of the bans are refused, and which jobs are to be sent again.
    Land {
        refused: u64,
        open: u64,
    },
    /// The connection breaks after so many of the jobs were applied.
    Break {
        applied: usize,
    },
    Pass {
        seconds: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..8_u8, 1..40_u64).prop_map(|(n, length)| Step::Ban { n, length }),
        3 => (0..8_u8).prop_map(|n| Step::Remove { n }),
        3 => (1..6_usize).prop_map(|most| Step::Begin { most }),
        3 => Just(Step::Board),
        3 => (any::<u64>(), any::<u64>()).prop_map(|(refused, open)| Step::Land { refused, open: open & refused }),
        1 => (0..4_usize).prop_map(|applied| Step::Break { applied }),
        2 => (1..20_u64).prop_map(|seconds| Step::Pass { seconds }),
    ]
}

/// A caller, the queue, and a daemon.
struct World {
    held: Held,
    now: u64,
    flight: Option<Flight>,
    /// Jobs under way, as they were taken.
    jobs: Vec<Slot>,
    daemon: HashMap<Key, u64>,
    /// The ends of the bans since the last removal of each key, and whether one of them was refused.
    wanted: BTreeMap<u8, Vec<u64>>,
    any_refused: bool,
}

impl World {
    fn new() -> Self {
        Self {
            held: unbounded(),
            now: 1_000,
            flight: None,
            jobs: Vec::new(),
            daemon: HashMap::new(),
            wanted: BTreeMap::new(),
            any_refused: false,
        }
    }

    fn apply(&mut self, slot: &Slot) {
        match slot.due {
            Due::Removal => self.daemon.remove(&slot.key),
            Due::Ban { .. } => self.daemon.insert(slot.key.clone(), slot.end),
        };
    }

    fn land(&mut self, fate: impl Fn(usize, &Slot) -> Fate, is_applied: impl Fn(usize) -> bool) {
        let jobs = std::mem::take(&mut self.jobs);
        let sent = self.held.end_flight();
        assert_eq!(sent.len(), jobs.len());
        let mut fates = Vec::new();
        for (index, (slot, place)) in jobs.iter().zip(sent).enumerate() {
            let fate = fate(index, slot);
            self.any_refused |= fate == Fate::Refused;
            if fate == Fate::Applied || is_applied(index) {
                self.apply(slot);
            }
            fates.push((place, fate));
        }
        self.held.land(fates);
        self.flight = None;
    }

    fn board(&mut self) {
        if let Some(flight) = &mut self.flight {
            self.jobs.extend(self.held.board(flight, self.now));
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Ban { n, length } => {
                let end = self.now + length;
                self.wanted.entry(n).or_default().push(end);
                self.held.ban(key(n), end, texts(1), self.now);
            }
            Step::Remove { n } => {
                self.wanted.insert(n, Vec::new());
                self.held.remove(key(n));
            }
            Step::Begin { most } if self.flight.is_none() => {
                while self.held.expire(self.now) {}
                self.flight = Some(self.held.begin_flight(most));
            }
            Step::Begin { .. } => {}
            Step::Board => self.board(),
            Step::Land { refused, open } => {
                let bit = |bits: u64, index: usize| bits >> (index % 64) & 1 == 1;
                let fate = |index, slot: &Slot| match slot.due {
                    _ if bit(open, index) => Fate::Open,
                    Due::Ban { .. } if bit(refused, index) => Fate::Refused,
                    _ => Fate::Applied,
                };
                if self.flight.is_some() {
                    self.land(fate, |_| false);
                }
            }
            Step::Break { applied } => {
                if self.flight.is_some() {
                    self.land(|_, _| Fate::Open, |index| index < applied);
                }
            }
            Step::Pass { seconds } => self.now += seconds,
        }
        self.daemon.retain(|_, end| *end > self.now);
        check(&self.held);
    }

    /// The daemon answers until nothing waits.
    fn drain(&mut self) {
        if self.flight.is_some() {
            self.land(|_, _| Fate::Open, |_| false);
        }
        for _ in 0..2 {
            while self.held.expire(self.now) {}
            self.flight = Some(self.held.begin_flight(usize::MAX));
            self.board();
            self.land(|_, _| Fate::Applied, |_| false);
        }
        assert_eq!(self.held.len(), 0);
        check(&self.held);
    }
}

proptest! {
    /// Whatever happens on the way, in the end the daemon has what the caller wanted last: nothing from before a removal,
    /// and otherwise a ban that ends no earlier than the last one.
    #[test]
    fn the_daemon_ends_up_with_what_was_wanted_last(steps in proptest::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.drain();
        for (n, ends) in &world.wanted {
            let got = world.daemon.get(&key(*n)).copied();
            if let Some(got) = got {
                prop_assert!(ends.contains(&got), "{n}: {got} of {ends:?}");
            }
            let last = ends.last().copied().filter(|end| *end > world.now);
            if let (Some(last), false) = (last, world.any_refused) {
                prop_assert!(got >= Some(last), "{n}: {got:?} of {ends:?}");
            }
        }
    }

    /// Without a batch, the longest ban since the last removal waits.
    #[test]
    fn the_longest_ban_waits(steps in proptest::collection::vec((0..8_u8, 0..40_u64), 1..80)) {
        let (mut held, mut model) = (unbounded(), HashMap::new());
        for (n, length) in steps {
            if length == 0 {
                held.remove(key(n));
                model.insert(key(n), (NEVER, None));
            } else {
                held.ban(key(n), length, texts(1), 0);
                let old = model.get(&key(n)).copied();
                let new = match old {
                    None => (length, Some(false)),
                    Some((_, None)) => (length, Some(true)),
                    Some((end, released)) => (length.max(end), released),
                };
                model.insert(key(n), new);
            }
            check(&held);
        }
        prop_assert_eq!(content(&held), model);
    }

    /// What a former run left counts as if it had come first.
    #[test]
    fn restored_rules_are_older(
        older in proptest::collection::vec((0..8_u8, 0..40_u64), 0..30),
        newer in proptest::collection::vec((0..8_u8, 0..40_u64), 0..30),
    ) {
        let put = |held: &mut Held, steps: &[(u8, u64)]| for (n, length) in steps {
            match length {
                0 => held.remove(key(*n)),
                _ => held.ban(key(*n), *length, texts(1), 0),
            }
        };
        let (mut first, mut second, mut whole) = (unbounded(), unbounded(), unbounded());
        put(&mut first, &older);
        put(&mut second, &newer);
        put(&mut whole, &older);
        put(&mut whole, &newer);
        second.put_below(first, 0);
        check(&second);
        prop_assert_eq!(content(&second), content(&whole));
    }

    /// At the bound, those stay that end last, and all others are counted.
    #[test]
    fn the_bound_drops_what_ends_soonest(ends in proptest::collection::vec(1..1_000_u64, 1..100), most in 1..20_usize) {
        let mut held = Held::new(Limits { held: most, ..Limits::default() });
        for (n, end) in (0..).zip(&ends) {
            let cidr = std::net::Ipv4Addr::from_bits(n);
            held.ban(Key::new(std::net::IpAddr::from(cidr).into(), "").unwrap(), *end, texts(1), 0);
            check(&held);
        }
        let mut sorted = ends.clone();
        sorted.sort_unstable();
        let kept: Vec<u64> = sorted.iter().rev().take(most).rev().copied().collect();
        let found: Vec<u64> = held.ends.iter().map(|(end, _)| *end).collect();
        prop_assert_eq!(&found, &kept);
        prop_assert_eq!(held.dropped, (ends.len() - kept.len()) as u64);
    }
}

#[test]
fn the_bytes_of_texts_are_bounded_too() {
    let limits = Limits {
        bytes: 1_000,
        ..Limits::default()
    };
    let mut held = Held::new(limits);
    for n in 0..8 {
        held.ban(key(n), 100 + u64::from(n), texts(300), 0);
        check(&held);
    }
    assert_eq!((held.len(), held.bytes(), held.dropped), (3, 900, 5));
    held.ban(key(9), 1_000, texts(1_001), 0);
    assert_eq!(held.len(), 0, "it does not fit by itself");
    check(&held);
}

#[test]
fn a_removal_outlives_the_ban_behind_it() {
    let mut held = unbounded();
    held.remove(key(1));
    held.ban(key(1), 50, texts(1), 0);
    held.expire(60);
    assert_eq!(content(&held)[&key(1)], (NEVER, None));
    held.ban(key(1), 100, texts(1), 60);
    let mut flight = held.begin_flight(9);
    let taken = held.board(&mut flight, 60);
    let sent = held.end_flight();
    assert_eq!((taken.len(), sent.len()), (1, 1));
    held.land([(sent[0], Fate::Refused)]);
    assert_eq!(content(&held)[&key(1)], (NEVER, None));
    assert_eq!(held.expired, 1);
}

#[test]
fn a_batch_takes_what_was_there_and_nothing_after_its_end() {
    let mut held = unbounded();
    for n in 0..4 {
        held.ban(key(n), 100, texts(1), 0);
    }
    let mut flight = held.begin_flight(3);
    held.ban(key(5), 100, texts(1), 0);
    assert_eq!(held.board(&mut flight, 0).len(), 3);
    assert!(held.board(&mut flight, 0).is_empty());
    assert_eq!(held.end_flight(), [0, 1, 2]);
    let mut late = held.begin_flight(9);
    held.end_flight();
    assert!(
        held.board(&mut late, 0).is_empty(),
        "the batch was given up"
    );
    let mut next = held.begin_flight(9);
    assert!(held.board(&mut late, 0).is_empty(), "another is under way");
    assert_eq!(held.board(&mut next, 0).len(), 5);
}
