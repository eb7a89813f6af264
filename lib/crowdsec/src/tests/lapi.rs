//! A stand-in for the LAPI: it tells each key what is new, once.

use std::{collections::VecDeque, fs, sync::Arc, time::Duration};

use couic_testkit::{Reply, Request, StandIn};
use parking_lot::Mutex;

use crate::Config;

#[derive(Default)]
pub(super) struct World {
    next: i64,
    /// Id, origin and value of what is in force.
    rows: Vec<(i64, String, String)>,
    pub(super) new: Vec<i64>,
    pub(super) deleted: Vec<(i64, String, String)>,
    /// Answers instead of the right ones; what was to be told is lost.
    pub(super) instead: VecDeque<Reply>,
    pub(super) key: String,
    /// Full pulls, and others.
    pub(super) pulls: [usize; 2],
}

pub(super) struct Lapi {
    pub(super) stand_in: StandIn,
    pub(super) world: Arc<Mutex<World>>,
}

impl Lapi {
    pub(super) fn new() -> Self {
        let world = World {
            key: "secret".to_owned(),
            ..World::default()
        };
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        let stand_in = StandIn::tcp(move |request| answer(&mut shared.lock(), request));
        fs::write(stand_in.dir.path().join("key"), "secret\n").unwrap();
        Self { stand_in, world }
    }

    pub(super) fn config(&self) -> Config {
        Config {
            url: self.stand_in.url("/"),
            key_file: Some(self.stand_in.dir.path().join("key")),
            interval: Duration::from_millis(20),
            grace: Some(Duration::from_secs(20)),
            full_every: Duration::from_secs(86_400),
            ..Config::default()
        }
    }

    pub(super) fn add(&self, origin: &str, value: &str) {
        let mut world = self.world.lock();
        world.next += 1;
        let id = world.next;
        world.rows.push((id, origin.to_owned(), value.to_owned()));
        world.new.push(id);
    }

    pub(super) fn delete(&self, value: &str) {
        let world = &mut *self.world.lock();
        let (gone, rest) = world.rows.drain(..).partition(|row| row.2 == value);
        world.rows = rest;
        world.deleted.extend::<Vec<_>>(gone);
    }

    /// As after a reinstallation: nothing was ever there.
    pub(super) fn wipe(&self) {
        let world = &mut *self.world.lock();
        (world.rows, world.new, world.deleted) = Default::default();
    }

    pub(super) fn instead(&self, reply: Reply) {
        self.world.lock().instead.push_back(reply);
    }
}

fn answer(world: &mut World, request: &Request) -> Reply {
    if request.header("x-api-key") != Some(&world.key) {
        return Reply::json(403, r#"{"message":"access forbidden"}"#);
    }
    let full = request.line().contains("startup=true");
    world.pulls[usize::from(!full)] += 1;
    let told = |(id, origin, value): &(i64, String, String), duration: &str| {
        let scope = if value.contains('/') { "Range" } else { "Ip" };
        format!(
            r#"{{"duration":"{duration}","id":{id},"origin":"{origin}","scenario":"a/b","scope":"{scope}","type":"ban","value":"{value}"}}"#
        )
    };
    let new = world
        .rows
        .iter()
        .filter(|row| full || world.new.contains(&row.0));
    let new: Vec<String> = new.map(|row| told(row, "59m59.5s")).collect();
    let deleted: Vec<String> = world.deleted.iter().map(|row| told(row, "-1.5s")).collect();
    world.new.clear();
    world.deleted.clear();
    let list = |list: &[String]| {
        if list.is_empty() {
            "null".to_owned()
        } else {
            format!("[{}]", list.join(","))
        }
    };
    let body = format!(r#"{{"deleted":{},"new":{}}}"#, list(&deleted), list(&new));
    world
        .instead
        .pop_front()
        .unwrap_or_else(|| Reply::text(200, "text/plain", body))
}
