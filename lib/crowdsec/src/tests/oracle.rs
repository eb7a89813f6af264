//! The model against a simple one of the LAPI, which was written from what the real one does (1.4.6): it tells what is new
//! and deleted since the last pull of this key, a deletion again within two seconds, and of several decisions for one value
//! all, or only the longest. Answers are lost, the consumer is killed, time passes, the daemon refuses.

use std::collections::{BTreeMap, BTreeSet};

use couic_common::Cidr;
use proptest::prelude::*;

use crate::{
    claims::{Change, Found, Key, Refused},
    cover::Cover,
    decision::{Ban, Id},
    model::{Model, Rules, Told},
    names::{Names, Tag},
};

pub(super) const RULES: Rules = Rules {
    grace: 20,
    slack: 2,
    doubt_lasts: 600,
    most: 1_000,
};

/// Values and origins are few, so that they meet.
const VALUES: u8 = 6;
const ORIGINS: u8 = 3;

pub(super) fn cidr(value: u8) -> Cidr {
    format!("192.0.2.{value}/32").parse().unwrap()
}

pub(super) fn tags() -> Vec<Tag> {
    let mut names = Names::default();
    (0..ORIGINS)
        .map(|n| names.tag(&format!("cs-{n}")))
        .collect()
}

pub(super) fn ban(id: i64, value: u8, origin: u8, until: u64) -> Ban {
    let mut names = Names::default();
    let text = format!(
        r#"{{"id":{id},"scope":"Ip","type":"ban","value":"192.0.2.{value}","duration":"1h"}}"#
    );
    let decision = serde_json::from_str(&text).unwrap();
    let ban = crate::decision::ban(&decision, &crate::Config::default(), &mut names, 0).unwrap();
    Ban {
        tag: tags()[usize::from(origin)],
        until,
        ..ban
    }
}

#[derive(Clone, Debug)]
struct Row {
    id: i64,
    value: u8,
    origin: u8,
    created: u64,
    until: u64,
}

/// The LAPI.
#[derive(Debug, Default)]
struct Lapi {
    rows: Vec<Row>,
    last_pull: u64,
    dedup: bool,
}

impl Lapi {
    fn live(&self, now: u64) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(move |row| row.until > now)
    }

    /// With `dedup`, a row is told only if none for its value ends later.
    fn is_told(&self, row: &Row) -> bool {
        let longer = |other: &Row| {
            let (other_end, end) = ((other.until, row.id), (row.until, other.id));
            other.value == row.value && other_end > end
        };
        !self.dedup || !self.rows.iter().any(longer)
    }

    fn pull(&mut self, full: bool, now: u64, jitter: u64) -> Told {
        let since = self.last_pull;
        let is_new = |row: &&Row| full || row.created > since;
        let new = self
            .live(now)
            .filter(is_new)
            .filter(|row| self.is_told(row));
        let new = new.map(|row| ban(row.id, row.value, row.origin, row.until + jitter));
        let is_deleted = |row: &&Row| row.until <= now && (full || row.until + 2 > since);
        let deleted = self
            .rows
            .iter()
            .filter(is_deleted)
            .filter(|row| self.is_told(row));
        let deleted = deleted.map(|row| Id {
            cidr: cidr(row.value),
            id: row.id,
        });
        let told = Told {
            new: new.collect(),
            deleted: deleted.collect(),
            cut: false,
        };
        self.last_pull = now;
        told
    }
}

/// All of it.
struct World {
    lapi: Lapi,
    model: Model,
    daemon: BTreeMap<Key, u64>,
    refuses: BTreeSet<Cidr>,
    now: u64,
    next: i64,
    full: bool,
    tags: Vec<Tag>,
}

#[derive(Clone, Debug)]
enum Step {
    Add { value: u8, origin: u8, lasts: u64 },
    Delete { value: u8 },
    DeleteOne { nth: usize },
    Pass { seconds: u64 },
    Pull { lost: bool, jitter: u64 },
    Kill,
    Refuse { value: u8 },
}

impl World {
    fn new(dedup: bool) -> Self {
        Self {
            lapi: Lapi {
                dedup,
                ..Lapi::default()
            },
            model: Model::new(RULES),
            daemon: BTreeMap::new(),
            refuses: BTreeSet::new(),
            now: 1_000,
            next: 1,
            full: true,
            tags: tags(),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Add {
                value,
                origin,
                lasts,
            } => {
                // The LAPI counts in parts of a second: a pull sees what was before it.
                self.now += 1;
                let (id, created, until) = (self.next, self.now, self.now + lasts);
                self.next += 1;
                self.lapi.rows.push(Row {
                    id,
                    value,
                    origin,
                    created,
                    until,
                });
            }
            Step::Delete { value } => self.end(|row| row.value == value),
            Step::DeleteOne { nth } => {
                let live: Vec<i64> = self.lapi.live(self.now).map(|row| row.id).collect();
                if let Some(id) = live.get(nth % live.len().max(1)) {
                    self.end(|row| row.id == *id);
                }
            }
            Step::Pass { seconds } => {
                self.now += seconds;
                let now = self.now;
                self.daemon.retain(|_, until| *until > now);
            }
            Step::Pull { lost, jitter } => self.pull(lost, jitter),
            Step::Kill => {
                self.model = Model::new(RULES);
                self.full = true;
            }
            Step::Refuse { value } => {
                self.refuses.insert(cidr(value));
            }
        }
    }

    fn end(&mut self, which: impl Fn(&Row) -> bool) {
        self.now += 1;
        let now = self.now;
        let rows = self.lapi.rows.iter_mut();
        for row in rows.filter(|row| row.until > now && which(row)) {
            row.until = now;
        }
    }

    fn pull(&mut self, lost: bool, jitter: u64) {
        self.now += 1;
        let told = self.lapi.pull(self.full, self.now, jitter);
        if lost {
            self.full = true;
            return;
        }
        if self.full {
            let found: Vec<Found> = self
                .daemon
                .iter()
                .map(|(key, until)| Found {
                    key: *key,
                    until: *until,
                })
                .collect();
            self.model.full(&told, Some(&found), self.now);
        } else {
            self.model.delta(&told);
        }
        let mut changes = Vec::new();
        while self
            .model
            .settle_next(self.now, |change| changes.push(change))
        {}
        for change in changes {
            match change {
                Change::Ban { key, .. } if self.refuses.contains(&key.cidr) => {
                    self.model.refuse(key, Refused::Ever("host"));
                }
                Change::Ban { key, until, .. } => drop(self.daemon.insert(key, until)),
                Change::Release(key) => drop(self.daemon.remove(&key)),
            }
        }
        self.full = self.model.is_unclear();
        self.check_not_early();
    }

    /// Whatever happened: what is in force at the LAPI, and was told, is banned.
    fn check_not_early(&self) {
        for row in self.lapi.live(self.now) {
            let network = cidr(row.value);
            let banned = self.daemon.keys().any(|key| key.cidr == network);
            assert!(
                banned || self.refuses.contains(&network),
                "{row:?} is not banned at {}",
                self.now
            );
        }
    }

    /// After a full pull, the daemon has what the LAPI has.
    fn check_equal(&mut self) {
        self.full = true;
        self.pull(false, 0);
        self.full = true;
        self.step(&Step::Pass { seconds: 601 });
        self.pull(false, 0);
        let mut expected: BTreeMap<Key, u64> = BTreeMap::new();
        for row in self
            .lapi
            .live(self.now)
            .filter(|row| self.lapi.is_told(row))
        {
            let key = Key {
                cidr: cidr(row.value),
                tag: self.tags[usize::from(row.origin)],
            };
            let until = expected.entry(key).or_default();
            *until = row.until.max(*until);
        }
        expected.retain(|key, _| !self.refuses.contains(&key.cidr));
        let mut left = self.daemon.clone();
        for (key, until) in &expected {
            let banned = left.remove(key);
            let banned = banned.unwrap_or_else(|| panic!("{key:?} is missing: {:?}", self.lapi));
            let right = until + RULES.grace;
            assert!(
                banned.abs_diff(right) <= 2 * RULES.slack,
                "{key:?}: {banned}, not {right}"
            );
        }
        left.retain(|key, _| !self.refuses.contains(&key.cidr));
        // A LAPI without any decision is not believed.
        assert!(
            left.is_empty() || expected.is_empty(),
            "too many: {left:?} {:?}",
            self.lapi
        );
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..VALUES, 0..ORIGINS, prop_oneof![1_u64..40, 600_u64..5_000])
            .prop_map(|(value, origin, lasts)| Step::Add { value, origin, lasts }),
        2 => (0..VALUES).prop_map(|value| Step::Delete { value }),
        2 => any::<usize>().prop_map(|nth| Step::DeleteOne { nth }),
        3 => prop_oneof![1_u64..30, 500_u64..700].prop_map(|seconds| Step::Pass { seconds }),
        8 => (prop::bool::weighted(0.2), 0..2_u64).prop_map(|(lost, jitter)| Step::Pull { lost, jitter }),
        1 => Just(Step::Kill),
        1 => (0..VALUES).prop_map(|value| Step::Refuse { value }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_rules_become_what_the_lapi_has(
        dedup in any::<bool>(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(dedup);
        for step in &steps {
            world.step(step);
        }
        world.check_equal();
    }
}

#[test]
fn networks_that_the_ignore_list_covers_are_released_and_come_back() {
    let mut world = World::new(false);
    for value in 0..4 {
        world.step(&Step::Add {
            value,
            origin: 0,
            lasts: 5_000,
        });
    }
    world.pull(false, 0);
    assert_eq!(world.daemon.len(), 4);
    world
        .model
        .ignore(Cover::of(&["192.0.2.0/31".parse().unwrap()]));
    assert_eq!(world.model.ignored(), 2);
    let mut changes = Vec::new();
    while world
        .model
        .settle_next(world.now, |change| changes.push(change))
    {}
    assert!(matches!(
        changes[..],
        [Change::Release(_), Change::Release(_)]
    ));
    world.model.ignore(Cover::default());
    changes.clear();
    while world
        .model
        .settle_next(world.now, |change| changes.push(change))
    {}
    assert!(matches!(
        changes[..],
        [Change::Ban { .. }, Change::Ban { .. }]
    ));
}
