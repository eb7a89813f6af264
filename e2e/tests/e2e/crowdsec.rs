//! From a decision of Debian's real CrowdSec to a dropped frame: deltas, ranges, outages, kills, reinstallations, many
//! decisions, certificates.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on ends there"
)]

mod bouncer;
mod lapi;
mod tls;

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, time::Duration};

use couic_e2e::{Daemon, Frame, Lab};
use couic_testkit::{patient, unix_now};
use serde_json::Value;

use bouncer::Bouncer;
use lapi::{Lapi, await_rules};

/// A lab with LAPI and daemon. None, with the reason printed, if it cannot be.
struct Scene<'lab> {
    lab: &'lab Lab,
    lapi: Lapi<'lab>,
    daemon: Daemon<'lab>,
    dir: tempfile::TempDir,
}

impl<'lab> Scene<'lab> {
    fn new(lab: &'lab Lab) -> Option<Self> {
        let lapi = Lapi::start(lab, "")?;
        let scene = Self {
            lab,
            lapi,
            daemon: lab.monitored_daemon().start(),
            dir: tempfile::tempdir().expect("a temporary directory"),
        };
        scene.lapi.key_file(&scene.key());
        Some(scene)
    }

    fn key(&self) -> PathBuf {
        self.dir.path().join("key")
    }

    /// A bouncer that asks each second.
    fn bouncer(&self, more: &str) -> Bouncer {
        let keys = format!(
            "url = \"http://{}/\"\nkey_file = \"{}\"\ninterval = \"1s\"\n{more}",
            lapi::address(),
            self.key().display()
        );
        Bouncer::start(self.lab, &self.daemon, self.dir.path(), &keys)
    }

    /// The bouncer's claims: by network and tag, when they end.
    fn claims(&self) -> BTreeMap<(String, String), f64> {
        let list = self.daemon.api().get("/v1/drop?tag=cs-*&owners=true");
        let rules = list.as_array().expect("a list").iter();
        let claims = rules.flat_map(|rule| {
            let cidr = rule["cidr"].as_str().expect("a network");
            let owners = rule["owners"].as_array().expect("owners").iter();
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            owners.map(move |owner| {
                let end = owner["expiration"].as_f64().expect("a time");
                ((cidr.to_owned(), text(&owner["tag"])), end)
            })
        });
        claims.collect()
    }

    /// What the LAPI has, as claims.
    fn expected(&self) -> BTreeMap<(String, String), f64> {
        let mut expected: BTreeMap<_, f64> = BTreeMap::new();
        for (_, tag, value, end) in self.lapi.decisions() {
            let cidr = match (value.contains('/'), value.contains(':')) {
                (true, _) => value,
                (false, false) => value + "/32",
                (false, true) => value + "/128",
            };
            let latest = expected.entry((cidr, tag)).or_default();
            *latest = latest.max(end);
        }
        expected
    }

    /// The same claims, which end with their decisions and the grace of two seconds.
    fn is_equal(&self) -> bool {
        let (claims, expected) = (self.claims(), self.expected());
        let keys = claims.keys().eq(expected.keys());
        keys && expected
            .iter()
            .all(|(key, end)| (claims[key] - end - 2.0).abs() < 6.0)
    }

    fn has(&self, cidr: &str) -> bool {
        self.claims().keys().any(|key| key.0 == cidr)
    }
}

#[test]
fn decisions_become_dropped_frames_and_end() {
    let Some(lab) = Lab::quiet() else { return };
    let Some(scene) = Scene::new(&lab) else {
        return;
    };
    let bouncer = scene.bouncer("");
    let lapi = &scene.lapi;
    lapi.cscli(&[
        "decisions",
        "add",
        "--ip",
        "198.51.100.7",
        "-d",
        "1h",
        "-R",
        "too many",
    ]);
    lapi.cscli(&[
        "decisions",
        "add",
        "--range",
        "203.0.113.64/26",
        "-d",
        "90m",
    ]);
    lapi.cscli(&["decisions", "add", "--ip", "198.51.100.8", "-t", "captcha"]);
    lapi.cscli(&["decisions", "add", "--scope", "Country", "--value", "FR"]);
    lapi.cscli(&["decisions", "add", "--ip", "2001:db8::7", "-d", "2h"]);
    let added = await_rules("three are banned", || scene.claims().len() == 3);
    println!("in force {added:?} after the last was made, with an interval of 1 s");
    let mut wire = lab.wire();
    let frames = [
        "198.51.100.7",
        "203.0.113.65",
        "203.0.113.63",
        "198.51.100.8",
    ]
    .map(Frame::v4);
    assert_eq!(wire.arrivals(&frames), [0, 0, 1, 1]);
    let why = scene.daemon.ctl_ok(&["why", "198.51.100.7"]);
    assert!(
        why.contains("cs-cscli") && why.contains("too many"),
        "{why}"
    );
    origins_do_not_undo_each_other(&scene);
    assert_eq!(wire.arrivals(&frames[..1]), [0]);
    lapi.cscli(&["decisions", "delete", "--ip", "198.51.100.7"]);
    let freed = await_rules("it is free", || !scene.has("198.51.100.7/32"));
    println!("free {freed:?} after the deletion");
    assert_eq!(wire.arrivals(&frames[..1]), [1]);
    let listed = lapi.cscli(&["bouncers", "list", "-o", "json"]);
    assert!(listed.contains("couic-bouncer"), "{listed}");
    bouncer.stop();
    assert_eq!(scene.claims().len(), 2, "bans stay");
}

/// A second decision for a banned address, and the deletion of the first.
fn origins_do_not_undo_each_other(scene: &Scene<'_>) {
    let lapi = &scene.lapi;
    lapi.decide(&[("CAPI", "Ip", "198.51.100.7", 600)]);
    await_rules("two claims", || scene.claims().len() == 4);
    let first = lapi
        .decisions()
        .into_iter()
        .find(|one| one.1 == "cs-cscli" && one.2 == "198.51.100.7");
    lapi.delete(&format!("/{}", first.expect("the first").0));
    await_rules("one claim", || scene.claims().len() == 3);
    assert!(
        scene.is_equal(),
        "{:?}\n{:?}",
        scene.claims(),
        scene.expected()
    );
}

#[test]
fn a_thousand_random_decisions_with_kills_and_outages_leave_no_difference() {
    let Some(lab) = Lab::quiet() else { return };
    let Some(mut scene) = Scene::new(&lab) else {
        return;
    };
    let mut bouncer = scene.bouncer("full_every = \"5s\"");
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..1_000 {
        let value = match random.u8(..4) {
            0 => format!("2001:db8::{}", random.u8(1..40)),
            1 => format!("203.0.{}.0/24", random.u8(..20)),
            _ => format!("198.51.100.{}", random.u8(1..100)),
        };
        if random.u8(..10) < 6 {
            let scope = if value.contains('/') { "Range" } else { "Ip" };
            let origin = *random.choice(&["CAPI", "crowdsec", "cscli"]).expect("one");
            let lasts = *random.choice(&[4, 600, 7_200]).expect("one");
            scene.lapi.decide(&[(origin, scope, &value, lasts)]);
        } else if random.bool() {
            let which = if value.contains('/') { "range" } else { "ip" };
            scene.lapi.delete(&format!("?{which}={value}"));
        } else if let Some(one) = random.choice(scene.lapi.decisions()) {
            scene.lapi.delete(&format!("/{}", one.0));
        }
        match round {
            250 | 700 => {
                bouncer.kill();
                bouncer = scene.bouncer("full_every = \"5s\"");
            }
            500 => {
                let before = scene.claims().len();
                scene.lapi.stop();
                bouncer.until("the outage is noticed", || {
                    bouncer.figure("couic_bouncer_crowdsec_connected") < 0.5
                });
                assert!(
                    scene.claims().len() + 20 >= before && before > 50,
                    "nothing is flushed"
                );
                scene.lapi.run();
            }
            _ => {}
        }
    }
    let equal = await_rules("both lists are equal", || scene.is_equal());
    println!(
        "{} claims, equal {equal:?} after the last change",
        scene.claims().len()
    );
    assert!(scene.claims().len() > 50, "{:?}", scene.claims());
    bouncer.stop();
}

#[test]
fn a_lapi_that_comes_back_empty_opens_nothing() {
    let Some(lab) = Lab::quiet() else { return };
    let Some(mut scene) = Scene::new(&lab) else {
        return;
    };
    let bouncer = scene.bouncer("full_every = \"2s\"");
    scene.lapi.decide(&[
        ("CAPI", "Ip", "198.51.100.1", 7_200),
        ("CAPI", "Ip", "198.51.100.2", 7_200),
        ("CAPI", "Ip", "198.51.100.3", 7_200),
    ]);
    await_rules("three are banned", || scene.claims().len() == 3);
    scene.lapi.reinstall();
    bouncer.until("the empty list is noticed", || {
        bouncer.output().contains("is not believed")
    });
    let compares = bouncer.figure("couic_bouncer_crowdsec_full_compares_total");
    bouncer.until("more compares", || {
        bouncer.figure("couic_bouncer_crowdsec_full_compares_total") >= compares + 2.0
    });
    assert_eq!(scene.claims().len(), 3, "{}", bouncer.output());
    scene.lapi.decide(&[("CAPI", "Ip", "198.51.100.9", 7_200)]);
    await_rules("new ones count at once", || scene.has("198.51.100.9/32"));
    bouncer.stop();
}

#[test]
fn fifty_thousand_decisions_are_in_force_within_ten_seconds() {
    let Some(lab) = Lab::quiet() else { return };
    let Some(scene) = Scene::new(&lab) else {
        return;
    };
    let file = scene.lapi.path("import.csv");
    let mut text = "duration,scope,value\n".to_owned();
    for n in 0..50_000_u32 {
        let [_, b, c, d] = (n * 7).to_be_bytes();
        writeln!(text, "24h,ip,60.{b}.{c}.{d}").expect("a string");
    }
    fs::write(&file, text).expect("write a file");
    scene
        .lapi
        .cscli(&["decisions", "import", "-i", &file.to_string_lossy()]);
    let start = unix_now();
    let bouncer = scene.bouncer("");
    let claims = || bouncer.figure("couic_bouncer_crowdsec_claims");
    await_rules("all are known", || claims() >= 50_000.0);
    let rules = || scene.daemon.api().stats().drop_cidr_count;
    await_rules("all are in force", || rules() >= 50_000);
    let took = unix_now() - start;
    println!("50,000 decisions in force {took:.1} s after the start of the bouncer");
    assert!(took < patient(Duration::from_secs(10)).as_secs_f64());
    let start = unix_now();
    scene.lapi.decide(&[("cscli", "Ip", "198.51.100.9", 600)]);
    await_rules("one more", || rules() > 50_000);
    println!("one more {:.1} s after it was made", unix_now() - start);
    bouncer.stop();
}
